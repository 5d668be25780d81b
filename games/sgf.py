"""Smart Game Format (FF[4], red-bean.com/sgf) for Go, through sgfmill: the main line of a record, read and written.

Most records are one plain line of moves. One regular expression recognises them and reads them some ten times as fast
as a parse tree; everything else (variations, comments, escapes) goes through sgfmill's grammar.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sgfmill import sgf_grammar

from games.go import MAX_KOMI
from games.go_board import MAX_SIZE
from games.machine import own_version
from games.refusal import RefusedError

MAX_BYTES = 4 << 20  # of a file; a parse tree takes some sixty times as much
COLOURS = "BW"  # by player
OWN_APPLICATION = "Playfield"  # in AP of the records that are written here; its version follows a colon
OWN_PROPERTIES = frozenset(("GM", "FF", "CA", "AP", "SZ", "KM", "HA", "AB", "AW", "AE", "PL", "B", "W", "C"))

PropertyMap = dict[str, list[bytes]]  # raw values by property, as sgfmill's grammar has them


class SgfError(RefusedError):
    """A record that is malformed, or not of a game that can be read; the message is one line and says where."""


@dataclass(frozen=True)
class SgfStart:
    """Where a game starts from: points are actions, row * columns + column with row 0 at the top."""

    rows: int = MAX_SIZE
    columns: int = MAX_SIZE
    komi: float | None = None  # None where the record does not say
    black: tuple[int, ...] = ()  # stones set up before the first move, ascending
    white: tuple[int, ...] = ()
    to_play: int = 0


@dataclass(frozen=True)
class SgfGame:
    """The main line of one record. Whether its moves are legal is for the rules to say."""

    start: SgfStart = SgfStart()
    actions: tuple[int, ...] = ()  # rows * columns is a pass
    players: tuple[int, ...] = ()  # who made each, 0 Black, 1 White; a record may have one player move twice
    handicap: int = 0  # as the record says; the stones are start.black
    tags: Mapping[str, str] = field(default_factory=dict)  # other properties of the root: PB, WR, RE, DT, ...
    comments: Mapping[int, str] = field(default_factory=dict)  # what is said after so many moves


# --- reading --------------------------------------------------------------------------------------------------------

_VALUES = rb"(?:\s*+\[[^\]\\]*+\])++"
PLAIN_RECORD = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+\(\s*+;(?P<root>(?:\s*+[A-Za-z]++" + _VALUES + rb")*+)"
    rb"(?P<moves>(?:\s*+;\s*+[BW]\s*+\[(?:[a-z]{2})?+\])*+)\s*+\)\s*+"
)
PROPERTY = re.compile(rb"([A-Za-z]++)(" + _VALUES + rb")")
VALUE = re.compile(rb"\[([^\]\\]*+)\]")
ONE_LINE = re.compile(rb"[^\\\s]*+(?: [^\\\s]*+)*+")  # a value that means itself
LOWER_CASE = bytes(range(ord("a"), ord("z") + 1))
TREE = re.compile(rb"\(\s*+;")  # where a game begins, or a variation
# Where a game begins by what its first node says: what game it is, which SGF, how large the board. No text matches, as
# texts have a backslash before their closing brackets.
GAME = re.compile(rb"\(\s*+;[^;]*?\b(?:G[a-z]*+M|F[a-z]*+F|S[a-z]*+Z)[a-z]*+\s*+\[[^\]\\;()]{0,20}+\]")
SPACE = b" \t\n\r\v\f"
PLAYER_OF = bytes.maketrans(b"BW", b"\0\1")
# Encodings whose letters may hold bytes of brackets and backslashes, and the larger ones that they are read as.
CODECS_WITH_BRACKETS = {
    **dict.fromkeys(("shift_jis", "cp932"), "cp932"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"),
    **dict.fromkeys(("big5", "cp950", "big5hkscs"), "big5hkscs"),
    "johab": "johab",
}


def read_games(content: bytes) -> Iterator[SgfGame | SgfError]:
    """Yield the games of a file, in the place of one that cannot be read the SgfError that says why.

    Raises SgfError where the file is too large or holds no game.
    """
    check_size(len(content))
    plain = PLAIN_RECORD.fullmatch(content)
    if plain is not None:
        yield _read_plain(plain)
        return
    content = _in_utf_8(content)
    if TREE.search(content) is None:
        is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise SgfError(f"not an SGF record: {'it is in UTF-16' if is_utf_16 else 'nothing in it starts with (;'}")
    yield from _read_trees(content, itertools.count(1))


def check_size(num_bytes: int) -> None:
    """Raise SgfError where a file is too large to be read."""
    if num_bytes > MAX_BYTES:
        raise SgfError(f"{num_bytes:,} bytes; an SGF file of at most {MAX_BYTES:,} is read")


def _read_trees(content: bytes, numbers: Iterator[int]) -> Iterator[SgfGame | SgfError]:
    """Yield the games of a part of a file, numbered on; a game that cannot be read may hold others, which are read."""
    position = 0
    while begin := TREE.search(content, position):
        number = next(numbers)
        tokens, end = sgf_grammar.tokenise(content, position)
        try:
            tree = sgf_grammar.parse_sgf_game(content[position:end])
            yield _game_of_nodes(list(sgf_grammar.main_sequence_iter(tree)))
        except ValueError as error:
            yield SgfError(str(error) if number == 1 else f"game {number} of the file: {error}")
            is_torn = tokens.count(("D", b"(")) > tokens.count(("D", b")"))  # where it ends is unknown
            end = len(content) if is_torn else end
            games = [match.start() for match in GAME.finditer(content, begin.end(), end)]
            for first, last in itertools.pairwise([*games, end]):
                yield from _read_trees(content[first:last], numbers)
            if is_torn and not games and (count := len(TREE.findall(content, begin.end()))):
                yield SgfError(f"game {number} of the file is torn: what follows is not read, {count} times (;")
        position = end


def _in_utf_8(content: bytes) -> bytes:
    """Return a file in UTF-8 where it is in an encoding whose letters may hold bytes of brackets and backslashes."""
    stated = re.search(rb"CA\s*\[\s*([\w-]{1,20})\s*\]", content)
    try:
        codec = CODECS_WITH_BRACKETS[codecs.lookup(stated[1].decode()).name] if stated else ""
        return re.sub(rb"(CA\s*)\[[^\]]*\]", rb"\1[UTF-8]", content.decode(codec).encode()) if codec else content
    except (LookupError, ValueError):  # another encoding, or not of the one it states
        return content


def read_game(content: bytes) -> SgfGame:
    """Return the first game of a file; SgfError if it cannot be read."""
    game = next(read_games(content))
    if isinstance(game, SgfError):
        raise game
    return game


def _read_plain(record: re.Match[bytes]) -> SgfGame:
    """Read a record of the form that PLAIN_RECORD describes."""
    root: PropertyMap = {}
    for name, values in PROPERTY.findall(record["root"]):
        root.setdefault(name.translate(None, LOWER_CASE).decode(), []).extend(VALUE.findall(values))
    if root.keys() & {"B", "W", "C"}:
        nodes = [{move[:1].decode(): [move[2:-1]]} for move in record["moves"].translate(None, SPACE).split(b";")[1:]]
        return _game_of_nodes([root, *nodes])
    rows, columns = _read_size(root)
    moves = record["moves"].translate(None, SPACE).replace(b"[]", b"[tt]")  # ;B[dd];W[pp]: six bytes a move
    players = tuple(moves[1::6].translate(PLAYER_OF))
    column = np.frombuffer(moves[3::6], np.uint8).astype(np.int64) - ord("a")
    row = np.frombuffer(moves[4::6], np.uint8).astype(np.int64) - ord("a")
    actions = row * columns + column
    outside = (row >= rows) | (column >= columns)
    if outside.any():
        is_pass = (row == MAX_SIZE) & (column == MAX_SIZE)
        for ply in np.flatnonzero(outside & ~is_pass)[:1].tolist():
            raise _not_on_board(moves[6 * ply + 3 : 6 * ply + 5], f"move {ply + 1}", rows, columns)
        actions[is_pass] = rows * columns
    return _describe(root, _read_start([root], players[:1], rows, columns), tuple(actions.tolist()), players, {})


def _game_of_nodes(nodes: Sequence[PropertyMap]) -> SgfGame:
    """Read the nodes of a main line."""
    root = nodes[0]
    rows, columns = _read_size(root)
    actions: list[int] = []
    players: list[int] = []
    comments: dict[int, str] = {}
    codec = _codec(root)
    before_moves: list[PropertyMap] = []
    for node in nodes:
        made = [colour for colour in COLOURS if colour in node]
        if len(made) == 2:
            raise SgfError(f"both players move at once after move {len(actions)}")
        if not actions:
            before_moves.append(node)
        elif node.keys() & {"AB", "AW", "AE"}:
            raise SgfError(f"stones are set up after move {len(actions)}; they are read before the first move only")
        for colour in made:
            if len(node[colour]) != 1:
                raise SgfError(f"move {len(actions) + 1} has {len(node[colour])} points")
            actions.append(_read_move(node[colour][0], f"move {len(actions) + 1}", rows, columns))
            players.append(COLOURS.index(colour))
        if "C" in node:
            said = "\n".join(_decode(sgf_grammar.text_value(value), codec) for value in node["C"])
            earlier = comments.get(len(actions))
            comments[len(actions)] = said if earlier is None else f"{earlier}\n{said}"
    start = _read_start(before_moves, players[:1], rows, columns)
    return _describe(root, start, tuple(actions), tuple(players), comments)


def _describe(
    root: PropertyMap, start: SgfStart, actions: tuple[int, ...], players: tuple[int, ...], comments: dict[int, str]
) -> SgfGame:
    """Put a game together, with what the root says of it."""
    if _simple(root, "GM") not in ("", "1"):
        raise SgfError(f"a record of another game: GM[{_simple(root, 'GM')}], Go is GM[1]")
    codec = _codec(root)
    tags = {}
    for name, values in root.items():
        if name not in OWN_PROPERTIES:
            value = values[0] if len(values) == 1 else b", ".join(values)
            simple = value if ONE_LINE.fullmatch(value) else sgf_grammar.simpletext_value(value)
            tags[name] = _decode(simple, codec).strip()
    handicap = _simple(root, "HA")
    return SgfGame(
        start, actions, players, int(handicap) if re.fullmatch("[0-9]{1,3}", handicap) else 0, tags, comments
    )


def _simple(root: PropertyMap, name: str) -> str:
    """Return a short value of the root as text, "" where it has none."""
    return root[name][0].decode("ascii", "replace").strip() if name in root else ""


def _read_size(root: PropertyMap) -> tuple[int, int]:
    """Return rows and columns; SZ[9:7] is nine columns of seven."""
    text = _simple(root, "SZ") or str(MAX_SIZE)
    match = re.fullmatch(r"([0-9]{1,2})(?:\s*:\s*([0-9]{1,2}))?", text)
    columns, rows = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (1 <= rows <= MAX_SIZE and 1 <= columns <= MAX_SIZE):
        raise SgfError(f"a board of SZ[{text[:20]}]; allowed are 1 to {MAX_SIZE} and 1:1 to {MAX_SIZE}:{MAX_SIZE}")
    return rows, columns


def _read_start(nodes: Sequence[PropertyMap], first: Sequence[int], rows: int, columns: int) -> SgfStart:
    """Return where a game starts, from the nodes before its first move and who made that."""
    stones: dict[int, str] = {}  # action -> the property that set it up last
    to_play = first[0] if first else None
    for node in nodes:
        for name in ("AB", "AW", "AE"):
            for value in node.get(name, ()):
                for point in _read_points(value, name, rows, columns):
                    stones[point] = name
        if "PL" in node and to_play is None:
            to_play = 1 if _simple(node, "PL").upper().startswith("W") else 0
    black, white = (tuple(sorted(point for point, name in stones.items() if name == own)) for own in ("AB", "AW"))
    if to_play is None:
        to_play = int(bool(black) and not white)
    return SgfStart(rows, columns, _read_komi(nodes[0]), black, white, to_play)


def _read_komi(root: PropertyMap) -> float | None:
    """Return the komi, None where there is none or it is no multiple of one half.

    Above the board's points only our own records mean it: others write 3.75 stones as 375.
    """
    try:
        komi = float(_simple(root, "KM").replace(",", "."))
    except ValueError:
        return None
    most = MAX_KOMI if _simple(root, "AP").partition(":")[0] == OWN_APPLICATION else MAX_SIZE**2
    return komi if abs(komi) <= most and float(2 * komi).is_integer() else None


def _read_move(value: bytes, place: str, rows: int, columns: int) -> int:
    """Return the action of a move; [tt] is an old pass."""
    if value.strip() in (b"", b"tt"):
        return rows * columns
    return _read_point(value, place, rows, columns)


def _read_points(value: bytes, name: str, rows: int, columns: int) -> list[int]:
    """Return the points of a value: one, or a rectangle [ab:cd]."""
    if not value.strip():
        return []
    first, colon, second = value.partition(b":")
    corner = _read_point(first, name, rows, columns)
    if not colon:
        return [corner]
    (top, left), (bottom, right) = divmod(corner, columns), divmod(_read_point(second, name, rows, columns), columns)
    if top > bottom or left > right:
        raise SgfError(f"{name}: {value[:20]!r:.40} is no rectangle: its upper left corner comes first")
    return [row * columns + column for row in range(top, bottom + 1) for column in range(left, right + 1)]


def _read_point(value: bytes, place: str, rows: int, columns: int) -> int:
    letters = value.strip()
    if len(letters) == 2:
        column, row = letters[0] - ord("a"), letters[1] - ord("a")
        if 0 <= row < rows and 0 <= column < columns:
            return row * columns + column
    raise _not_on_board(value, place, rows, columns)


def _not_on_board(value: bytes, place: str, rows: int, columns: int) -> SgfError:
    last = point_name((rows * columns) - 1, rows, columns)
    return SgfError(f"{place}: {value[:20]!r:.40} is no point of a {rows}x{columns} board; points are aa to {last}")


def _codec(root: PropertyMap) -> str:
    """Return the encoding that a record states, "" where it states none that is known."""
    try:
        return codecs.lookup(_simple(root, "CA")).name if "CA" in root else ""
    except (LookupError, ValueError):
        return ""


def _decode(text: bytes, codec: str) -> str:
    """Decode a text; without a stated encoding UTF-8 where it is that, else Latin-1, SGF's own."""
    if text.isascii():
        return text.decode()
    for name in (codec, "utf-8"):
        try:
            return text.decode(name or "utf-8")
        except (ValueError, LookupError):  # not of that encoding, or none of text at all ("zlib")
            continue
    return text.decode("latin-1")


# --- what the tags say ----------------------------------------------------------------------------------------------

WON = re.compile(r"([BW])\s*\+\s*(?:[0-9]+(?:[.,][0-9]*)?|R|RESIGN|T|TIME|F|FORFEIT|OFFLINE)?", re.IGNORECASE)
DRAWN = ("0", "DRAW", "JIGO")
RANK = re.compile(r"\s*([0-9]{1,2})\s*(dan|d|段|pro|p|kyu|k|級|级)\b", re.IGNORECASE)


def result_of(text: str) -> int | None:
    """Return what RE says for Black: 1 won, 0 drawn, -1 lost; None for an unknown, void or unclear result."""
    text = text.strip()
    if text.upper() in DRAWN:
        return 0
    match = WON.fullmatch(text)
    return None if match is None else 1 if match[1].upper() == "B" else -1


def rank_of(text: str) -> int:
    """Return what BR or WR says: dan 1-9, professional 11-19, kyu -1 ... -30, 0 where that is unknown or no rank."""
    match = RANK.match(text)
    if match is None or text[match.end() :].lower().lstrip().startswith("ama"):
        return 0
    number, kind = int(match[1]), match[2].lower()[0]
    if kind in "k級级":
        return -number if 1 <= number <= 30 else 0
    if not 1 <= number <= 9:
        return 0
    return number + 10 if kind == "p" else number


# --- writing --------------------------------------------------------------------------------------------------------


def point_name(action: int, rows: int, columns: int) -> str:
    """Return an action as SGF writes it: two letters, column first, "" for a pass."""
    if action == rows * columns:
        return ""
    row, column = divmod(action, columns)
    return chr(ord("a") + column) + chr(ord("a") + row)


def analysis_comment(black_win_rate: float, visits: int) -> str:
    """Return what a search thought of a position as a comment; the rate (0 to 1) is Black's."""
    return f"Black wins {100 * black_win_rate:.1f} %" + (f", {visits:,} visits" if visits else "")


def write_game(game: SgfGame, has_version: bool = True) -> bytes:
    """Return a game as SGF in UTF-8, which read_game reads as the same game; SgfError where that cannot be.

    It names the version that wrote it, unless it must be the same in every one.
    """
    start = game.start
    points = {"AB": start.black, "AW": start.white}
    size = str(start.columns) if start.rows == start.columns else f"{start.columns}:{start.rows}"
    application = f"{OWN_APPLICATION}:{own_version()}" if has_version else OWN_APPLICATION
    root: dict[str, list[str]] = {"GM": ["1"], "FF": ["4"], "CA": ["UTF-8"], "AP": [application], "SZ": [size]}
    if start.komi is not None:
        root["KM"] = [f"{start.komi:g}"]
    if game.handicap:
        root["HA"] = [str(game.handicap)]
    root |= {
        name: [point_name(p, start.rows, start.columns) for p in listed] for name, listed in points.items() if listed
    }
    if not game.players:
        root["PL"] = [COLOURS[start.to_play]]
    for name, value in game.tags.items():
        if name in OWN_PROPERTIES or not sgf_grammar.is_valid_property_identifier(name):
            raise SgfError(f"{name!r} cannot be a tag: tags are capital letters, and not {', '.join(OWN_PROPERTIES)}")
        root[name] = [_escaped(" ".join(value.split()))]
    nodes = [root]
    if len(game.actions) != len(game.players) or not set(game.comments) <= set(range(len(game.actions) + 1)):
        raise SgfError("a game has as many players as moves, and comments after 0 to that many")
    for action, player in zip(game.actions, game.players, strict=True):
        nodes.append({COLOURS[player]: [point_name(action, start.rows, start.columns)]})
    for ply, comment in game.comments.items():
        nodes[ply]["C"] = [_escaped(comment)]
    tree = sgf_grammar.Coarse_game_tree()
    tree.sequence = [{name: [v.encode() for v in values] for name, values in node.items()} for node in nodes]
    return bytes(sgf_grammar.serialise_game_tree(tree))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("]", "\\]")
