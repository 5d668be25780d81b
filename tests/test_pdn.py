"""PDN: positions, games, what malformed text is answered with, and every record of the archives."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.checkers import BLACK, CHECKERS, WHITE, piece_counts
from games.notation import legal_turns, parse_turn, play_turn, turn_name
from games.pdn import RESULTS, START_FEN, PdnError, PdnGame, fen_name, parse_fen, read_games, write_game
from games.rules import State

SAMPLE = (Path(__file__).parent / "data" / "sample.pdn").read_text()
ARCHIVES = Path(__file__).parents[2] / "shared" / "data" / "checkers"
needs_archives = pytest.mark.skipif(not ARCHIVES.is_dir(), reason="no game archives beside this checkout")


def final_state(game: PdnGame) -> State:
    state = parse_fen(game.start, "endless")[0]
    for turn in game.turns:
        play_turn(state, turn)
    return state


def moves(game: PdnGame) -> str:
    state = parse_fen(game.start, "endless")[0]
    names = []
    for turn in game.turns:
        names.append(turn_name(state, turn))
        play_turn(state, turn)
    return " ".join(names)


# --- positions ------------------------------------------------------------------------------------------------------


def test_the_starting_position():
    assert fen_name(CHECKERS.new(1)[0]) == START_FEN
    assert parse_fen(START_FEN, "anaconda").tobytes() == CHECKERS.new(1, "anaconda").tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "B:W21,22,K30:B1,2,K5",
        "B:B1,2,K5:W21,22,K30.",
        " b:wk30,21-22:b1-2,k5 ",
        "B : W 22, 21, K 30 : B K5-5, 1 - 2 .",
    ],
)
def test_a_position_may_be_written_in_several_ways(text):
    state = parse_fen(text)[0]
    assert fen_name(state) == "B:W21,22,K30:B1,2,K5"
    assert (int(state.black), int(state.white)) == (1 << 0 | 1 << 1 | 1 << 4, 1 << 20 | 1 << 21 | 1 << 29)
    assert int(state.kings) == 1 << 4 | 1 << 29


def test_a_side_may_have_no_piece():
    assert fen_name(parse_fen("W:W:BK1-3")[0]) == "W:W:BK1,K2,K3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FEN '' is not of the form"),
        ("B", "FEN 'B' is not of the form"),
        ("X:W1:B2", "FEN 'X:W1:B2' is not of the form"),
        ("B:W21:W22", "FEN 'B:W21:W22' is not of the form"),
        ("B:W21:B1:H0", "is not of the form"),
        ("B:W21,22:B1,22", "has square 22 twice"),
        ("B:W21-24,K23:B1", "has square 23 twice"),
        ("B:W33:B1", "has '33' in place of a square 1-32"),
        ("B:W0:B1", "has '0' in place of a square 1-32"),
        ("B:W21,:B1", "has '' in place of a square 1-32"),
        ("B:W24-21:B1", "has '24-21' in place of"),
        ("B:WQ5:B1", "has 'Q5' in place of"),
        ("B:W21:B29", "has a man on its own king row: write BK29"),
        ("B:W4:B5", "has a man on its own king row: write WK4"),
    ],
)
def test_a_bad_position_is_refused_in_one_line(text, message):
    with pytest.raises(PdnError) as caught:
        parse_fen(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_position_within_a_capture_has_no_name():
    state = parse_fen("W:W22:B11,18,5")[0]
    play_turn(state, parse_turn(state, "22x8")[:1])
    with pytest.raises(PdnError, match="in the middle of a capture"):
        fen_name(state)


@given(st.lists(st.sampled_from(["", "b", "w", "B", "W"]), min_size=32, max_size=32), st.sampled_from([BLACK, WHITE]))
def test_positions_round_trip(pieces, mover):
    """Letters as on a diagram: men b and w, kings B and W; a man on its own king row is made a king."""
    pieces = [
        piece.upper() if (piece == "w" and square <= 4) or (piece == "b" and square >= 29) else piece
        for square, piece in enumerate(pieces, start=1)
    ]
    state = CHECKERS.new(1)[0]
    for name, letters in (("black", "bB"), ("white", "wW"), ("kings", "BW")):
        state[name] = sum(1 << i for i, piece in enumerate(pieces) if piece and piece in letters)
    state.to_play = mover
    parsed = parse_fen(fen_name(state))[0]
    assert all(parsed[name] == state[name] for name in ("black", "white", "kings", "to_play"))


# --- reading and writing --------------------------------------------------------------------------------------------


def test_the_sample():
    first, second, third, fourth, fifth, last = read_games(SAMPLE)
    assert dict(first.tags) == {"Event": "Ohio State Ty 1946", "Black": "MF Tinsley", "White": "M Rex"}
    assert (first.result, len(first.turns), first.start) == ("1/2-1/2", 56, START_FEN)
    assert moves(first).endswith("17x10 24x15x6")
    assert list(first.comments) == [0]

    assert second.tags == {"Event": 'Comments, "glyphs" and variations'}
    assert moves(second) == "9-13 22-18 11-15 18x11 8x15"
    assert second.comments == {
        0: "Before the first move.",
        1: "a (good) start; it holds",
        3: "to the end of the line }",
        5: "Redranoutoftime",
    }
    assert second.glyphs == {1: (1,), 2: (2, 14), 4: (6,)}
    assert second.result == "0-1"

    assert third.start == "W:W22,K30,31:BK3,5,6,12"
    assert (moves(third), third.glyphs, third.result) == ("22-18 12-16 31-27", {2: (7,)}, "*")
    assert (moves(fourth), fourth.result) == ("3x10x19x12x3", "1-0")
    assert (fifth.turns, fifth.result, fifth.tags) == ((), "1/2-1/2", {"GameType": "21,W,8,8,N1,0"})
    assert (moves(last), last.result) == ("11-15 23-19 8-11", "*")


def test_a_written_game():
    """Comments and glyphs stay where they were, lines keep to 80 columns, White's first move has three dots."""
    third = list(read_games(SAMPLE))[2]
    assert write_game(third) == (
        '[Result "*"]\n[SetUp "1"]\n[FEN "W:W22,K30,31:BK3,5,6,12"]\n\n1... 22-18 2. 12-16 $7 31-27 *\n\n'
    )
    games = list(read_games(SAMPLE))
    written = "".join(write_game(game) for game in games)
    assert list(read_games(written)) == games
    assert list(read_games(written.replace("\n", "\r\n"))) == games
    assert max(len(line) for line in written.splitlines()) <= 80
    assert sum(len(line) > 70 for line in written.splitlines()) > 4


def random_line(chance: random.Random, start: str, num_turns: int) -> list[tuple[int, ...]]:
    state = parse_fen(start, "endless")[0]
    turns = []
    while len(turns) < num_turns and (legal := legal_turns(state)):
        turns.append(chance.choice(legal))
        play_turn(state, turns[-1])
    return turns


sayings = st.text(min_size=1, max_size=120).map(lambda text: " ".join(text.split())).filter(bool)
one_line = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)


@st.composite
def games(draw) -> PdnGame:
    start = draw(st.sampled_from([START_FEN, "W:W19,K27,28:B3,12,K14,K30", "W:WK18,22:B11,K15,25,26"]))
    turns = random_line(draw(st.randoms(use_true_random=False)), start, draw(st.integers(0, 12)))
    return PdnGame(
        tuple(turns),
        draw(st.sampled_from(sorted(RESULTS))),
        draw(st.dictionaries(st.sampled_from(["Event", "Site", "Black", "White", "Round_2"]), one_line)),
        start,
        draw(st.dictionaries(st.integers(0, len(turns)), sayings)),
        draw(st.dictionaries(st.integers(1, len(turns)), st.tuples(st.integers(0, 999)))) if turns else {},
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(games(), max_size=3))
def test_games_round_trip(written):
    assert list(read_games("".join(write_game(game) for game in written))) == written


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (PdnGame(((8,), (8,))), r"turn 2 of the game, actions \(8,\), is not legal"),
        (PdnGame(((8,), ())), r"turn 2 of the game, actions \(\), is not legal"),
        (PdnGame(((999,),)), r"turn 1 of the game, actions \(999,\), is not legal"),
        (PdnGame((), "2-1"), "result '2-1' is none of 1-0, 0-1, 1/2-1/2, "),
        (PdnGame((), start="B:W21:B2,1"), "start 'B:W21:B2,1' is not written as fen_name writes it"),
        (PdnGame((), tags={"FEN": START_FEN}), "tag 'FEN' .* cannot be written"),
        (PdnGame((), tags={"Event": "two\nlines"}), "tag 'Event' .* cannot be written"),
        (PdnGame((), tags={"GameType": "20"}), "tag 'GameType' '20' cannot be written"),
        (PdnGame((), tags={"My event": ""}), "tag 'My event' .* cannot be written"),
        (PdnGame((), comments={1: "late"}), "a comment after turn 1, in a game of 0 turns"),
        (PdnGame(((8,),), glyphs={0: (1,)}), r"glyphs \(1,\) after turn 0"),
    ],
)
def test_a_game_that_would_not_read_back_is_not_written(game, message):
    with pytest.raises(PdnError, match=message):
        write_game(game)


# --- malformed text -------------------------------------------------------------------------------------------------

MALFORMED = [
    ("1. 11-15 23-19 2. 8-12 *", 1, 19, "'8-12' is not legal here; legal: "),
    ("1. 11-15\n\n  23x12 *", 3, 3, "'23x12' is not legal here"),
    ("1. 11-15 23-33 *", 1, 10, "cannot read '23-33' as a move"),
    ("1. 11-15 hello *", 1, 10, "cannot read 'hello'; expected a move"),
    ("1. 11-155 *", 1, 4, "cannot read '11-155'"),
    ("1. 11-15x *", 1, 4, "cannot read '11-15x'"),
    ("1. 11-15 22-18 2. 15x22x *", 1, 19, "cannot read '15x22x'"),
    ("1. 11-15 {open\n\n 23-19 *", 1, 10, "expected a comment closed by }"),
    ("1. 11-15 (22-18 {)}\n (15x22) *", 1, 10, "this variation is not closed by )"),
    ("1. 11-15 ) 22-18 *", 1, 10, "cannot read ')'"),
    ("$1 1. 11-15 *", 1, 1, "the glyph $1 stands before any move"),
    ("1. 11-15 $x *", 1, 10, "expected a glyph like $1"),
    ("[Event open]\n*", 1, 1, 'expected a tag like [Event "name"]'),
    ('[Event "open]\n*', 1, 1, 'expected a tag like [Event "name"]'),
    ('[Event "a"]\n[Event "b"] *', 2, 1, "the game has the tag 'Event' twice"),
    ('1. 11-15\n[Event "b"] *', 2, 1, "the tag 'Event' follows moves: the game above has no result"),
    ('[Result "1-0"]\n1. 11-15 0-1', 2, 10, "the result 0-1 contradicts the tag Result '1-0'"),
    ('[Result "won"]\n1. 11-15 0-1', 1, 1, "Result 'won' is none of 1-0, 0-1, 1/2-1/2, *"),
    ('[Event "a"]\n[FEN "B:W21:B21"]\n*', 2, 1, "FEN 'B:W21:B21' has square 21 twice"),
    ('\ufeff[GameType "20"]\r\n*', 1, 1, "GameType '20' is not English draughts (21)"),
    ('[FEN "B:W7,8,15,16:B3"] 3x19 *', 1, 25, "may mean several moves; write one of: 3x10x19, 3x12x19"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MALFORMED)
def test_malformed_text_is_answered_with_its_place(text, line, column, message):
    with pytest.raises(PdnError) as caught:
        list(read_games(text))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"line {line}, column {column}: ") and "\n" not in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("text", [case[0].replace("\ufeff", "") for case in MALFORMED])
def test_a_bad_game_is_skipped_and_the_others_are_read(text):
    before, after = '[Event "before"]\n1. 11-15 1-0\n\n', '\n\n[Event "after"]\n[Site "here"]\n1. 9-14 0-1\n'
    bad: list[PdnError] = []
    read = list(read_games(before + text + after, bad))
    assert bad
    assert [game.tags["Event"] for game in read if game.tags.get("Event") in ("before", "after")] == ["before", "after"]
    assert bad[0].line >= 4


def test_bad_games_of_one_line_each_are_skipped_one_by_one():
    bad: list[PdnError] = []
    lines = ['[Round "1"] *', '[Round 2"] *', '[Round "3"] *', '[Round "4"] 1. 11-19 *', '[Round "5"] *']
    assert [game.tags["Round"] for game in read_games("\n".join(lines), bad)] == ["1", "3", "5"]
    assert [(error.line, error.column) for error in bad] == [(2, 1), (4, 16)]


pieces_of_pdn = st.sampled_from([*'[]{}();$*!%"\\\n', "[FEN ", "1-0", "11-15", "22x15", "1.", "[Event", " ", "9", "x"])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(pieces_of_pdn, max_size=40).map("".join)))
def test_garbage_raises_nothing_else(text):
    bad: list[PdnError] = []
    read = list(read_games(text, bad))
    try:
        assert list(read_games(text)) == read
    except PdnError as error:
        assert str(error) == str(bad[0]) and "\n" not in str(error)
    else:
        assert not bad
    with contextlib.suppress(PdnError):
        parse_fen(text)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(SAMPLE)), st.integers(0, 30), st.one_of(st.text(max_size=5), pieces_of_pdn))
def test_damaged_files_raise_nothing_else(begin, length, inserted):
    bad: list[PdnError] = []
    read = list(read_games(SAMPLE[:begin] + inserted + SAMPLE[begin + length :], bad))
    assert list(read_games("".join(write_game(game) for game in read))) == read


# --- the archives ---------------------------------------------------------------------------------------------------


@needs_archives
def test_tinsleys_games():
    bad: list[PdnError] = []
    read = list(read_games((ARCHIVES / "tinsley.pdn").read_text(), bad))
    assert len(read) == 723 and sum(len(game.turns) for game in read) == 35_986
    assert len(bad) == 1 and str(bad[0]).startswith("line 5588, column 5: '32-28' is not legal here")
    assert list(read_games("".join(write_game(game) for game in read))) == read

    # "1-0" is a win for Black, who moves first: where one side ended with more pieces, it is mostly the winner.
    ahead = {"1-0": 0, "0-1": 0}
    for game in read:
        black_men, black_kings, white_men, white_kings = piece_counts(final_state(game))
        lead = black_men + black_kings - white_men - white_kings
        if game.result in ahead and lead != 0:
            ahead[game.result] += 1 if lead > 0 else -1
    assert ahead["1-0"] > 5 and ahead["0-1"] < -10


@needs_archives
def test_ballot_positions():
    read = list(read_games((ARCHIVES / "11-man-ballots.pdn").read_text()))
    assert len(read) == 2400 and all(game.turns == () and game.result == "*" for game in read)
    assert len({game.start for game in read}) > 2000
    for game in read[::10]:
        assert piece_counts(parse_fen(game.start)[0]) == (11, 0, 11, 0)
    assert list(read_games("".join(write_game(game) for game in read))) == read


def acf_as_pdn(text: str) -> str:
    """Translate the archive of one game a line, whose squares count 0-31 with rows mirrored, into PDN."""
    names = {str(i): str(4 * (i // 4) + 4 - i % 4) for i in range(32)}
    translated = {
        move: "-".join(names[square] for square in move.split("-")) for move in set(text.split()) if "/" not in move
    }
    games_written = []
    for line in text.splitlines():
        played, result = line.split("\t")
        games_written.append(" ".join(translated[move] for move in played.split()) + f" {result}\n")
    return "".join(games_written)


@needs_archives
def test_the_archive_of_the_american_checker_federation():
    read = list(read_games(acf_as_pdn((ARCHIVES / "acf-archive.txt").read_text())))
    assert len(read) == 9377 and sum(len(game.turns) for game in read) == 460_287
    assert [sum(game.result == result for game in read) for result in RESULTS] == [1597, 2373, 5407, 0]
    assert list(read_games("".join(write_game(game) for game in read))) == read
