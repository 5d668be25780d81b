"""Recorded games in flat arrays: splits, numbers of positions, shuffling, and positions as networks see them."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from games import go
from games.pdn import START_FEN, parse_fen
from games.record_batches import CHUNK, PositionReader
from games.record_formats import UNKNOWN, Fault, GameRecord, format_of
from games.records import Positions, Records, RecordsError, join, pack
from games.rules import GameError, apply, game_of, legal_mask, observe, to_play
from games.sgf import SgfGame, SgfStart, write_game
from games.shuffle import Shuffle
from games.symmetries import action_maps, num_symmetries, turn


def go_files(count: int, rows: int = 9, columns: int = 9, seed: int = 0, plies: int = 70) -> list[bytes]:
    """Return random games as SGF: every third with two black and one white stone set up, and White to move."""
    generator = np.random.default_rng(seed)
    files = []
    for number in range(count):
        black, white, first = ((0, 2), (8,), 1) if number % 3 == 2 else ((), (), 0)
        start = SgfStart(rows, columns, 6.5 if number % 2 else 0.5, black, white, first)
        state = go.game(rows, columns).new(1, "simple-ko")[0]
        go.setup(state, black, white, first)
        actions = []
        for _ in range(int(generator.integers(1, plies))):
            actions.append(int(generator.choice(game_of(state).legal_actions(state)[:-1] or [rows * columns])))
            apply(state, actions[-1])
        tags = {"RE": ("B+R", "W+2.5", "0", "Void")[number % 4], "BR": "3d", "WR": "9p"}
        players = tuple((first + ply) % 2 for ply in range(len(actions)))
        files.append(write_game(SgfGame(start, tuple(actions), players, 0, tags)))
    return files


def packed(files: list[bytes], archive: str = "kgs-2001.tar.xz") -> Records:
    found = [record for number, content in enumerate(files) for record in format_of("go").read(f"{number}", content)]
    assert not [record for record in found if isinstance(record, Fault)]
    return pack("go", archive, [record for record in found if isinstance(record, GameRecord)])


@pytest.fixture(scope="module")
def records() -> Records:
    return packed(go_files(24))


# --- the store ------------------------------------------------------------------------------------------------------


def test_what_a_record_becomes(records: Records) -> None:
    assert len(records) == 24
    assert records.result[:4].tolist() == [1, -1, 0, UNKNOWN]
    assert records.ranks[0].tolist() == [3, 19]
    assert records.handicap[:3].tolist() == [0, 0, 3]
    assert records.name(5) == "kgs-2001.tar.xz: 5"
    states = records.start_states()[records.start]
    assert states["komi2"][:2].tolist() == [1, 13]
    assert states["to_move"][:3].tolist() == [0, 0, 1]
    assert (go.stone_at(states[2], 0), go.stone_at(states[2], 8)) == (1, 2)
    assert records.nbytes < 400 * len(records)


def test_joined_parts_are_what_they_were(records: Records) -> None:
    parts = [packed(go_files(7, seed=1)), packed(go_files(5, 5, 7, seed=2), "pro-1950s.tar.xz"), records]
    whole = join("go", parts)
    index = 0
    for part in parts:
        for game in range(len(part)):
            assert (whole.actions(index) == part.actions(game)).all()
            assert whole.name(index) == part.name(game)
            assert whole.starts[whole.start[index]] == part.starts[part.start[game]]
            for field in ("result", "handicap", "hashes"):
                assert getattr(whole, field)[index] == getattr(part, field)[game]
            index += 1
    assert len(whole) == index
    assert whole.archives == ("kgs-2001.tar.xz", "pro-1950s.tar.xz")
    assert whole.collections == ("kgs", "pro")
    assert (
        whole.in_collection("pro").tolist() == whole.of_board(5, 7).tolist() == [False] * 7 + [True] * 5 + [False] * 24
    )
    assert len(join("go", [])) == 0 and len(Positions(join("go", []))) == 0


def test_copies_of_a_game_are_held_out_together_however_they_are_turned() -> None:
    files = go_files(40, plies=90)
    whole = packed(files)
    for symmetry in range(8):
        image = action_maps(9, 9)[symmetry]
        turned = [
            GameRecord("", whole.starts[whole.start[i]], image[whole.actions(i)], 0, (0, 0), 0)
            for i in range(len(whole))
        ]
        assert (pack("go", "", turned).hashes == whole.hashes).all()
    longer = whole.actions(0).tolist()
    assert len(set(whole.hashes.tolist())) == len(whole)
    one = [GameRecord("", whole.starts[0], np.array(longer[:k], np.int16), 0, (0, 0), 0) for k in (60, 61, len(longer))]
    if len(longer) > 60:
        assert len(set(pack("go", "", one).hashes.tolist())) == 1


def test_a_copy_without_the_last_passes_is_held_out_with_its_game() -> None:
    moves = np.arange(70) % 81
    for length in (0, 1, 40, 57, 58, 59, 60, 61, 70):
        ends = [np.append(moves[:length], [81] * passes).astype(np.int16) for passes in (0, 1, 2)]
        hashes = pack("go", "", [GameRecord("", "(;SZ[9])", actions, 0, (0, 0), 0) for actions in ends]).hashes
        assert len(set(hashes.tolist())) == 1, length
    inner = [np.array(actions, np.int16) for actions in ([1, 81, 2], [1, 2])]
    assert len(set(pack("go", "", [GameRecord("", "(;SZ[9])", a, 0, (0, 0), 0) for a in inner]).hashes.tolist())) == 2
    last = format_of("checkers").action_maps(8, 8).shape[1] - 1
    ends = [np.array([last] * count, np.int16) for count in (1, 2)]
    hashes = pack("checkers", "", [GameRecord("", START_FEN, actions, 0, (0, 0), 0) for actions in ends]).hashes
    assert hashes[0] != hashes[1], "checkers knows no pass"


def test_held_out_is_about_a_fraction_and_grows_with_it() -> None:
    whole = packed(go_files(400, plies=12))
    halves = whole.held_out(0.5)
    assert 150 < halves.sum() < 250
    assert (whole.held_out(0.1) <= halves).all()
    assert not whole.held_out(0).any() and whole.held_out(1).all()
    alone = packed(go_files(400, plies=12)[100:103])
    assert (alone.held_out(0.5) == halves[100:103]).all()
    with pytest.raises(RecordsError, match="allowed is 0 to 1"):
        whole.held_out(1.5)


def test_no_records_of_a_game_without_a_format() -> None:
    assert format_of("go-9x9") is format_of("go")
    with pytest.raises(
        GameError, match="no records of 'connect_four' can be read; there are formats for: go, checkers"
    ):
        format_of("connect_four")


# --- numbers of positions -------------------------------------------------------------------------------------------


def test_every_position_has_one_number(records: Records) -> None:
    chosen = np.array([5, 2, 17])
    positions = Positions(records, chosen)
    games, plies = positions.locate(np.arange(len(positions)))
    expected = [(int(game), ply) for game in chosen for ply in range(len(records.actions(int(game))))]
    assert list(zip(games.tolist(), plies.tolist(), strict=True)) == expected
    for wrong in (-1, len(positions)):
        with pytest.raises(RecordsError, match="asked of"):
            positions.locate(np.array([wrong]))


def test_games_of_no_moves_have_no_positions() -> None:
    empty = write_game(SgfGame())
    played = write_game(SgfGame(actions=(3,), players=(0,)))
    positions = Positions(packed([empty, played, empty, played, empty]))
    games, plies = positions.locate(np.arange(2))
    assert (len(positions), games.tolist(), plies.tolist()) == (2, [1, 3], [0, 0])


def test_positions_are_of_one_board() -> None:
    both = join("go", [packed(go_files(3)), packed(go_files(3, 5, 7))])
    with pytest.raises(RecordsError, match="several sizes \\(5x7, 9x9\\); choose one with of_board"):
        Positions(both)
    assert Positions(both, np.flatnonzero(both.of_board(5, 7))).board_game is go.game(5, 7)
    with pytest.raises(RecordsError, match="no positions"):
        PositionReader(Positions(both, np.zeros(0, np.int64)))


# --- shuffling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 64, 65, 1000, 4097])
def test_an_epoch_has_each_number_once(size: int) -> None:
    shuffle = Shuffle(size, seed=3)
    epochs = [shuffle.numbers(epoch * size, size) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(size))
    if size > 60:
        assert not (epochs[0] == epochs[1]).all()
        assert not (epochs[0] == Shuffle(size, seed=4).numbers(0, size)).all()


def test_the_stream_may_be_taken_up_anywhere() -> None:
    shuffle = Shuffle(1000, seed=5)
    whole = shuffle.numbers(0, 2500)
    assert (np.concatenate([shuffle.numbers(first, 77) for first in range(0, 2310, 77)]) == whole[:2310]).all()


def test_neighbours_in_the_stream_are_strangers() -> None:
    """The order of files must not show: stretches have the means of random ones, and no sample tells the next."""
    size = 1_000_003
    sample = Shuffle(size, seed=7).numbers(0, 40_000) / size
    means = sample.reshape(100, 400).mean(axis=1)
    assert abs(means.std() / (1 / np.sqrt(12 * 400)) - 1) < 0.25
    assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 0.02
    counts = np.bincount((sample * 64).astype(int), minlength=64)
    assert abs(((counts - 625) ** 2 / 625).sum() - 63) < 50  # chi squared of 63 degrees of freedom, 4.5 sigma


# --- symmetries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 3), (4, 2), (9, 9)])
def test_symmetries_are_a_group_that_starts_with_the_identity(rows: int, columns: int) -> None:
    maps = action_maps(rows, columns)
    assert len(maps) == num_symmetries(rows, columns)
    assert maps[0].tolist() == list(range(rows * columns + 1))
    images = {tuple(image) for image in maps.tolist()}
    for first, second in itertools.product(maps, maps):
        assert tuple(first[second].tolist()) in images
    if rows > 2:
        assert len(images) == len(maps)


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (4, 2)])
def test_an_action_moves_with_its_point(rows: int, columns: int) -> None:
    board = np.random.default_rng(0).permutation(rows * columns).reshape(rows, columns)
    for symmetry, image in enumerate(action_maps(rows, columns)):
        turned = turn(board, symmetry).ravel()
        assert all(turned[image[action]] == board.ravel()[action] for action in range(rows * columns))


# --- batches --------------------------------------------------------------------------------------------------------


def check_batch(records: Records, games: np.ndarray | None, symmetries: bool, dtype: type) -> None:
    """Compare a batch with positions that are replayed one by one through the contract."""
    positions = Positions(records, games)
    reader = PositionReader(positions, dtype=dtype)
    generator = np.random.default_rng(1)
    numbers = generator.integers(0, len(positions), 3 * CHUNK + 5)
    chosen = generator.integers(0, reader.num_symmetries, numbers.size) if symmetries else np.zeros(numbers.size, int)
    batch = reader.read(numbers, chosen if symmetries else None)
    game = positions.board_game
    starts = records.start_states()
    for i in range(numbers.size):
        index, ply = int(batch.games[i]), int(batch.plies[i])
        state = starts[records.start[index]].copy()
        actions = records.actions(index).tolist()
        for action in actions[:ply]:
            apply(state, action)
        planes = np.zeros(game.planes_shape, np.float32)
        observe(state, planes)
        mask = np.zeros(game.mask_words, np.uint64)
        legal_mask(state, mask)
        legal = np.unpackbits(mask.view(np.uint8), bitorder="little")[: game.num_actions].astype(bool)
        image = reader.action_maps[chosen[i]]
        assert batch.actions[i] == image[actions[ply]]
        assert (batch.planes[i] == turn(planes, chosen[i]).astype(dtype)).all()
        assert (batch.legal[i][image] == legal).all() and batch.legal[i, batch.actions[i]]
        assert batch.movers[i] == to_play(state)
        result = int(records.result[index])
        assert batch.has_outcome[i] == (result != UNKNOWN)
        assert batch.outcomes[i] == (0 if result == UNKNOWN else result if batch.movers[i] == 0 else -result)


@pytest.mark.parametrize("symmetries", [False, True])
def test_a_batch_of_go_is_what_one_by_one_replay_gives(records: Records, symmetries: bool) -> None:
    check_batch(records, None, symmetries, np.float32)
    check_batch(packed(go_files(9, 5, 7)), np.array([8, 1, 5]), symmetries, np.float32)


def test_a_batch_of_checkers_is_what_one_by_one_replay_gives() -> None:
    opening = "1. 11-15 22-18 2. 15x22 25x18 1-0"
    ending = '[FEN "W:W22:B11,18,5"]\n22x15x8 2. 5-9 8-3 *'
    found = list(format_of("checkers").read("a.pdn", f"{opening}\n\n{ending}\n".encode()))
    assert [record.name for record in found] == ["a.pdn", "a.pdn#2"]
    records = pack("checkers", "a.pdn", [record for record in found if isinstance(record, GameRecord)])
    assert records.result.tolist() == [1, UNKNOWN] and records.handicap.tolist() == [0, 4]
    assert records.starts[0] == START_FEN
    assert records.start_states()[1].white == parse_fen("W:W22:B11,18,5")[0].white
    check_batch(records, None, False, np.float32)


def test_a_start_says_the_same_in_every_version() -> None:
    (record,) = format_of("go").read("x.sgf", b"(;SZ[9]KM[7])")
    assert record.start == "(;FF[4]AP[Playfield]CA[UTF-8]GM[1]KM[7]PL[B]SZ[9])\n", "digests of games are of this text"


def test_a_damaged_game_of_a_file_is_named_and_the_rest_is_read() -> None:
    found = list(format_of("checkers").read("a.pdn", b"1. 11-15 24-20 *\n\n1. 1-32 *\n\n1. 9-14 *\n"))
    assert [type(record).__name__ for record in found] == ["GameRecord", "Fault", "GameRecord"]
    found = list(format_of("go").read("x.sgf", b"(;SZ[9];B[aa];W[bb];W[cc])"))
    assert found == [Fault("x.sgf", "move 3: White plays twice in a row")]


@pytest.mark.parametrize(
    ("moves", "reason"),
    [
        (b";B[aa];W[aa]", r"move 2, W\[aa\], is not legal: there is a stone"),
        (b";B[ba];W[];B[ab];W[aa]", r"move 4, W\[aa\], is not legal: it would be suicide"),
        (b";B[];W[];B[cc]", r"move 3, B\[cc\], is not legal: the game is over"),
        (b"AB[aa]AW[ab][ba];B[cc]", "a chain of the set-up stones has no liberty"),
        (b";B[jj]", "move 1: b'jj' is no point of a 9x9 board"),
    ],
)
def test_games_against_the_rules_are_told_with_the_rule(moves: bytes, reason: str) -> None:
    (fault,) = format_of("go").read("x.sgf", b"(;SZ[9]" + moves + b")")
    assert isinstance(fault, Fault)
    assert re.search(reason, fault.reason)


def test_a_game_that_comes_back_to_a_position_is_no_fault() -> None:
    """Players under simple ko do so: here superko would forbid the last move."""
    moves = b";B[aa];W[ba];B[ab];W[bb];B[aa];W[ab];B[aa]"
    (record,) = format_of("go").read("x.sgf", b"(;SZ[2]" + moves + b")")
    assert isinstance(record, GameRecord)
