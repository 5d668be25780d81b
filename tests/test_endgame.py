"""Endgame tables: known counts, the rules' own recursion, known endings, the index, and files that must be refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from games import endgame
from games.checkers import BLACK, CHECKERS, NUM_SQUARES, WHITE
from games.compiled import njit
from games.endgame import NO_TABLES, UNKNOWN, EndgameError, Tables, load, load_or_build, outcome, probe, turns_left
from games.endgame import __main__ as command
from games.endgame import solver as endgame_solver
from games.endgame import tables as endgame_tables
from games.endgame.index import LONGEST, NO_POSITION, PAIRS, all_subsets, index_of, num_entries, position_at
from games.endgame.solver import memory_needed, solve, solve_pair
from games.notation import legal_turns, play_turn
from games.rules import States, is_quiet
from tests.reference import rotate

COUNTS = {  # pieces: won, lost, drawn with Black to move
    2: (716, 402, 2_370),
    3: (100_250, 87_305, 8_477),
    4: (2_574_304, 1_917_090, 1_717_922),
}

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="millions of positions: numba is switched off")


@pytest.fixture(scope="module")
def tables() -> Tables:
    if numba.config.DISABLE_JIT:
        pytest.skip("millions of positions: numba is switched off")
    return Tables(4, solve(4))


def position(black: str, white: str, to_play: int = BLACK) -> States:
    """Return a batch of one; pieces as "3 K14": squares 1-32, K for a king."""
    states = CHECKERS.new(1, "endless")
    boards = [0, 0]
    kings = 0
    for side, pieces in enumerate((black, white)):
        for piece in pieces.split():
            square = 1 << (int(piece.lstrip("K")) - 1)
            boards[side] |= square
            kings |= square if piece.startswith("K") else 0
    states["black"], states["white"], states["kings"], states["to_play"] = *boards, kings, to_play
    return states


def random_positions(count: int, seed: int, max_pieces: int = 4) -> States:
    """Return positions of 2 to max_pieces pieces, at least one a side, no man on its king row, either side to move."""
    rng = np.random.default_rng(seed)
    states = CHECKERS.new(count, "endless")
    for state in states:
        pieces = int(rng.integers(2, max_pieces + 1))
        num_black = int(rng.integers(1, pieces))
        squares = rng.permutation(NUM_SQUARES)[:pieces]
        black, white = squares[:num_black], squares[num_black:]
        crowned = rng.random(pieces) < rng.choice([0.2, 0.5, 1.0])
        kings = set(squares[crowned]) | {s for s in black if s >= 28} | {s for s in white if s < 4}
        state.black, state.white, state.kings = (sum(1 << int(s) for s in group) for group in (black, white, kings))
        state.to_play = int(rng.integers(2))
    return states


# --- golden values ----------------------------------------------------------------------------------------------------


def test_counts_are_the_known_ones(tables):
    assert {pieces: counts[:3] for pieces, counts in tables.counts().items()} == COUNTS


def test_fewer_pieces_give_the_beginning_of_the_same_tables(tables):
    assert np.array_equal(solve(3), tables.entries[: num_entries(3)])


@pytest.mark.parametrize(
    ("black", "white", "to_play", "value"),
    [
        # First Position, published with 93 turns of perfect play (brainwagon.org, 11 May 2008).
        ("3 K25", "6 11", WHITE, (1, 93)),
        # First Position without the move, won all the same (B. Newell, Checker Maven, 8 April 2017).
        ("K6 K15", "22 K5", BLACK, (1, None)),
        # King against king is drawn, unless it can be taken or has nowhere to go.
        ("K14", "K32", BLACK, (0, 0)),
        ("14", "18", BLACK, (1, 1)),
        ("14", "18", WHITE, (1, 1)),
        # Hemmed in: lost here and now.
        ("21", "25 30", BLACK, (-1, 0)),
        ("K1 K2", "5", WHITE, (-1, 0)),
    ],
)
def test_known_endings(tables, black, white, to_play, value):
    found = tables.value(position(black, white, to_play)[0])
    assert found == (value if value[1] is not None else (value[0], found[1]))


# --- the rules' own recursion -----------------------------------------------------------------------------------------


def best_by_recursion(tables: Tables, state) -> tuple[int, int]:
    """Return what the values after each legal turn make of a position."""
    wins, losses, draws = [], [], False
    for turn in legal_turns(state):
        after = state.copy()
        play_turn(after, turn)
        value = (-1, 0) if after.black == 0 or after.white == 0 else tables.value(after)
        wins += [value[1] + 1] * (value[0] == -1)
        losses += [value[1] + 1] * (value[0] == 1)
        draws |= value[0] == 0
    if wins:
        return 1, min(wins)
    return (0, 0) if draws else (-1, max(losses, default=0))


def test_values_follow_from_those_after_each_turn(tables):
    seen = set()
    for state in random_positions(4_000, seed=1):
        value = tables.value(state)
        assert value == best_by_recursion(tables, state), state
        seen.add(value)
    assert {value[0] for value in seen} == {-1, 0, 1}
    assert len(seen) > 60  # distances of every length


def test_longest_win_played_out_takes_as_many_turns_as_told(tables):
    longest = max(counts.longest for counts in tables.counts().values())
    start = max(random_positions(4_000, seed=2), key=lambda state: tables.value(state)[1]).copy()
    told = tables.value(start)
    assert longest >= told[1] > 40
    for left in range(told[1], 0, -1):
        value = tables.value(start)
        assert value == (told[0] if (told[1] - left) % 2 == 0 else -told[0], left)
        turn = next(turn for turn in legal_turns(start) if _turns_left_after(tables, start, turn) == left - 1)
        play_turn(start, turn)
    assert legal_turns(start) == []


def _turns_left_after(tables: Tables, state, turn) -> int:
    after = state.copy()
    play_turn(after, turn)
    value = (-1, 0) if after.black == 0 or after.white == 0 else tables.value(after)
    return -1 if value[0] == 0 else value[1]


# --- three kings against two, which the original could not win --------------------------------------------------------


@needs_jit
def test_three_kings_beat_two_that_hold_the_double_corners():
    entries = np.zeros(num_entries(5), np.uint8)
    subsets = all_subsets()
    for pair in PAIRS:
        if pair.men == 0 and pair.pieces <= 5 and max(pair.material) <= 3:
            keys = pair.material.key, pair.material.mirrored.key
            solve_pair(entries, subsets, *keys, pair.start, pair.middle, pair.stop, pair.material.positions)
    tables = Tables(5, entries)
    rng = np.random.default_rng(3)
    examined = 0
    for white in ("K1 K28", "K1 K32", "K5 K28", "K5 K32"):
        taken = {int(king[1:]) for king in white.split()}
        free = [square for square in range(1, 33) if square not in taken]
        for _ in range(150):
            black = " ".join(f"K{square}" for square in rng.choice(free, 3, replace=False))
            state = position(black, white)[0]
            threat = position(black, white, WHITE)[0]
            if is_quiet(state) and is_quiet(threat):
                examined += 1
                assert tables.value(state)[0] == 1, (black, white)
    assert examined > 300


# --- symmetry, and what a search may ask ------------------------------------------------------------------------------


def test_turned_positions_have_the_same_value(tables):
    for state in random_positions(2_000, seed=4):
        there = state.copy()
        rotate(there)
        assert there.to_play != state.to_play
        assert tables.value(there) == tables.value(state)


def test_positions_outside_the_tables_are_unknown(tables):
    entries = tables.entries
    assert probe(entries, CHECKERS.new(1)[0]) == UNKNOWN
    assert tables.value(position("K1 K2 K3", "K30 K31")[0]) is None
    assert tables.value(position("K1 K2 K3 K4 K5 K6", "K31")[0]) is None
    assert tables.value(position("K1", "")[0]) is None
    assert tables.value(position("", "K1")[0]) is None
    assert tables.value(position("30", "K1")[0]) is None  # a man on its king row
    jumping = position("K1", "6 14")[0]
    assert tables.value(jumping) is not None
    play_turn(jumping, legal_turns(jumping)[0][:1])
    assert jumping.jumper < NUM_SQUARES
    assert tables.value(jumping) is None
    assert probe(NO_TABLES, position("K1", "K32")[0]) == UNKNOWN


def test_results_tell_outcome_and_turns():
    assert [(outcome(result), turns_left(result)) for result in range(5)] == [(0, 0), (-1, 0), (1, 1), (-1, 2), (1, 3)]


@njit
def count_known(entries, states):
    """Return how many positions the tables hold: `probe` as a search calls it."""
    known = 0
    for i in range(states.size):
        known += probe(entries, states[i]) != UNKNOWN
    return known


def test_stored_tables_and_none_share_one_compiled_kernel(tables, tmp_path):
    endgame.save(tables, endgame.tables_path(4, tmp_path))
    stored = load_or_build(4, folder=tmp_path)
    assert np.array_equal(stored.entries, tables.entries)
    states = random_positions(100, seed=5)
    assert count_known(stored.entries, states) == 100
    assert count_known(tables.entries, states) == 100
    assert count_known(NO_TABLES, states) == 0
    assert len(count_known.signatures) == 1


# --- the index --------------------------------------------------------------------------------------------------------


def test_index_and_position_are_inverse_in_every_slice():
    subsets = all_subsets()
    rng = np.random.default_rng(6)
    start = 0
    for pair in PAIRS:
        assert pair.start == start
        assert pair.start % 8 == pair.middle % 8 == 0
        start = pair.stop
        slices = [(pair.material, pair.start), (pair.material.mirrored, pair.middle)]
        for material, first in slices[: 1 if pair.middle == pair.stop else 2]:
            assert first + material.positions <= pair.stop
            offsets = {0, material.positions - 1, *(int(o) for o in rng.integers(0, material.positions, 50))}
            for offset in offsets:
                black, white, kings = position_at(subsets, material.key, offset)
                if black & white == 0:
                    assert index_of(black, white, kings) == first + offset
                    counts = (black & ~kings, black & kings, white & ~kings, white & kings)
                    assert tuple(int(group).bit_count() for group in counts) == tuple(material)
    assert start == num_entries(6)


def test_every_byte_is_a_position_or_marked_as_none(tables):
    assert np.count_nonzero(tables.entries != NO_POSITION) == sum(sum(counts) for counts in COUNTS.values())


def test_results_too_long_for_a_byte_keep_their_outcome(tables):
    """The solver with a byte that ends at 5 turns, without the JIT: outcomes as ever, distances cut off by parity."""
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from games.endgame import solver\n"
        "solver.LONGEST = 6\n"
        "print(solver.solve(2).tolist())\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    full = tables.entries[: num_entries(2)].astype(int)
    assert LONGEST > full[full < NO_POSITION].max() > 6
    expected = np.where((full > 6) & (full < NO_POSITION), 6 - full % 2, full)
    assert json.loads(finished.stdout) == expected.tolist()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_file(tmp_path) -> Path:
    load_or_build(2, folder=tmp_path)
    return endgame.tables_path(2, tmp_path)


def test_load_reads_what_was_built(small_file):
    assert load(small_file, 2).counts()[2][:3] == COUNTS[2]


@pytest.mark.parametrize("place", [0, 12, 16, 20, 24, 40, 64, 1000, -1])
def test_one_flipped_bit_is_refused(small_file, place):
    content = bytearray(small_file.read_bytes())
    content[place] ^= 1
    small_file.write_bytes(content)
    with pytest.raises(EndgameError) as caught:
        load(small_file, 2)
    assert str(small_file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 10, 64, 1000])
def test_truncated_file_is_refused_and_made_anew(small_file, size, capsys):
    whole = small_file.read_bytes()
    small_file.write_bytes(whole[:size])
    with pytest.raises(EndgameError):
        load(small_file, 2)
    assert load_or_build(2, folder=small_file.parent).counts()[2][:3] == COUNTS[2]
    said = capsys.readouterr().err
    assert str(small_file) in said
    assert "making it anew" in said
    assert small_file.read_bytes() == whole


def test_file_of_another_size_or_none_is_refused(small_file, tmp_path):
    with pytest.raises(EndgameError, match="up to 2 pieces, not of 3"):
        load(small_file, 3)
    with pytest.raises(EndgameError, match="cannot read"):
        load(tmp_path / "missing.tables", 2)


def test_stored_file_is_not_made_again(small_file, monkeypatch):
    monkeypatch.setattr(endgame_tables, "solve", lambda *_: pytest.fail("made again"))
    assert load_or_build(2, folder=small_file.parent).max_pieces == 2


def test_failed_write_leaves_nothing_and_is_told(tmp_path, monkeypatch, capsys):
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    assert load_or_build(2, folder=tmp_path).counts()[2][:3] == COUNTS[2]
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_too_many_pieces_and_too_little_memory_are_refused(monkeypatch, tmp_path):
    with pytest.raises(EndgameError, match="2 to 6 pieces, not 7"):
        load_or_build(7, folder=tmp_path)
    monkeypatch.setattr(endgame_solver, "free_memory", lambda: 1_000_000)
    with pytest.raises(EndgameError, match=r"5 pieces need 0\.\d\d GB of memory .* 0\.00 GB are free"):
        load_or_build(5, folder=tmp_path)
    assert memory_needed(6) > 2_500_000_000


@needs_jit
def test_command_prints_counts_and_says_what_it_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PLAYFIELD_TABLES", str(tmp_path))
    assert command.main(["--pieces", "3", "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["made"]
    assert [report["counts"]["3"][key] for key in ("wins", "losses", "draws")] == list(COUNTS[3])
    assert "of memory" in printed.err
    assert command.main(["--pieces", "3"]) == 0
    assert "100,250" in capsys.readouterr().out
