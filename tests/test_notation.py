"""Turns as text: names and meanings in checkers, Connect Four and a game without a notation of its own."""

from __future__ import annotations

import random

import numpy as np
import pytest

from games import go
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.notation import NotationError, legal_turns, parse_turn, play_turn, turn_name, why_illegal_in_go
from games.pdn import parse_fen
from games.perft import perft
from games.rules import CONTRACT, Game, State, is_over, record_dtype, register

TWO_ROUTES = "B:W7,8,15,16:B3"  # 3x10x19 and 3x12x19
LOOP = "B:W7,8,15,16:BK3"  # round in either direction, back to 3


def names(state: State) -> list[str]:
    return [turn_name(state, turn) for turn in legal_turns(state)]


def position(fen: str) -> State:
    return parse_fen(fen)[0]


def test_the_first_moves_of_checkers():
    assert sorted(names(CHECKERS.new(1)[0])) == ["10-14", "10-15", "11-15", "11-16", "12-16", "9-13", "9-14"]


@pytest.mark.parametrize("text", ["11-15", " 11 - 15\n", "11x15", "11:15", "11X15"])
def test_a_quiet_move_may_be_written_in_several_ways(text):
    state = CHECKERS.new(1)[0]
    assert turn_name(state, parse_turn(state, text)) == "11-15"


@pytest.mark.parametrize("text", ["22x15x8", "22x8", "22-8", "22-15-8", "22 x 15 x 8"])
def test_a_capture_may_be_written_in_several_ways(text):
    state = position("W:W22:B11,18,5")
    turn = parse_turn(state, text)
    assert (len(turn), turn_name(state, turn)) == (2, "22x15x8")
    play_turn(state, turn)
    assert (int(state.black), int(state.white)) == (1 << 4, 1 << 7)


def test_an_ambiguous_capture_lists_its_routes():
    state = position(TWO_ROUTES)
    assert sorted(names(state)) == ["3x10x19", "3x12x19"]
    with pytest.raises(NotationError, match="'3x19' may mean several moves; write one of: 3x10x19, 3x12x19"):
        parse_turn(state, "3x19")
    assert turn_name(state, parse_turn(state, "3x12x19")) == "3x12x19"


def test_routes_that_come_to_the_same_are_not_ambiguous():
    state = position(LOOP)
    assert sorted(names(state)) == ["3x10x19x12x3", "3x12x19x10x3"]
    assert len(parse_turn(state, "3x3")) == len(parse_turn(state, "3-12-3")) == 4


def test_the_rest_of_a_capture_that_has_begun():
    state = position("W:W22:B11,18,5")
    play_turn(state, parse_turn(state, "22x8")[:1])
    assert names(state) == ["15x8"]


@pytest.mark.parametrize(
    ("fen", "text", "message"),
    [
        (None, "11-19", "'11-19' is not legal here; legal: 9-13, 10-14, 11-15, 12-16, 9-14, 10-15, 11-16"),
        (None, "start", "cannot read 'start' as a move; write it like 11-15 or 22x15x8, squares 1 to 32"),
        (None, "11-33", "cannot read '11-33' as a move"),
        (None, "0-4", "cannot read '0-4' as a move"),
        (None, "", "cannot read '' as a move"),
        (None, "11\n" * 99, "cannot read '11.n11"),
        ("W:W22:B11,18,5", "22-17", "'22-17' is not legal here; legal: 22x15x8"),
        ("W:W22:B11,18,5", "22x15", "'22x15' is not legal here; legal: 22x15x8"),
        ("W:W:B5", "22-17", "cannot play '22-17': the game is over"),
    ],
)
def test_errors_are_one_line_that_says_what_is_allowed(fen, text, message):
    state = position(fen) if fen else CHECKERS.new(1)[0]
    with pytest.raises(NotationError, match=message) as caught:
        parse_turn(state, text)
    assert "\n" not in str(caught.value)


def crowded_position(chance: random.Random) -> State:
    """Return a position with many kings, where captures have many routes."""
    state = CHECKERS.new(1)[0]
    squares = chance.sample(range(32), 14)
    state.black = np.uint32(sum(1 << square for square in squares[:4]))
    state.white = np.uint32(sum(1 << square for square in squares[4:]))
    state.kings = np.uint32(int(state.black | state.white))
    return state


def test_every_legal_turn_reads_back_as_itself():
    chance = random.Random(5)
    num_captures = 0
    for game_number in range(60):
        state = crowded_position(chance) if game_number % 3 else CHECKERS.new(1)[0]
        for _ in range(20):
            turns = legal_turns(state)
            if not turns:
                break
            written = names(state)
            assert len(set(written)) == len(turns)
            assert [parse_turn(state, name) for name in written] == turns
            num_captures += max(len(turn) for turn in turns) > 1
            play_turn(state, chance.choice(turns))
    assert num_captures > 20


def test_legal_turns_agree_with_perft():
    for fen in (TWO_ROUTES, LOOP, "W:W18,26,27,K9:B1,K11,14,15,23"):
        states = parse_fen(fen, "endless")
        assert len(legal_turns(states[0])) == perft(states[0], 1)


def test_connect_four_counts_columns_from_1():
    state = CONNECT_FOUR.new(1)[0]
    assert names(state) == ["1", "2", "3", "4", "5", "6", "7"]
    assert parse_turn(state, " 4 ") == (3,)
    for _ in range(6):
        play_turn(state, (6,))
    with pytest.raises(NotationError, match=r"'7' is not legal here; legal: 1, 2, 3, 4, 5, 6$"):
        parse_turn(state, "7")
    with pytest.raises(NotationError, match="cannot read 'd' as a move; write it like 4, the column counted from 1"):
        parse_turn(state, "d")


# --- a game that has no notation of its own: take 1-3 sticks of 5; whoever takes one goes on --------------------------


def toy_init(state):
    state.sticks_left = np.uint8(5)
    state.taker = np.uint8(0)


def toy_apply(state, action):
    state.sticks_left = np.uint8(max(state.sticks_left - action - 1, 0))
    if action > 0:
        state.taker = np.uint8(1 - state.taker)


def toy_legal_mask(state, mask):
    mask[0] = np.uint64((1 << min(np.int64(state.sticks_left), np.int64(3))) - 1)


def toy_is_over(state):
    return state.sticks_left == 0


def toy_to_play(state):
    return np.int64(state.taker)


def toy_is_quiet(state):
    return False  # taking one is always allowed, and the turn goes on


def unused(state):
    raise NotImplementedError


@pytest.fixture(scope="module")
def toy() -> Game:
    functions = dict.fromkeys(CONTRACT, unused) | {
        "init": toy_init,
        "apply": toy_apply,
        "legal_mask": toy_legal_mask,
        "is_over": toy_is_over,
        "to_play": toy_to_play,
        "is_quiet": toy_is_quiet,
    }
    dtype = record_dtype([("sticks_left", np.uint8), ("taker", np.uint8)])
    return register(Game("sticks", dtype, 3, (1, 1, 1), {"standard": {}}, 1, functions))


def test_a_game_without_a_notation_writes_its_action_numbers(toy):
    state = toy.new(1)[0]
    written = names(state)
    assert written[:4] == ["0,0,0,0,0", "0,0,0,1", "0,0,1", "0,0,2"]
    assert [parse_turn(state, name) for name in written] == legal_turns(state)
    assert parse_turn(state, "0, 2") == (0, 2)
    play_turn(state, (0, 0, 2))
    assert is_over(state)
    assert legal_turns(state) == []


# --- Go -------------------------------------------------------------------------------------------------------------


def test_go_is_written_in_vertices_that_skip_i():
    state = go.game(19).new(1)[0]
    written = names(state)
    assert (written[0], written[18], written[-2], written[-1]) == ("A19", "T19", "T1", "pass")
    assert len(set(written)) == 362 and not any(name.startswith("I") for name in written)
    for name in ("J10", " d4", "PASS"):
        assert turn_name(state, parse_turn(state, name)).lower() == name.strip().lower()


def test_go_on_a_rectangle():
    state = go.game(3, 5).new(1)[0]
    assert parse_turn(state, "E1") == (14,)
    assert parse_turn(state, "A3") == (0,)
    assert parse_turn(state, "pass") == (15,)


@pytest.mark.parametrize("text", ["I4", "44", "D", "", "dd", "\u212a1", "A\u0661"])
def test_what_is_no_vertex(text):
    with pytest.raises(NotationError, match="write it like D4"):
        parse_turn(go.game(3, 5).new(1)[0], text)


@pytest.mark.parametrize("text", ["F1", "A4", "A0", "K1"])
def test_what_is_off_the_board(text):
    with pytest.raises(NotationError, match=f"'{text}' is not legal here; the board is A1 to E3$"):
        parse_turn(go.game(3, 5).new(1)[0], text)


@pytest.mark.parametrize(
    ("columns", "moves", "refused", "reason"),
    [
        (3, "A1", "A1", "there is a stone"),
        (3, "B1 pass A2", "A1", "it would be suicide"),
        (4, "B3 C3 A2 D2 B1 C1 C2 B2", "C2", "it would retake the ko at once"),
        (2, "A2 B2 A1 B1 A2 A1", "A2", "it would repeat an earlier position"),
    ],
)
def test_go_says_which_rule_forbids_a_move(columns, moves, refused, reason):
    state = go.game(2 if columns == 2 else 3, columns).new(1)[0]
    for move in moves.split():
        play_turn(state, parse_turn(state, move))
    with pytest.raises(NotationError, match=f"'{refused}' is not legal here; {reason}$"):
        parse_turn(state, refused)


def test_no_move_after_two_passes():
    state = go.game(5).new(1)[0]
    for _ in range(2):
        play_turn(state, parse_turn(state, "pass"))
    with pytest.raises(NotationError, match="the game is over"):
        parse_turn(state, "A1")
    assert why_illegal_in_go(state, 0) == "the game is over"
