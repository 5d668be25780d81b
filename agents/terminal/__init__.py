"""Board games played at a terminal."""
