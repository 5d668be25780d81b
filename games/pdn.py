"""Portable Draughts Notation for English draughts: positions (FEN) and records of games.

Black moves first, and "1-0" says that Black won, whoever moves first in the position a record starts from. Records end
by agreement or on time as often as on the board, so a result is taken as it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from games.checkers import BLACK, CHECKERS, NO_JUMPER, NUM_SQUARES, WHITE, start_history
from games.checkers_lines import play_routes, play_turns
from games.notation import NotationError, Turn, parse_turn, play_turn, read_route, route_name, route_of
from games.refusal import RefusedError
from games.rules import State, States

RESULTS: dict[str, float | None] = {"1-0": 1.0, "0-1": -1.0, "1/2-1/2": 0.0, "*": None}  # for player 0, Black
RESULT_NAMES = {value: text for text, value in RESULTS.items()}
SAME_RESULTS = {"2-0": "1-0", "0-2": "0-1", "1-1": "1/2-1/2"}  # points, as some federations write them
STRENGTHS = {"!": 1, "?": 2, "!!": 3, "??": 4, "!?": 5, "?!": 6, "*": 7}  # as numeric annotation glyphs
OWN_TAGS = ("Result", "SetUp", "FEN")  # tags that a PdnGame has fields for
ENGLISH_DRAUGHTS = "21"  # its number in the tag GameType
RECORD_RULES = "endless"  # players on record went on past the draws that a rule set declares
COLUMNS = 80  # of a written line


class PdnError(RefusedError):
    """A FEN or a PDN text that is malformed or against the rules; the message is one line and says where."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.line = line  # counted from 1; 0 where the text is a single position or a game that is to be written
        self.column = column


# --- positions ------------------------------------------------------------------------------------------------------

COLORS = {"B": BLACK, "W": WHITE}
SQUARES = re.compile(r"(K?)\s*([0-9]{1,2})(?:\s*-\s*([0-9]{1,2}))?")
KING_ROWS = {BLACK: range(29, 33), WHITE: range(1, 5)}


def parse_fen(text: str, rules: str | None = None) -> States:
    """Return the position, [1] records, that a FEN such as "B:W21,22,K30:B1-4,K5" describes; PdnError if none.

    Either colour may come first or have no piece; lower case, spaces, ranges and a final dot are understood. The draw
    counters start at 0.
    """
    fields = [part.strip() for part in text.strip().removesuffix(".").upper().split(":")]
    sides = {side[:1]: side[1:].strip() for side in fields[1:]}
    if fields[0] not in COLORS or len(fields) != 3 or set(sides) != set(COLORS):
        raise PdnError(f"FEN {_shown(text)} is not of the form B:W21,22,K30:B1,2,K5 (who moves: each side's squares)")
    pieces: dict[int, tuple[int, bool]] = {}  # square 1-32 -> colour, whether a king
    for letter, listed in sides.items():
        for item in listed.split(",") if listed else []:
            is_king, squares = _read_squares(item.strip(), text)
            for square in squares:
                if square in pieces:
                    raise PdnError(f"FEN {_shown(text)} has square {square} twice")
                if not is_king and square in KING_ROWS[COLORS[letter]]:
                    raise PdnError(f"FEN {_shown(text)} has a man on its own king row: write {letter}K{square}")
                pieces[square] = COLORS[letter], is_king
    states = CHECKERS.new(1, rules)
    state = states[0]
    state.black, state.white = (
        _bits(s for s, (color, _) in pieces.items() if color == side) for side in (BLACK, WHITE)
    )
    state.kings = _bits(square for square, (_, is_king) in pieces.items() if is_king)
    state.to_play = COLORS[fields[0]]
    start_history(state)
    return states


def _read_squares(item: str, text: str) -> tuple[bool, range]:
    """Return whether an item of a FEN's list (K5, 12, 1-4) is of kings, and its squares."""
    match = SQUARES.fullmatch(item)
    first, last = (int(match[2]), int(match[3] or match[2])) if match else (0, 0)
    if match is None or not 1 <= first <= last <= NUM_SQUARES:
        raise PdnError(
            f"FEN {_shown(text)} has {_shown(item)} in place of a square 1-32, a king K1-K32 or a range 1-12"
        )
    return bool(match[1]), range(first, last + 1)


def _bits(squares: Iterator[int]) -> np.uint32:
    return np.uint32(sum(1 << square - 1 for square in squares))


def fen_name(state: State) -> str:
    """Return the FEN of a position, White's squares first; PdnError in the middle of a capture: FEN cannot say that."""
    if state.jumper != NO_JUMPER:
        raise PdnError("a FEN cannot describe a position in the middle of a capture")
    lists = []
    kings = int(state.kings)
    for occupied in (int(state.white), int(state.black)):
        squares = [square for square in range(1, NUM_SQUARES + 1) if occupied >> square - 1 & 1]
        lists.append(",".join("K" * (kings >> square - 1 & 1) + str(square) for square in squares))
    return f"{'BW'[state.to_play]}:W{lists[0]}:B{lists[1]}"


START_FEN = f"B:W{','.join(map(str, range(21, 33)))}:B{','.join(map(str, range(1, 13)))}"


# --- games ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PdnGame:
    """One recorded game: its main line from a starting position."""

    turns: tuple[Turn, ...]
    result: str = "*"  # a key of RESULTS
    tags: Mapping[str, str] = field(default_factory=dict)  # in order; not those of OWN_TAGS
    start: str = START_FEN  # FEN as fen_name writes it
    comments: Mapping[int, str] = field(
        default_factory=dict
    )  # what is said after this many turns; runs of space are one
    glyphs: Mapping[int, tuple[int, ...]] = field(
        default_factory=dict
    )  # numeric annotation glyphs after this many turns


def read_games(text: str, bad: list[PdnError] | None = None) -> Iterator[PdnGame]:
    """Yield the games of a PDN text, replayed by the rules; variations are skipped.

    The first bad game raises PdnError; where a list is given, the error is appended to it and reading goes on behind
    that game. A word that is stuck to a move without braces, as old files have them, is a comment.
    """
    scanner = _Scanner(text)
    while not scanner.at_end():
        try:
            game = _read_game(scanner)
        except PdnError as error:
            if bad is None:
                raise
            bad.append(error)
            continue
        if game is not None:
            yield game


def _read_game(scanner: _Scanner) -> PdnGame | None:
    """Read a game, or only the comments before the end; on PdnError the scanner stands behind the bad game."""
    try:
        draft = _scan_game(scanner)
    except PdnError:
        scanner.skip_to_next_game()
        raise
    return _replay(draft, scanner)


RESULT = r"(?:1/2-1/2|1-0|0-1|2-0|0-2|1-1|\*)"
TOKEN = re.compile(
    rf"(?P<result>{RESULT}(?![\w/-]))"
    r"""
    | (?P<space>\s+)
    | (?P<number>[0-9]+\s*\.+|\.+)
    | (?P<move>(?P<route>[0-9]{1,2}(?:[-xX:][0-9]{1,2})+)(?P<strength>!!|\?\?|!\?|\?!|[!?*])?
        (?P<stuck>(?![xX])[^\W0-9_]{2}[^\s{}()\[\];$]*)?(?![\w/:-]))
    | (?P<tag>\[\s*(?P<name>\w+)\s*"(?P<value>(?:[^"\\\n]|\\.)*)"\s*\])
    | (?P<comment>\{(?P<said>[^}]*)\}|;(?P<rest>[^\n]*)|(?m:^)%[^\n]*)
    | \$(?P<glyph>[0-9]{1,3})(?![0-9])
    | (?P<variation>\()""",
    re.VERBOSE,
)
VARIATION_PART = re.compile(r"\{[^}]*\}|;[^\n]*|[()]|[^{};()]+")
WORD = re.compile(r"\S+")
UNCLOSED = {"{": "a comment closed by }", "[": 'a tag like [Event "name"]', "$": "a glyph like $1"}
NEW_GAME = re.compile(rf"(?P<tag>^[ \t]*\[)|(?:^|(?<=\s)){RESULT}[ \t]*$", re.MULTILINE)


class _Scanner:
    """A text, how far it has been read, and the line and column of any place in it."""

    def __init__(self, text: str) -> None:
        self.text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.position = 0

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def error(self, message: str, offset: int) -> PdnError:
        line = bisect_right(self.line_starts, offset)
        return PdnError(message, line, offset - self.line_starts[line - 1] + 1)

    def next_token(self) -> re.Match[str]:
        """Return the token here and step over it; PdnError where there is none."""
        match = TOKEN.match(self.text, self.position)
        if match is None:
            word = WORD.match(self.text, self.position)
            expected = UNCLOSED.get(self.text[self.position], "a move like 11-15, a comment in braces, or a result")
            self.position += 1
            raise self.error(f"cannot read {_shown(word[0] if word else '')}; expected {expected}", self.position - 1)
        self.position = match.end()
        return match

    def skip_variation(self, offset: int) -> None:
        """Step behind the parenthesis that closes the one at an offset, just read."""
        depth = 1
        while depth:
            match = VARIATION_PART.match(self.text, self.position)
            if match is None:
                self.position = offset + 1
                raise self.error("this variation is not closed by )", offset)
            self.position = match.end()
            depth += {"(": 1, ")": -1}.get(match[0], 0)

    def skip_to_next_game(self) -> None:
        """Step behind the next result that ends a line or, if nearer, to a line of tags that follows no other."""
        for match in NEW_GAME.finditer(self.text, self.position):
            line_before = self.text[self.text.rfind("\n", 0, max(match.start() - 1, 0)) + 1 : match.start()]
            if match["tag"] is None or not line_before.rstrip().endswith("]"):
                self.position = match.end() if match["tag"] is None else match.start()
                return
        self.position = len(self.text)


@dataclass
class _Draft:
    """A game as it is being read, before its moves are replayed."""

    tags: dict[str, str] = field(default_factory=dict)
    tag_offsets: dict[str, int] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)
    move_offsets: list[int] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    glyphs: dict[int, tuple[int, ...]] = field(default_factory=dict)
    result: str = ""
    result_offset: int = 0

    def say(self, comment: str) -> None:
        """Add to what is said after the moves so far."""
        words = comment.split()
        if words:
            said = self.comments.get(len(self.moves), "")
            self.comments[len(self.moves)] = " ".join([said, *words] if said else words)

    def mark(self, glyph: int) -> None:
        """Add a numeric annotation glyph to the last move."""
        self.glyphs[len(self.moves)] = (*self.glyphs.get(len(self.moves), ()), glyph)


def _scan_game(scanner: _Scanner) -> _Draft:
    """Read the text of one game, up to its result or the end; PdnError, with the scanner at the fault."""
    draft = _Draft()
    while not draft.result and not scanner.at_end():
        offset = scanner.position
        token = scanner.next_token()
        kind = token.lastgroup
        if kind in ("space", "number"):
            continue
        if token["route"]:
            draft.moves.append(token["route"])
            draft.move_offsets.append(offset)
            if token["strength"]:
                draft.mark(STRENGTHS[token["strength"]])
            if token["stuck"]:
                draft.say(token["stuck"])
        elif kind == "result":
            draft.result = SAME_RESULTS.get(token["result"], token["result"])
            draft.result_offset = offset
        elif kind == "tag":
            _add_tag(draft, scanner, token, offset)
        elif kind == "comment":
            draft.say(token["said"] or token["rest"] or "")
        elif kind == "variation":
            scanner.skip_variation(offset)
        elif draft.moves:
            draft.mark(int(token["glyph"]))
        else:
            raise scanner.error(f"the glyph {token[0]} stands before any move", offset)
    return draft


def _add_tag(draft: _Draft, scanner: _Scanner, token: re.Match[str], offset: int) -> None:
    name = token["name"]
    fault = ""
    if draft.moves:
        fault = f"the tag {_shown(name)} follows moves: the game above has no result (1-0, 0-1, 1/2-1/2 or *)"
    elif name in draft.tags:
        fault = f"the game has the tag {_shown(name)} twice"
    if fault:
        scanner.position = offset
        raise scanner.error(fault, offset)
    draft.tags[name] = re.sub(r'\\(["\\])', r"\1", token["value"])
    draft.tag_offsets[name] = offset


def _replay(draft: _Draft, scanner: _Scanner) -> PdnGame | None:
    """Check a draft by the rules and return its game; None where the text held nothing but comments."""
    if not (draft.tags or draft.moves or draft.result):
        return None
    game_type = draft.tags.get("GameType", ENGLISH_DRAUGHTS)
    if not _is_english(game_type):
        offset = draft.tag_offsets["GameType"]
        raise scanner.error(f"GameType {_shown(game_type)} is not English draughts ({ENGLISH_DRAUGHTS})", offset)
    try:
        states, start = _record_start(draft.tags.get("FEN", START_FEN))
    except PdnError as error:
        raise scanner.error(str(error), draft.tag_offsets["FEN"]) from error
    return PdnGame(
        turns=_find_turns(states.copy()[0], draft, scanner),
        result=_agreed_result(draft, scanner),
        tags={name: value for name, value in draft.tags.items() if name not in OWN_TAGS},
        start=start,
        comments=draft.comments,
        glyphs=draft.glyphs,
    )


def _is_english(game_type: str) -> bool:
    return game_type.split(",")[0].strip() == ENGLISH_DRAUGHTS


@lru_cache(maxsize=64)
def _record_start(fen: str) -> tuple[States, str]:
    """Return the position a record starts from, not to be changed, and its FEN as fen_name writes it."""
    states = parse_fen(fen, RECORD_RULES)
    return states, fen_name(states[0])


def _agreed_result(draft: _Draft, scanner: _Scanner) -> str:
    """Return the result after the moves or, where that is open or missing, the tag's."""
    tag = draft.tags.get("Result", "*").strip()
    tag = SAME_RESULTS.get(tag, tag)
    if tag not in RESULTS:
        raise scanner.error(f"Result {_shown(tag)} is none of {', '.join(RESULTS)}", draft.tag_offsets["Result"])
    result = draft.result or "*"
    if "*" not in (tag, result) and tag != result:
        raise scanner.error(f"the result {result} contradicts the tag Result {_shown(tag)}", draft.result_offset)
    return tag if result == "*" else result


_squares_of = lru_cache(maxsize=4096)(read_route)
NOWHERE = (0, 0)  # in place of an unreadable move: no piece can go there


def _find_turns(state: State, draft: _Draft, scanner: _Scanner) -> tuple[Turn, ...]:
    """Play a draft's moves on a state: in bulk while they are written with every stop, the others one by one."""
    routes = [_squares_of(move) or NOWHERE for move in draft.moves]
    turns: list[Turn] = []
    while True:
        turns += _play_routes(state, routes[len(turns) :])
        if len(turns) == len(routes):
            return tuple(turns)
        try:
            turn = parse_turn(state, draft.moves[len(turns)])
        except NotationError as error:
            raise scanner.error(str(error), draft.move_offsets[len(turns)]) from error
        play_turn(state, turn)
        turns.append(turn)


def _play_routes(state: State, routes: list[tuple[int, ...]]) -> list[Turn]:
    """Play the turns whose every stop is given, up to the first that is not, and return them."""
    squares = np.array([square for route in routes for square in route], np.int64)
    lengths = np.array([len(route) for route in routes], np.int64)
    actions = np.zeros(squares.size - lengths.size, np.int64)
    num_played = play_routes(state, np.zeros(1, CHECKERS.dtype), squares, lengths, actions)
    found = iter(actions.tolist())
    return [tuple(next(found) for _ in route[1:]) for route in routes[:num_played]]


# --- writing --------------------------------------------------------------------------------------------------------


def write_game(game: PdnGame) -> str:
    """Return a game as PDN, ending in a blank line: games written one after another are a file that read_games reads.

    PdnError where the game cannot be written so that it reads the same: an illegal turn, a tag or comment out of place.
    """
    names, first_mover = _turn_names(game)
    tags = {**game.tags, "Result": game.result}
    if game.start != START_FEN:
        tags |= {"SetUp": "1", "FEN": game.start}
    _check_writable(game)
    lines = [f'[{name} "{_escaped(value)}"]' for name, value in tags.items()]
    tokens = _comment_tokens(game.comments.get(0, ""))
    for ply, name in enumerate(names):
        number, is_white = divmod(ply + first_mover, 2)
        if not is_white:
            name = f"{number + 1}. {name}"
        elif ply == 0:
            name = f"{number + 1}... {name}"
        tokens.append(name)
        tokens += [f"${glyph}" for glyph in game.glyphs.get(ply + 1, ())]
        tokens += _comment_tokens(game.comments.get(ply + 1, ""))
    return "\n".join([*lines, "", *_wrapped([*tokens, game.result]), "", ""])


def _turn_names(game: PdnGame) -> tuple[list[str], int]:
    """Return the game's turns as text, and who moves first; PdnError where a turn is not legal."""
    state = _record_start(game.start)[0].copy()[0]
    first_mover = int(state.to_play)
    lengths = np.array([len(turn) for turn in game.turns], np.int64)
    is_capture = np.zeros(lengths.size, np.bool_)
    actions = np.array([action for turn in game.turns for action in turn], np.int64)
    num_played = play_turns(state, actions, lengths, is_capture)
    if num_played < len(game.turns):
        raise PdnError(f"turn {num_played + 1} of the game, actions {game.turns[num_played]}, is not legal")
    played = zip(game.turns, is_capture.tolist(), strict=True)
    return [route_name(route_of(turn, captures), captures) for turn, captures in played], first_mover


def _check_writable(game: PdnGame) -> None:
    """Raise PdnError for what would not read back as it is."""
    if game.result not in RESULTS:
        raise PdnError(f"result {_shown(game.result)} is none of {', '.join(RESULTS)}")
    if game.start != _record_start(game.start)[1]:
        raise PdnError(f"start {_shown(game.start)} is not written as fen_name writes it")
    for name, value in game.tags.items():
        is_foreign = name == "GameType" and not _is_english(value)
        if name in OWN_TAGS or is_foreign or not re.fullmatch(r"\w+", name) or re.search(r"[\r\n]", value):
            raise PdnError(f"tag {_shown(name)} {_shown(value)} cannot be written: not of one line, or not its place")
    for ply in game.comments:
        if not 0 <= ply <= len(game.turns):
            raise PdnError(f"a comment after turn {ply}, in a game of {len(game.turns)} turns")
    for ply, glyphs in game.glyphs.items():
        if not 1 <= ply <= len(game.turns) or not all(0 <= glyph <= 999 for glyph in glyphs):
            raise PdnError(f"glyphs {glyphs} after turn {ply}: glyphs are 0-999, turns here 1-{len(game.turns)}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _comment_tokens(comment: str) -> list[str]:
    """Return a comment as words in braces or, where it holds a closing brace itself, as lines that begin with ;."""
    words = comment.split()
    if not words:
        return []
    if "}" not in comment:
        return f"{{{' '.join(words)}}}".split(" ")
    return ["; " + line for line in _wrapped(words, COLUMNS - 2)]


def _wrapped(tokens: list[str], columns: int = COLUMNS) -> list[str]:
    """Fill lines with tokens, one space between; a token of a line comment has a line of its own."""
    lines: list[str] = []
    for token in tokens:
        is_full = not lines or len(lines[-1]) + 1 + len(token) > columns
        if is_full or token.startswith("; ") or lines[-1].startswith("; "):
            lines.append(token)
        else:
            lines[-1] += " " + token
    return lines


def _shown(text: str) -> str:
    """Return a text as errors repeat it: quoted, on one line, not too long."""
    return repr(text if len(text) <= 60 else text[:60] + "...")
