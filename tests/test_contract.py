"""The contract of a board game, for every game: each function against a slow reference over thousands of games."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from games.checkers import CHECKERS
from games.compiled import lowest_bit, njit
from games.connect_four import CONNECT_FOUR
from games.go import game as go_game
from games.legal_masks import mask_to_bools
from games.rules import (
    CONTRACT,
    Game,
    GameError,
    State,
    apply,
    game_of,
    hash_key,
    init,
    is_over,
    is_quiet,
    legal_mask,
    observe,
    record_dtype,
    register,
    returns,
    to_play,
)
from tests.reference import Checkers, ConnectFour, Go, Reference, TicTacToe, checkers_record
from tests.tic_tac_toe import TIC_TAC_TOE

MAX_ACTIONS = 300  # where a random game is broken off


@dataclass(frozen=True)
class Case:
    """One game under one rule set: how to start a random game, and how many to play."""

    game: Game
    rules: str
    start: Callable[[np.random.Generator], Reference]
    games: int
    outcomes: frozenset[float]  # the returns that the random games must reach, or the test has missed something

    def record(self, reference: Reference) -> State:
        if isinstance(reference, Checkers):
            return checkers_record(reference, self.rules)
        return self.game.new(1, self.rules)[0]


def random_checkers(rules: str, generator: np.random.Generator) -> Checkers:
    """Start from a board with a few pieces anywhere, kings among them: long jumps, blocks and draws come soon."""
    board = [["."] * 8 for _ in range(8)]
    squares = [(row, column) for row in range(8) for column in range(8) if (row + column) % 2]
    number = generator.integers(2, generator.choice([5, 20]))
    pieces = generator.choice(list("bwBW"), number, p=(0.1, 0.1, 0.4, 0.4))
    for square, piece in zip(generator.permutation(len(squares)), pieces, strict=False):
        row, column = squares[square]
        board[row][column] = str(piece).upper() if row in (0, 7) else str(piece)
    diagram = "\n".join(map(" ".join, board))
    reference = Checkers(rules, diagram, str(generator.choice(["b", "w"])))
    reference.plies = int(generator.integers(0, 200))  # near the limit that some rule sets have
    return reference


ALL_OUTCOMES = frozenset((1.0, 0.0, -1.0))
WON_OR_LOST = frozenset((1.0, -1.0))
CASES = {
    "checkers-wcdf": Case(CHECKERS, "wcdf", lambda _: Checkers("wcdf"), 400, frozenset((1.0, -1.0))),
    "checkers-endings": Case(CHECKERS, "wcdf", lambda g: random_checkers("wcdf", g), 600, ALL_OUTCOMES),
    "checkers-anaconda": Case(CHECKERS, "anaconda", lambda g: random_checkers("anaconda", g), 150, ALL_OUTCOMES),
    "checkers-open_spiel": Case(CHECKERS, "open_spiel", lambda _: Checkers("open_spiel"), 150, ALL_OUTCOMES),
    "checkers-endless": Case(CHECKERS, "endless", lambda g: random_checkers("endless", g), 100, frozenset((1.0, -1.0))),
    "connect_four": Case(CONNECT_FOUR, "standard", lambda _: ConnectFour(), 1500, ALL_OUTCOMES),
    "go-chinese": Case(go_game(5), "chinese", lambda _: Go(5, 5, move_limit=75), 15, WON_OR_LOST),
    "go-tromp-taylor": Case(
        go_game(2, 3, komi=0),
        "tromp-taylor",
        lambda _: Go(2, 3, suicide=True, komi=0, move_limit=64),
        150,
        ALL_OUTCOMES,
    ),
    "go-situational": Case(
        go_game(4, 2, komi=-1),
        "situational",
        lambda _: Go(4, 2, "situational", komi=-1, move_limit=64),
        150,
        ALL_OUTCOMES,
    ),
    "go-simple-ko": Case(
        go_game(3, komi=2), "simple-ko", lambda _: Go(3, 3, "simple", komi=2, move_limit=64), 150, ALL_OUTCOMES
    ),
    "tic_tac_toe": Case(TIC_TAC_TOE, "standard", lambda _: TicTacToe(), 1000, ALL_OUTCOMES),
    "tic_tac_toe-misere": Case(TIC_TAC_TOE, "misere", lambda _: TicTacToe("misere"), 1000, ALL_OUTCOMES),
}
GAMES = {"checkers": CHECKERS, "connect_four": CONNECT_FOUR, "go-9x9": go_game(9), "tic_tac_toe": TIC_TAC_TOE}


@njit
def play_randomly(states, choices, actions, masks, facts, keys, planes):
    """Play from states[0] until the game or the room ends, writing down what every function says of every position.

    states [T], choices uint32[T], actions int64[T], masks uint64[T, W], facts float64[T, 4] (over, returns where over,
    to play, quiet), keys uint64[T], planes [T, C, H, W]. Returns the number of positions written.
    """
    for t in range(states.size):
        state = states[t]
        legal_mask(state, masks[t])
        observe(state, planes[t])
        keys[t] = hash_key(state)
        over = is_over(state)
        facts[t, 0] = over
        facts[t, 1] = returns(state) if over else 0.0
        facts[t, 2] = to_play(state)
        facts[t, 3] = is_quiet(state)
        actions[t] = -1
        if over or t + 1 == states.size:
            return t + 1
        actions[t] = random_action(masks[t], choices[t])
        states[t + 1] = state
        apply(states[t + 1], actions[t])
    return states.size


@njit
def random_action(mask, choice):
    """Return the (choice mod n)-th of the n legal actions."""
    count = 0
    for a in range(64 * mask.size):
        count += np.int64(mask[a // 64] >> np.uint64(a % 64)) & 1
    left = np.int64(choice) % count
    for word in range(mask.size):
        actions = mask[word]
        while actions != 0:
            if left == 0:
                return word * 64 + lowest_bit(actions)
            left -= 1
            actions &= actions - np.uint64(1)
    return np.int64(-1)


@dataclass
class Trace:
    """What the kernels said of one random game; the first axis is the position."""

    states: Any
    actions: Any
    masks: Any
    facts: Any
    keys: Any
    planes: Any


def play_trace(game: Game, start: State, generator: np.random.Generator) -> Trace:
    """Play one random game in a kernel; every output buffer starts as garbage, which the functions must overwrite."""
    room = MAX_ACTIONS
    trace = Trace(
        states=np.zeros(room, game.dtype),
        actions=np.empty(room, np.int64),
        masks=np.full((room, game.mask_words), 0xDEADBEEFDEADBEEF, np.uint64),
        facts=np.empty((room, 4)),
        keys=np.empty(room, np.uint64),
        planes=np.full((room, *game.planes_shape), np.nan, np.float32),
    )
    trace.states[0] = start
    choices = generator.integers(0, 2**32, room, np.uint32)
    length = play_randomly(trace.states, choices, trace.actions, trace.masks, trace.facts, trace.keys, trace.planes)
    return Trace(**{name: array[:length] for name, array in vars(trace).items()})


def traces(case: Case, games: int) -> Iterator[tuple[Reference, Trace]]:
    """Yield random games with the references they start from; the same ones at every call."""
    generator = np.random.default_rng(1)
    for _ in range(games):
        reference = case.start(generator)
        yield reference, play_trace(case.game, case.record(reference), generator)


# --- against the reference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_function_agrees_with_the_reference(case: Case) -> None:
    outcomes: Counter[float] = Counter()
    names_of_keys: dict[int, object] = {}
    keys_of_names: dict[object, int] = {}
    for reference, trace in traces(case, case.games):
        legal = mask_to_bools(trace.masks, 64 * case.game.mask_words)
        for t, action in enumerate(trace.actions.tolist()):
            actions = reference.legal_actions()
            assert np.flatnonzero(legal[t]).tolist() == actions
            value = 0.0 if actions else reference.returns()
            assert trace.facts[t].tolist() == [not actions, value, reference.to_play, reference.is_quiet()]
            assert np.array_equal(trace.planes[t], np.array(reference.planes(), np.float32))
            name, key = reference.position(), int(trace.keys[t])
            assert names_of_keys.setdefault(key, name) == name, "two positions share a key"
            assert keys_of_names.setdefault(name, key) == key, "one position has two keys"
            if not actions:
                outcomes[value] += 1
            elif action >= 0:
                reference.play(action)
    assert set(outcomes) >= case.outcomes


# --- from Python, in batches, and what must not change ----------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_generic_functions_say_the_same_from_python_as_inside_a_kernel(case: Case) -> None:
    mask, planes = np.ones(case.game.mask_words, np.uint64), np.ones(case.game.planes_shape, np.float32)
    for _, trace in traces(case, 5):
        state = trace.states[0].copy()
        for t, action in enumerate(trace.actions.tolist()):
            assert state == trace.states[t]
            legal_mask(state, mask)
            observe(state, planes)
            assert mask.tolist() == trace.masks[t].tolist()
            assert np.array_equal(planes, trace.planes[t])
            assert hash_key(state) == trace.keys[t]
            value = returns(state) if is_over(state) else 0.0
            assert trace.facts[t].tolist() == [is_over(state), value, to_play(state), is_quiet(state)]
            assert case.game.legal_actions(state) == np.flatnonzero(mask_to_bools(mask, case.game.num_actions)).tolist()
            if action >= 0:
                apply(state, action)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_playing_on_a_copy_leaves_the_original_alone(game: Game) -> None:
    states = game.new(3)
    before = states[0].tobytes()
    states[1] = states[0]
    for copied in (states[1], states[0].copy()):
        apply(copied, game.legal_actions(copied)[0])
        assert copied.tobytes() != before
    assert states[0].tobytes() == states[2].tobytes() == before


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_function_touches_the_rule_fields(case: Case) -> None:
    for _, trace in traces(case, 5):
        rules = case.game.rule_sets[case.rules]
        last = trace.states[-1].copy()
        assert {name: last[name] for name in rules} == rules
        init(last)
        assert {name: last[name] for name in rules} == rules
        start = case.game.new(1, case.rules)[0]
        assert hash_key(last) == hash_key(start)
        mine, fresh = (play_trace(case.game, state, np.random.default_rng(2)) for state in (last, start))
        assert mine.actions.tolist() == fresh.actions.tolist()
        assert mine.facts.tolist() == fresh.facts.tolist()


@njit
def advance(states, choices, masks):
    """Play one random action in every game of a batch that is not over."""
    for i in range(states.size):
        legal_mask(states[i], masks[i])
        if not is_over(states[i]):
            apply(states[i], random_action(masks[i], choices[i]))


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_a_batch_equals_batches_of_one(game: Game) -> None:
    batch_size = 32
    batch, singles = game.new(batch_size), [game.new(1) for _ in range(batch_size)]
    masks = np.zeros((batch_size, game.mask_words), np.uint64)
    generator = np.random.default_rng(3)
    for _ in range(60):
        choices = generator.integers(0, 2**32, batch_size, np.uint32)
        advance(batch, choices, masks)
        for i, single in enumerate(singles):
            advance(single, choices[i : i + 1], np.zeros((1, game.mask_words), np.uint64))
    assert len({state.tobytes() for state in batch}) > 1
    assert batch.tobytes() == b"".join(single.tobytes() for single in singles)


# --- the table of games -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_a_record_names_its_game(game: Game) -> None:
    states = game.new(2)
    assert game_of(states) is game
    assert game_of(states[0]) is game
    assert set(game.functions) == set(CONTRACT)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_an_unknown_rule_set_is_refused_in_one_line(game: Game) -> None:
    with pytest.raises(GameError) as error:
        game.new(1, "house rules")
    assert str(error.value) == f"{game.name} has no rule set 'house rules'; there are: {', '.join(game.rule_sets)}"


def test_two_games_cannot_share_their_field_names() -> None:
    with pytest.raises(GameError, match="game 'three' has the field names of 'tic_tac_toe'"):
        register(replace(TIC_TAC_TOE, name="three"))


def test_a_field_that_numpys_own_attributes_hide_is_refused() -> None:
    with pytest.raises(GameError, match="field 'size': in plain Python numpy's own attribute hides it"):
        record_dtype([("board", np.uint8), ("size", np.uint8)])


def test_records_with_padding_are_refused() -> None:
    """Equal positions are equal bytes, however they were copied."""
    padded = record_dtype([("cells", np.uint32), ("mover", np.uint8)])
    with pytest.raises(GameError, match="records of game 'padded' have 3 bytes of padding: fill them with a field"):
        register(replace(TIC_TAC_TOE, name="padded", dtype=padded))


def test_a_game_that_lacks_a_function_is_refused() -> None:
    functions = {name: function for name, function in TIC_TAC_TOE.functions.items() if name != "hash_key"}
    other = record_dtype([("other", np.uint8)])
    with pytest.raises(GameError, match="game 'other' lacks the function 'hash_key' of the contract"):
        register(replace(TIC_TAC_TOE, name="other", dtype=other, functions=functions))
    with pytest.raises(GameError, match="no game is registered for records with the fields"):
        game_of(np.zeros(1, other))
