"""Atari players and how they are watched, scored and filmed."""
