"""The contract of a board game: generic functions over one record, and the table of games that implement them.

A position is one record of a numpy structured dtype; a batch is an array of records. Every game defines functions with
the names of CONTRACT, three of which only searches and environments ask for, and registers them for its dtype. Kernels
import the generic names from here; numba picks the game by the record's type at compile time, so there is no dispatch
at run time.

Viewpoint: `returns` speaks for player 0 (the first mover). Only `observe` is the mover's.
Shapes: B positions, A actions, W = ceil(A / 64) mask words, planes [C, H, W].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba.extending import overload

from games.compiled import njit
from games.legal_masks import mask_to_bools
from games.refusal import RefusedError

State = Any  # np.record of a registered game's dtype (kernels see it as a numba Record)
States = np.ndarray[Any, Any]  # [B] of such records


RESIGN = -1  # in the place of an action: the player gives the game up


class GameError(RefusedError):
    """A game, a rule set or a move that does not exist or is not allowed; the message is one line."""


# --- the generic functions ------------------------------------------------------------------------------------------


def init(state: State) -> None:
    """Set the record to the starting position; its rule fields (draw limits, komi, ...) stay as they are."""
    _functions(state)["init"](state)


def apply(state: State, action: int) -> None:
    """Play one action; precondition: it is legal."""
    _functions(state)["apply"](state, action)


def legal_mask(state: State, mask: np.ndarray[Any, Any]) -> None:
    """Write the legal actions, uint64[W]: bit a % 64 of word a // 64; all zero exactly when the game is over."""
    _functions(state)["legal_mask"](state, mask)


def is_over(state: State) -> bool:
    """Say whether the game has ended by the rules."""
    return bool(_functions(state)["is_over"](state))


def returns(state: State) -> float:
    """Return the outcome for player 0: 1.0 won, 0.0 drawn, -1.0 lost; precondition: the game is over."""
    return float(_functions(state)["returns"](state))


def to_play(state: State) -> int:
    """Return who moves, 0 or 1; a player may move several times in a row (a multi-jump)."""
    return int(_functions(state)["to_play"](state))


def observe(state: State, planes: np.ndarray[Any, Any]) -> None:
    """Write the position as the mover sees it, float32[C, H, W]."""
    _functions(state)["observe"](state, planes)


# Two more that searches ask for.


def hash_key(state: State) -> int:
    """Return a 64-bit hash of what the legal continuations depend on, draw counters left out (for transpositions)."""
    return int(_functions(state)["hash_key"](state))


def is_quiet(state: State) -> bool:
    """Say whether no capture is to be made: then every legal action ends the turn, and a search may evaluate here."""
    return bool(_functions(state)["is_quiet"](state))


# And one that environments ask for.


def is_cut(state: State) -> bool:
    """Say whether a move limit has ended the game, not its rules proper; precondition: it is over."""
    return bool(_functions(state)["is_cut"](state))


@njit
def never_cut(state):
    """Be `is_cut` of a game without a move limit."""
    return False


CONTRACT: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (init, apply, legal_mask, is_over, returns, to_play, observe, hash_key, is_quiet, is_cut)
}


def contract_functions(namespace: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Return a game module's functions of the contract, by name, out of its globals(); a game may lack `is_cut`."""
    return {"is_cut": never_cut, **{name: namespace[name] for name in CONTRACT if name in namespace}}


# --- the table of games ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # a game is itself: compared and hashed by identity
class Game:
    """What a program needs to know of a game beside its kernels."""

    name: str  # as on the command line: "checkers"
    dtype: np.dtype[Any]  # one record = one position
    num_actions: int  # A
    planes_shape: tuple[int, int, int]  # [C, H, W] of `observe`
    rule_sets: Mapping[str, Mapping[str, int]]  # name -> values of the dtype's rule fields; the first is the default
    version: int  # counts changes of rules, actions or planes that make older models unfit
    functions: Mapping[str, Callable[..., Any]] = field(repr=False)  # the compiled contract
    of_record: Callable[[Any], Game] | None = field(default=None, repr=False)  # the Game of records, where sizes differ

    @property
    def family(self) -> str:
        """The name without the size: "go" for "go-9x9"."""
        return self.name.partition("-")[0]

    @property
    def mask_words(self) -> int:
        """W, the uint64 words of a legal mask."""
        return (self.num_actions + 63) // 64

    def new(self, batch_size: int, rules: str | None = None) -> States:
        """Return starting positions [B] under a named rule set (default: the first); GameError on an unknown one."""
        if rules is None:
            rules = next(iter(self.rule_sets))
        if rules not in self.rule_sets:
            raise GameError(f"{self.name} has no rule set {rules!r}; there are: {', '.join(self.rule_sets)}")
        states = np.zeros(batch_size, self.dtype)
        for name, value in self.rule_sets[rules].items():
            states[name] = value
        init_batch(states)
        return states

    def legal_actions(self, state: State) -> list[int]:
        """Return the legal actions in ascending order; empty when the game is over."""
        mask = np.zeros(self.mask_words, np.uint64)
        legal_mask(state, mask)
        return np.flatnonzero(mask_to_bools(mask, self.num_actions)).tolist()


_GAMES_BY_FIELDS: dict[tuple[str, ...], Game] = {}


def register(game: Game) -> Game:
    """Enter a game in the table the generic functions look up; GameError where it breaks the contract."""
    fields = tuple(game.dtype.names or ())
    if fields in _GAMES_BY_FIELDS:
        other = _GAMES_BY_FIELDS[fields].name
        raise GameError(f"game {game.name!r} has the field names of {other!r}, by which kernels tell games: rename one")
    padding = game.dtype.itemsize - sum(game.dtype[name].itemsize for name in fields)
    if padding:  # copies may differ there, and so positions could not be compared byte by byte
        raise GameError(f"records of game {game.name!r} have {padding} bytes of padding: fill them with a field")
    missing = [name for name in CONTRACT if name not in game.functions]
    if missing:
        raise GameError(f"game {game.name!r} lacks the function {missing[0]!r} of the contract")
    _GAMES_BY_FIELDS[fields] = game
    return game


def game_of(states: States | State) -> Game:
    """Return the game that a record or a non-empty array of records, of one size, belongs to."""
    game = _game_of_fields(states)
    return game if game.of_record is None else game.of_record(states)


def _game_of_fields(states: States | State) -> Game:
    """Return the game registered for records with these fields."""
    fields = tuple(states.dtype.names or ())
    if fields not in _GAMES_BY_FIELDS:
        raise GameError(f"no game is registered for records with the fields {fields}")
    return _GAMES_BY_FIELDS[fields]


def _functions(state: State) -> Mapping[str, Callable[..., Any]]:
    return _game_of_fields(state).functions


def _implementation(state_type: Any, name: str) -> Any:
    """Return the game's Python function for numba to compile into the calling kernel."""
    function = _GAMES_BY_FIELDS[tuple(state_type.fields)].functions[name]
    return getattr(function, "py_func", function)


def _declare_overloads() -> None:
    """Tell numba how each generic name resolves; numba compares argument names, so each signature is written out."""

    def of_state(name: str) -> Callable[..., Any]:
        return lambda state: _implementation(state, name)

    for name in ("init", "is_over", "returns", "to_play", "hash_key", "is_quiet", "is_cut"):
        overload(CONTRACT[name])(of_state(name))
    overload(apply)(lambda state, action: _implementation(state, "apply"))
    overload(legal_mask)(lambda state, mask: _implementation(state, "legal_mask"))
    overload(observe)(lambda state, planes: _implementation(state, "observe"))


_declare_overloads()


def record_dtype(fields: list[tuple[Any, ...]]) -> np.dtype[Any]:
    """Return the aligned dtype of records whose fields read as attributes, in kernels and in plain Python alike."""
    for name, *_ in fields:
        if hasattr(np.record, name):
            raise GameError(f"field {name!r}: in plain Python numpy's own attribute hides it; rename it")
    return np.dtype((np.record, np.dtype(fields, align=True)))


# --- batches --------------------------------------------------------------------------------------------------------


@njit
def is_legal(mask, action):
    """Say whether an action is in a legal mask, uint64[W]."""
    return (mask[action // 64] >> np.uint64(action % 64)) & np.uint64(1) != 0


@njit
def init_batch(states):
    """Set every record of [B] to the starting position."""
    for i in range(states.size):
        init(states[i])


@njit
def observe_batch(states, planes):
    """Write the planes [n, C, H, W] of positions [n], each as its mover sees it."""
    for i in range(states.size):
        observe(states[i], planes[i])
