"""playfield/Go-v0: the environments of games.board_env and games.vector_env on a Go board of any size."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from games.board_env import BoardEnv
from games.go import DEFAULT_KOMI, game
from games.rules import Game, GameError
from games.vector_env import BoardVectorEnv


def go_env(size: int | tuple[int, int] = 19, komi: float = DEFAULT_KOMI, **settings: Any) -> BoardEnv:
    """Return Go on a square board, or on one of (rows, columns); the other settings (rules, ...) are BoardEnv's."""
    return BoardEnv(game_of_size(size, komi), **settings)


def go_vector_env(
    num_envs: int = 1, size: int | tuple[int, int] = 19, komi: float = DEFAULT_KOMI, **settings: Any
) -> BoardVectorEnv:
    """Return this many games of Go in step; the other settings are BoardVectorEnv's."""
    return BoardVectorEnv(game_of_size(size, komi), num_envs, **settings)


def game_of_size(size: int | tuple[int, int], komi: float) -> Game:
    """Return Go on a square board, or on one of (rows, columns); GameError on what is no size."""
    try:
        rows, columns = map(operator.index, size if isinstance(size, Iterable) else (size, size))
    except (TypeError, ValueError):
        raise GameError(f"size {size!r}: a number of lines, or (rows, columns)") from None
    return game(rows, columns, komi=komi)
