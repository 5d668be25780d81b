"""Imitation of recorded games."""
