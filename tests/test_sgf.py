"""SGF: the forms that records come in, what is refused and how, and records that read as they were written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sgfmill import sgf as peer

from games import sgf
from games.machine import own_version
from games.sgf import SgfError, SgfGame, SgfStart, rank_of, read_game, read_games, result_of, write_game


def at(row: int, column: int, columns: int = 19) -> int:
    return row * columns + column


def test_a_plain_record() -> None:
    game = read_game(b"(;GM[1]FF[4]SZ[9]KM[6.5]PB[Shusaku]RE[B+2]\n;B[ee];W[ce]\r\n;B[];W[tt])\n")
    assert game.start == SgfStart(9, 9, 6.5)
    assert game.actions == (at(4, 4, 9), at(4, 2, 9), 81, 81)
    assert game.players == (0, 1, 0, 1)
    assert game.tags == {"PB": "Shusaku", "RE": "B+2"}
    assert not game.comments


def test_column_comes_first_and_rows_count_from_the_top() -> None:
    assert read_game(b"(;SZ[19];B[ba];W[as])").actions == (at(0, 1), at(18, 0))


def test_the_main_line_is_the_first_variation() -> None:
    game = read_game(b"(;SZ[19];B[aa](;W[bb];B[cc](;W[dd])(;W[ee]))(;W[ff]))")
    assert game.actions == (at(0, 0), at(1, 1), at(2, 2), at(3, 3))


def test_comments_stand_after_so_many_moves() -> None:
    game = read_game(b"(;C[before \\] all];B[aa]C[one\ntwo];W[bb];N[x]C[late]C[later])")
    assert game.comments == {0: "before ] all", 1: "one\ntwo", 2: "late\nlater"}


@pytest.mark.parametrize("comment", [b"", b"C[slow]"], ids=["plain", "by the grammar"])
def test_set_up_stones_and_handicap(comment: bytes) -> None:
    game = read_game(b"(;" + comment + b"SZ[9]HA[2]AB[gc][cg]AW[aa:bb];W[ee])")
    assert game.handicap == 2
    assert game.start.black == (at(2, 6, 9), at(6, 2, 9))
    assert game.start.white == (at(0, 0, 9), at(0, 1, 9), at(1, 0, 9), at(1, 1, 9))
    assert game.start.to_play == 1


def test_later_set_up_stones_replace_earlier_ones() -> None:
    game = read_game(b"(;SZ[9]AB[aa:ca];AE[ba]AW[ca];PL[W])")
    assert (game.start.black, game.start.white, game.start.to_play) == ((0,), (2,), 1)


@pytest.mark.parametrize(
    ("record", "to_play"),
    [(b"(;)", 0), (b"(;PL[W])", 1), (b"(;AB[aa])", 1), (b"(;AB[aa]AW[bb])", 0), (b"(;AB[aa]PL[B])", 0)],
)
def test_who_plays_first_where_no_move_says_it(record: bytes, to_play: int) -> None:
    assert read_game(record).start.to_play == to_play


def test_rectangles_name_columns_first() -> None:
    game = read_game(b"(;SZ[9:5];B[ie];W[])")
    assert (game.start.rows, game.start.columns) == (5, 9)
    assert game.actions == (44, 45)


def test_one_player_may_move_twice() -> None:
    game = read_game(b"(;B[aa];B[bb];W[cc])")
    assert (game.actions, game.players) == ((at(0, 0), at(1, 1), at(2, 2)), (0, 0, 1))


def test_old_long_names_and_a_byte_order_mark() -> None:
    game = read_game(b"\xef\xbb\xbf(;GaMe[1]SiZe[9]AddBlack[aa]PlayerBlack[x];White[bb])")
    assert (game.start.rows, game.start.black, game.tags, game.players) == (9, (0,), {"PB": "x"}, (1,))


@pytest.mark.parametrize("escape", ["", "\\"], ids=["plain", "by the grammar"])
@pytest.mark.parametrize(
    ("stated", "encoding"),
    [
        ("", "utf-8"),
        ("UTF-8", "utf-8"),
        ("", "latin-1"),
        ("ISO-8859-1", "latin-1"),
        ("GB2312", "gb2312"),
        ("?", "utf-8"),
        ("zlib", "utf-8"),  # codecs that turn bytes into bytes, or text into text
        ("bz2", "latin-1"),
        ("rot13", "utf-8"),
    ],
)
def test_encodings(stated: str, encoding: str, escape: str) -> None:
    name = "丁丁" if encoding == "gb2312" else "Müller"
    record = f"(;CA[{stated}]PB[{name}]EV[{escape}x])" if stated else f"(;PB[{name}]EV[{escape}x])"
    assert read_game(record.encode(encoding)).tags["PB"] == name


def test_a_file_may_hold_several_games() -> None:
    games = list(read_games(b"junk (;SZ[9];B[aa]) more (;SZ[13](;B[bb])(;B[cc]))\n"))
    assert [(game.start.rows, game.actions) for game in games] == [(9, (0,)), (13, (14,))]


def test_games_around_a_damaged_one_are_read() -> None:
    first, damaged, last = read_games(b"(;SZ[9];B[aa])(;SZ[9];B[zz])(;SZ[9];B[ca])")
    assert isinstance(first, SgfGame) and first.actions == (0,)
    assert str(damaged).startswith("game 2 of the file: move 1: b'zz' is no point of a 9x9 board")
    assert isinstance(last, SgfGame) and last.actions == (2,)
    whole, torn = read_games(b"(;SZ[9];B[aa])(;SZ[9];B[zz")
    assert isinstance(whole, SgfGame) and isinstance(torn, SgfError)
    assert str(torn) == "game 2 of the file: unexpected end of SGF data"
    faults = list(read_games(b"(;SZ[9];B[aa] ? (;W[bb])(;W[cc]))(;B[aa])"))
    assert [str(fault) for fault in faults] == [
        "unexpected end of SGF data",
        "game 1 of the file is torn: what follows is not read, 3 times (;",
    ]


@pytest.mark.parametrize(
    "damaged",
    [
        b"(;GM[1]SZ[9];B[bb]",  # no )
        b"(;GM[1]SZ[9];B[bb](;W[cc])(;W[dd]",
        b"(;GM[1]SZ[9];B[bb] ? (;W[cc]))",
        b"(;GM[1]SZ[9];B[bb)",  # no ]
        b"(;GM[1]SZ[9];B[zz]C[(;GM[1\\])])",
    ],
)
def test_one_damaged_game_costs_no_other(damaged: bytes) -> None:
    games = [b"(;PB[x (9p)]GM[1]SZ[9];B[%ca])\n" % letter for letter in b"acde"]
    games[2] = b"(\n;CA[UTF-8] GaMe[1]SiZe[9];Black[da](;White[aa])(;White[bb]))"
    first, fault, *others = read_games(b"".join([games[0], damaged, *games[1:]]))
    assert isinstance(fault, SgfError) and str(fault).startswith("game 2 of the file: ")
    assert [getattr(game, "actions", game) for game in (first, *others)] == [(0,), (2,), (3, 0), (4,)]


def test_what_a_torn_game_holds_is_looked_for_once() -> None:
    assert len(list(read_games(b"(;GM[1];B[aa]" * 2_000))) == 2_000


@pytest.mark.parametrize(
    ("stated", "encoding", "name"),
    [("Shift_JIS", "shift_jis", "ソ表]"), ("Shift_JIS", "cp932", "゛"), ("GBK", "gbk", "乗"), ("GB2312", "gbk", "乗")],
)
def test_letters_may_hold_the_bytes_of_brackets(stated: str, encoding: str, name: str) -> None:
    record = f"(;GM[1]CA[{stated}]SZ[9]PB[".encode() + name.replace("]", "\\]").encode(encoding)
    game = read_game(record + b"]PW[x]RE[B+1];B[aa])(;SZ[9])")
    assert (game.tags["PB"], game.tags["PW"], game.tags["RE"]) == (name, "x", "B+1")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "nothing in it starts with"),
        (b"PK\x03\x04", "nothing in it starts with"),
        ("(;GM[1];B[aa])".encode("utf-16"), "it is in UTF-16"),
        (b"(;B[aa];W[bb]", "unexpected end"),
        (b"(;B[aa]W[bb])", "both players move at once after move 0"),
        (b"(;B[aa][bb])", "move 1 has 2 points"),
        (b"(;B[aa];W[bb]AB[cc])", "set up after move 1"),
        (b"(;B[aa];AE[aa])", "set up after move 1"),
        (b"(;SZ[20])", "allowed are 1 to 19"),
        (b"(;SZ[9]AB[cc:aa])", "AB: b'cc:aa' is no rectangle"),
        (b"(;SZ[x])", "allowed are 1 to 19"),
        (b"(;SZ[0:9])", "allowed are 1 to 19"),
        (b"(;GM[2];B[aa])", r"GM\[2\]"),
        (b"(;SZ[9];B[aa];W[ja])", "move 2: b'ja' is no point of a 9x9 board; points are aa to ii"),
        (b"(;SZ[9]AB[j])", "AB: b'j' is no point"),
        (b"(;SZ[9]C[slow];B[a])", "move 1: b'a' is no point"),
        (b"(;C[" + b"x" * sgf.MAX_BYTES + b"])", "at most 4,194,304"),
        (b"(" * 100_000, "nothing in it starts with"),
        (b"(;" * 50_000, "unexpected end"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(record: bytes, message: str) -> None:
    with pytest.raises(SgfError, match=message) as error:
        read_game(record)
    assert len(str(error.value)) < 200 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("B+R", 1), ("W+Resign", -1), ("B+2.5", 1), ("w+0.5", -1), ("B+", 1), ("W+T", -1), ("B+Forfeit", 1),
        ("0", 0), ("Jigo", 0), ("Draw", 0), ("W+3,5", -1),
        ("", None), ("Void", None), ("?", None), ("W+ (but B does not lose)", None), ("WB+R", None), ("B+2?", None),
    ],
)  # fmt: skip
def test_results(text: str, result: int | None) -> None:
    assert result_of(text) == result


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("7d", 7), ("1 dan", 1), ("9p", 19), ("9p, Honinbo", 19), ("4k", -4), ("30k", -30), ("3段", 3), ("6d?", 6),
        ("", 0), ("Meijin", 0), ("6d ama", 0), ("ama", 0), ("12d", 0), ("0k", 0), ("99k", 0),
    ],
)  # fmt: skip
def test_ranks(text: str, rank: int) -> None:
    assert rank_of(text) == rank


# --- writing --------------------------------------------------------------------------------------------------------

TEXTS = st.text(
    st.characters(exclude_categories=("C",)), max_size=12
)  # no control characters: SGF reads them as spaces


@st.composite
def games(draw: st.DrawFn) -> SgfGame:
    rows, columns = draw(st.integers(1, 19)), draw(st.integers(1, 19))
    actions = tuple(draw(st.lists(st.integers(0, rows * columns), max_size=12)))
    stones = draw(st.lists(st.integers(0, rows * columns - 1), max_size=6, unique=True))
    black = draw(st.integers(0, len(stones)))
    players = tuple(draw(st.integers(0, 1)) for _ in actions)
    start = SgfStart(
        rows,
        columns,
        draw(st.none() | st.integers(-30, 30).map(lambda n: n / 2)),
        tuple(sorted(stones[:black])),
        tuple(sorted(stones[black:])),
        players[0] if players else draw(st.integers(0, 1)),
    )
    tags = draw(st.dictionaries(st.sampled_from(("PB", "PW", "RE", "EV", "DT")), TEXTS, max_size=4))
    comments = draw(st.dictionaries(st.integers(0, len(actions)), TEXTS.filter(bool), max_size=4))
    said = {name: " ".join(value.split()) for name, value in tags.items()}
    spoken = {ply: " ".join(text.split(" ")) for ply, text in comments.items() if not set(text) & set("\u2028\u2029")}
    return SgfGame(start, actions, players, draw(st.integers(0, 9)), said, spoken)


@settings(max_examples=150, deadline=None)
@given(games())
def test_a_written_game_reads_as_the_same_game(game: SgfGame) -> None:
    content = write_game(game)
    assert read_game(content) == game
    if game.start.rows == game.start.columns:
        other = peer.Sgf_game.from_bytes(content)
        moves = [node.get_move() for node in other.get_main_sequence() if node.get_move()[0] is not None]
        rows, columns = game.start.rows, game.start.columns
        assert [colour for colour, _ in moves] == ["bw"[player] for player in game.players]
        for (_, move), action in zip(moves, game.actions, strict=True):
            assert action == (rows * columns if move is None else (rows - 1 - move[0]) * columns + move[1])


@settings(max_examples=100, deadline=None)
@given(games())
def test_both_ways_of_reading_agree(game: SgfGame) -> None:
    plain = write_game(replace(game, comments={}))
    assert read_game(plain) == read_game(plain.rstrip()[:-1] + b";)")  # an empty node more: not a plain line


@pytest.mark.parametrize("komi", [361.5, 1000.0, -999.5])
def test_a_komi_that_was_written_is_read_and_375_of_others_is_no_komi(komi: float) -> None:
    game = SgfGame(SgfStart(9, 9, komi))
    written = write_game(game)
    assert b"AP[Playfield:%s]" % own_version().encode() in written
    assert read_game(written) == read_game(write_game(game, has_version=False)) == game
    assert read_game(b"(;SZ[9]AP[foxwq]KM[375])").start.komi is None


def test_what_a_search_thought_is_a_comment() -> None:
    comment = sgf.analysis_comment(0.537, 1600)
    assert comment == "Black wins 53.7 %, 1,600 visits"
    game = SgfGame(actions=(60,), players=(0,), comments={1: comment})
    assert read_game(write_game(game)).comments == {1: comment}


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (SgfGame(tags={"SZ": "9"}), "'SZ' cannot be a tag"),
        (SgfGame(tags={"p b": "x"}), "'p b' cannot be a tag"),
        (SgfGame(comments={1: "x"}), "comments after 0 to that many"),
        (SgfGame(actions=(1,)), "as many players as moves"),
    ],
)
def test_what_cannot_be_written_is_refused(game: SgfGame, message: str) -> None:
    with pytest.raises(SgfError, match=message):
        write_game(game)
