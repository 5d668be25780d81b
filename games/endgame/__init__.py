"""Endgame tables of checkers: who wins, and in how many turns, for every position of few pieces."""

from games.endgame.index import DRAW, NO_TABLES, UNKNOWN, EndgameError, Entries, outcome, probe, turns_left
from games.endgame.tables import Tables, load, load_or_build, save, tables_path

__all__ = [
    "DRAW",
    "NO_TABLES",
    "UNKNOWN",
    "EndgameError",
    "Entries",
    "Tables",
    "load",
    "load_or_build",
    "outcome",
    "probe",
    "save",
    "tables_path",
    "turns_left",
]
