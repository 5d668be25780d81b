"""Other programs that do the same work, measured beside ours where they are installed: open_spiel and pydraughts."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.timing import installed_version
from games.checkers import CHECKERS
from games.compiled import NDArray
from games.go_board import SIMPLE_KO
from games.notation import Turn
from games.pdn import fen_name
from games.rules import Game, State, apply, game_of

MAN, KING = 1.0, 1.5  # as agents.evaluators.material counts
LEAST_AREA = 9  # points of a Go board on which no position repeats within the depths that are quick

Counter = Callable[[int], int]  # depth in turns -> sequences of turns


class PeerMissingError(Exception):
    """A peer that is not there or cannot do this; the message says why."""


def installed(module: str, package: str) -> Any:
    """Return a peer's module; PeerMissingError where it is not installed, or lacks something itself."""
    if installed_version(package) is None:
        raise PeerMissingError(f"not installed: pip install {package}")
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # the second: files of its own are missing
        raise PeerMissingError(f"cannot be imported: {error}") from None


# --- open_spiel -------------------------------------------------------------------------------------------------------


def open_spiel_counter(state: State, is_start: bool) -> Counter:
    """Return open_spiel's move generator as a counter of turns, driven from Python."""
    pyspiel = installed("pyspiel", "open_spiel")
    if not is_start:
        raise PeerMissingError("sets up no position")
    if game_of(state).family == "go":
        if state.ko_rule != SIMPLE_KO or int(state.rows) * int(state.columns) < LEAST_AREA:
            raise PeerMissingError("ends a game where a position repeats")
        _, game = open_spiel_go(state)
    else:
        game = pyspiel.load_game(game_of(state).name)

    def count(theirs: Any, depth: int) -> int:
        total = 0
        for action in theirs.legal_actions():
            after = theirs.child(action)
            if after.current_player() == theirs.current_player():  # a multi-jump goes on
                total += count(after, depth)
            else:
                total += 1 if depth == 1 else count(after, depth - 1)
        return total

    return lambda depth: count(game.new_initial_state(), depth)


def open_spiel_go(state: State) -> tuple[Any, Any]:
    """Return open_spiel's module and its Go of the size and komi of a position; PeerMissingError where it has none."""
    pyspiel = installed("pyspiel", "open_spiel")
    if state.rows != state.columns or state.rows < 2:
        raise PeerMissingError("plays on square boards of 2x2 and more only")
    return pyspiel, pyspiel.load_game("go", {"board_size": int(state.rows), "komi": int(state.komi2) / 2})


def open_spiel_board(state: State) -> str:
    """Return a checkers position as open_spiel prints it: turned by half; o and 8 are Black's, + and * White's."""
    rows = []
    for row in range(7, -1, -1):
        cells = []
        for column in range(7, -1, -1):
            square = row * 4 + column // 2
            bit = 1 << square if (row + column) % 2 else 0
            is_king = bool(int(state.kings) & bit)
            black, white = int(state.black) & bit, int(state.white) & bit
            cells.append("8" if black and is_king else "o" if black else "*" if is_king else "+" if white else ".")
        rows.append(f"{row + 1}{''.join(cells)}\n")
    return "".join(rows) + " abcdefgh\n"


def open_spiel_checkers(turns: Sequence[Turn]) -> Any:
    """Return open_spiel's state after a line of our turns, each action found by the board that it leads to."""
    theirs = installed("pyspiel", "open_spiel").load_game("checkers").new_initial_state()
    ours = CHECKERS.new(1, "open_spiel")[0]
    for action in (action for turn in turns for action in turn):
        apply(ours, action)
        board = open_spiel_board(ours)
        theirs = next(after for after in map(theirs.child, theirs.legal_actions()) if str(after) == board)
    return theirs


def open_spiel_searcher() -> Callable[[Any, int], int]:
    """Return open_spiel's alpha-beta, a Python function over its C++ rules, with a count of pieces at the leaves.

    It has no transposition table and plays no captures out; its depth counts single jumps.
    """
    minimax = installed("open_spiel.python.algorithms.minimax", "open_spiel")

    def lead(state: Any) -> float:
        board = str(state)
        kings = board.count("8") - 1 - board.count("*")  # one 8 numbers a row
        return MAN * (board.count("o") - board.count("+")) + KING * kings

    def search(state: Any, depth: int) -> int:
        sign = 1.0 if state.current_player() == 0 else -1.0
        _, action = minimax.alpha_beta_search(
            state.get_game(),
            state=state,
            value_function=lambda leaf: sign * lead(leaf),
            maximum_depth=depth,
            maximizing_player_id=state.current_player(),
        )
        return int(action)

    return search


def open_spiel_tree_search(game: Game, simulations: int) -> Callable[[], object]:
    """Return open_spiel's Monte Carlo tree search from the start, in Python over its C++ rules, with random answers."""
    mcts = installed("open_spiel.python.algorithms.mcts", "open_spiel")
    pyspiel = importlib.import_module("pyspiel")
    rows, columns = game.planes_shape[1:]
    if game.family == "go" and rows != columns:
        raise PeerMissingError("its Go boards are square")
    theirs = pyspiel.load_game(f"go(board_size={rows},komi=7.5)" if game.family == "go" else game.name)

    generator = np.random.default_rng(0)
    weights = np.exp(generator.normal(0.0, 1.5, theirs.num_distinct_actions()))
    values = itertools.cycle(generator.uniform(-0.2, 0.2, 1000))

    class RandomAnswers:
        def evaluate(self, state: Any) -> NDArray:
            value = next(values)
            return np.array([value, -value])

        def prior(self, state: Any) -> list[tuple[int, float]]:
            legal = state.legal_actions()
            chances = weights[legal]
            return list(zip(legal, (chances / chances.sum()).tolist(), strict=True))

    bot = mcts.MCTSBot(theirs, 1.25, simulations, RandomAnswers(), child_selection_fn=mcts.SearchNode.puct_value)
    return lambda: bot.mcts_search(theirs.new_initial_state())


# --- pydraughts -------------------------------------------------------------------------------------------------------


def pydraughts_counter(state: State, is_start: bool) -> Counter:
    """Return pydraughts' move generator, which is written in Python, as a counter of turns."""
    draughts = installed("draughts", "pydraughts")
    if game_of(state) is not CHECKERS:
        raise PeerMissingError("plays checkers only")

    def count(board: Any, depth: int) -> int:
        moves = board.legal_moves()
        if depth == 1:
            return len(moves)
        total = 0
        for move in moves:
            board.push(move)
            total += count(board, depth - 1)
            board.pop()
        return total

    return lambda depth: count(draughts.Board(variant="english", fen=fen_name(state)), depth)


COUNTERS: dict[str, Callable[[State, bool], Counter]] = {
    "open_spiel": open_spiel_counter,
    "pydraughts": pydraughts_counter,
}
