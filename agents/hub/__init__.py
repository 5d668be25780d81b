"""The Hub protocol from both sides."""
