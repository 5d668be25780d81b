"""Commands that set a game up or take it back: boards, rules, handicaps, moves and records."""

from __future__ import annotations

import contextlib
import json
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.engine_process import shorten
from agents.gtp.arguments import (
    Arguments,
    colour_to_play,
    exactly,
    parse_colour,
    parse_int,
    parse_point,
    vertex,
    vertices,
)
from agents.gtp.protocol import GtpError, Task, UsageError, parse_vertex
from agents.gtp.session import BLACK_PLAYER, COLOURS, HANDICAP_BONUSES, WHITE_PLAYER, Session
from agents.terminal.go_view import plain_board
from games import go
from games.durable import replace_file
from games.rules import GameError
from games.sgf import SgfGame, SgfStart, check_size, read_game, write_game

MOST_HANDICAP = 9
KO_RULES = ("SIMPLE", "POSITIONAL", "SITUATIONAL")  # by a record's ko_rule, as kata-set-rules has them
NamedRules = tuple[str, str]  # our name, and White's bonus in a handicap game
KATAGO_RULES: dict[str, NamedRules] = {  # those that count area, and two by our names
    "chinese": ("simple-ko", "N"),
    "chinese-ogs": ("chinese", "N"),
    "chinese-kgs": ("chinese", "N"),
    "tromp-taylor": ("tromp-taylor", "0"),
    "aga": ("situational", "N-1"),
    "bga": ("situational", "N-1"),
    "french": ("situational", "N-1"),
    "new-zealand": ("new-zealand", "0"),
    "situational": ("situational", "0"),
    "simple-ko": ("simple-ko", "0"),
}
KGS_RULES = {
    "chinese": KATAGO_RULES["chinese-kgs"],
    "aga": KATAGO_RULES["aga"],
    "new_zealand": KATAGO_RULES["new-zealand"],
}


def boardsize(session: Session, arguments: Arguments) -> str:
    """Change the size; the board is cleared, as clients expect that send no clear_board after it."""
    if len(arguments) == 2:  # as KataGo takes it
        return rectangular_boardsize(session, arguments)
    size = parse_int(exactly(arguments, 1)[0], 0, 10**9)
    session.resize(size, size)
    return ""


def rectangular_boardsize(session: Session, arguments: Arguments) -> str:
    columns, rows = (parse_int(text, 1, 10**6) for text in exactly(arguments, 2))
    session.resize(rows, columns)
    return ""


def query_boardsize(session: Session, arguments: Arguments) -> str:
    return str(session.rows) if session.rows == session.columns else f"{session.columns} {session.rows}"


def clear_board(session: Session, arguments: Arguments) -> str:
    session.clear()
    return ""


def komi(session: Session, arguments: Arguments) -> str:
    (text,) = exactly(arguments, 1)
    if not re.fullmatch(r"[-+]?[0-9]{1,4}(\.[0-9]{0,6})?", text, re.ASCII):
        raise UsageError("syntax error")
    session.set_komi(float(text))
    return ""


def get_komi(session: Session, arguments: Arguments) -> str:
    exactly(arguments, 0)
    return f"{session.komi:g}"


def kata_set_rules(session: Session, arguments: Arguments) -> str:
    """Take a rule set by KataGo's name for it or as KataGo's JSON."""
    text = " ".join(arguments)
    found = named_rules(session, text) if text.startswith("{") else KATAGO_RULES.get(text.lower())
    return set_rules(session, found, KATAGO_RULES)


def kata_set_rule(session: Session, arguments: Arguments) -> str:
    """Change one of the rules that kata-get-rules tells, as KataGo's extension of GTP has it."""
    name, value = exactly(arguments, 2)
    rules = json.loads(kata_get_rules(session, ()))
    if name not in rules:
        raise GtpError(f"unknown rule; there are {', '.join(rules)}")
    rules[name] = {"true": True, "false": False}.get(value.lower(), value)
    found = named_rules(session, json.dumps(rules))
    if found is None:
        raise GtpError(f"{shorten(value)} is no {name} with these rules: kata-set-rules sets all")
    session.set_rules(*found)
    return ""


def kgs_rules(session: Session, arguments: Arguments) -> str:
    """Take a rule set by its name on the server KGS."""
    return set_rules(session, KGS_RULES.get(" ".join(arguments).lower()), KGS_RULES)


def set_rules(session: Session, found: NamedRules | None, known: Mapping[str, NamedRules]) -> str:
    """Change to the rules that were found among those known."""
    if found is None:
        raise GtpError(f"unknown rules; there are {', '.join(known)}, all count area")
    session.set_rules(*found)
    return ""


def named_rules(session: Session, text: str) -> NamedRules | None:
    """Return our name for rules in JSON, and White's bonus; None for those that we do not play by."""
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(wanted, dict) or wanted.get("scoring", "AREA") != "AREA" or wanted.get("tax", "NONE") != "NONE":
        return None
    bonus = wanted.get("whiteHandicapBonus", "0")
    if bonus not in HANDICAP_BONUSES or wanted.get("hasButton", False):
        return None
    described = (wanted.get("ko", "POSITIONAL"), wanted.get("suicide", False))
    if not isinstance(described[1], bool):
        return None
    for name, values in session.game.rule_sets.items():
        if (KO_RULES[values["ko_rule"]], bool(values["suicide"])) == described:
            return name, bonus
    return None


def kata_get_rules(session: Session, arguments: Arguments) -> str:
    rules = {"hasButton": False, "ko": KO_RULES[int(session.state.ko_rule)], "scoring": "AREA"}
    rules |= {"suicide": bool(session.state.suicide), "tax": "NONE", "whiteHandicapBonus": session.handicap_bonus}
    return json.dumps(rules)


def set_handicap(session: Session, points: Sequence[int]) -> str:
    """Set handicap stones up; White moves next."""
    session.place(points, (), WHITE_PLAYER)
    return vertices(session, points)


def refuse_if_used(session: Session) -> None:
    """Handicap stones come before anything else."""
    if session.moves or session.stones(BLACK_PLAYER) or session.stones(WHITE_PLAYER):
        raise GtpError("board not empty")


def fixed_points(session: Session, count: int) -> list[int]:
    """Return the points of a fixed handicap."""
    try:
        if session.rows != session.columns:
            raise GtpError("invalid number of stones")
        return go.handicap_points(session.rows, count)
    except GameError:
        raise GtpError("invalid number of stones") from None


def fixed_handicap(session: Session, arguments: Arguments) -> str:
    count = parse_int(exactly(arguments, 1)[0], 0, 10**6)
    refuse_if_used(session)
    return set_handicap(session, fixed_points(session, count))


def place_free_handicap(session: Session, arguments: Arguments) -> str:
    """Choose the points of a handicap: the fixed ones, as many as there are, and more where more are asked for."""
    count = parse_int(exactly(arguments, 1)[0], 0, 10**6)
    refuse_if_used(session)
    if not 2 <= count < session.pass_action:
        raise GtpError("invalid number of stones")
    return set_handicap(session, free_points(session, count))


def free_points(session: Session, count: int) -> list[int]:
    """Return so many points: those of the largest fixed handicap, then always the one farthest from all before.

    Points on the third line from the edge or above come first, where there are any, then those of the second line.
    """
    points: list[int] = []
    for fixed in range(min(count, MOST_HANDICAP), 1, -1):
        with contextlib.suppress(GtpError):
            points = fixed_points(session, fixed)
            break
    rows, columns = session.rows, session.columns

    def worth(point: int) -> tuple[int, int]:
        row, column = divmod(point, columns)
        line = min(row, column, rows - 1 - row, columns - 1 - column)
        distances = [(row - other // columns) ** 2 + (column - other % columns) ** 2 for other in points]
        return min(line, 2), min(distances, default=0)

    while len(points) < count:
        points.append(max((point for point in range(rows * columns) if point not in points), key=worth))
    return points


def set_free_handicap(session: Session, arguments: Arguments) -> str:
    refuse_if_used(session)
    try:
        points = [parse_point(session, text) for text in arguments]
    except GtpError:
        raise GtpError("bad vertex list") from None
    if len(points) < 2 or len(set(points)) < len(points) or len(points) >= session.pass_action:
        raise GtpError("bad vertex list")
    set_handicap(session, points)
    return ""


def set_position(session: Session, arguments: Arguments) -> str:
    """Set stones up: set_position COLOR VERTEX COLOR VERTEX ...; Black moves next."""
    stones: tuple[list[int], list[int]] = ([], [])
    for colour, text in zip(arguments[::2], exactly(arguments, len(arguments) // 2 * 2)[1::2], strict=True):
        stones[parse_colour(colour)].append(parse_point(session, text))
    session.place(*stones, BLACK_PLAYER)
    return ""


def setup_player(session: Session, arguments: Arguments) -> str:
    """Say who moves next, whatever was played."""
    session.set_to_play(parse_colour(exactly(arguments, 1)[0]))
    return ""


# --- moves ----------------------------------------------------------------------------------------------------------


def play(session: Session, arguments: Arguments) -> str:
    colour, text = exactly(arguments, 2)
    session.play(parse_colour(colour), parse_vertex(text, session.rows, session.columns))
    return ""


def play_sequence(session: Session, arguments: Arguments) -> str:
    """Make several moves: COLOR VERTEX COLOR VERTEX ...; those before one that is illegal stay."""
    for at in range(0, len(exactly(arguments, len(arguments) // 2 * 2)), 2):
        play(session, arguments[at : at + 2])
    return ""


def undo(session: Session, arguments: Arguments) -> str:
    exactly(arguments, 0)
    session.undo()
    return ""


def undo_several(session: Session, arguments: Arguments) -> str:
    """Take this many moves back, all or none."""
    if len(arguments) > 1:
        raise UsageError("syntax error")
    count = parse_int(arguments[0], 0, 10**6) if arguments else 1
    if count > len(session.moves):
        raise GtpError("cannot undo")
    for _ in range(count):
        session.undo()
    return ""


def is_legal(session: Session, arguments: Arguments) -> str:
    colour, text = exactly(arguments, 2)
    action = parse_vertex(text, session.rows, session.columns)
    return str(int(session.is_legal(parse_colour(colour), action)))


def all_legal(session: Session, arguments: Arguments) -> str:
    actions = session.legal_actions(colour_to_play(session, arguments))
    return vertices(session, [action for action in actions if action != session.pass_action])


# --- the board as text ----------------------------------------------------------------------------------------------


def showboard(session: Session, arguments: Arguments) -> str:
    return "\n" + plain_board(session.state, f"rules {session.rules}")


def list_stones(session: Session, arguments: Arguments) -> str:
    return vertices(session, session.stones(parse_colour(exactly(arguments, 1)[0])))


def color(session: Session, arguments: Arguments) -> str:
    stone = go.stone_at(session.state, parse_point(session, exactly(arguments, 1)[0]))
    return ("empty", *COLOURS)[stone]


def captures(session: Session, arguments: Arguments) -> str:
    """Return how many stones a colour has taken."""
    return str(int(session.state.captured[1 - parse_colour(exactly(arguments, 1)[0])]))


def countlib(session: Session, arguments: Arguments) -> str:
    point = parse_point(session, exactly(arguments, 1)[0])
    if not go.stone_at(session.state, point):
        raise GtpError("no stone there")
    return str(go.chain_liberties(session.state, point))


def move_history(session: Session, arguments: Arguments) -> str:
    return "\n".join(f"{COLOURS[colour]} {vertex(session, action)}" for colour, action in reversed(session.moves))


def last_move(session: Session, arguments: Arguments) -> str:
    if not session.moves:
        raise GtpError("no previous move known")
    colour, action = session.moves[-1]
    return f"{COLOURS[colour]} {vertex(session, action)}"


# --- records --------------------------------------------------------------------------------------------------------


def loadsgf(session: Session, arguments: Arguments) -> str:
    """Load the main line of a record, up to before a move where one is given; the file's name may have blanks."""
    if not arguments:
        raise UsageError("syntax error")
    has_number = len(arguments) > 1 and not Path(" ".join(arguments)).is_file()
    num_moves = parse_int(arguments[-1], 1, 10**6) - 1 if has_number else 10**6
    path = Path(" ".join(arguments[:-1] if has_number else arguments))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe may never end
            raise GtpError("no regular file")
        check_size(status.st_size)
        session.load(read_game(path.read_bytes()), num_moves)
    except FileNotFoundError:
        raise GtpError("cannot load file: there is no such file") from None
    except OSError as error:
        raise GtpError(f"cannot load file: {error.strerror}") from None
    except ValueError as error:  # of the record, of its moves, of a name with a null byte
        raise GtpError(f"cannot load file: {' '.join(str(error).split())}") from None
    return ""


def printsgf(session: Session, arguments: Arguments) -> str:
    """Return the game as SGF, or write it into the file that is named, NAME.sgf; - is no file."""
    first = session.positions[0]
    black, white = (tuple(session.stones(colour, first)) for colour in (BLACK_PLAYER, WHITE_PLAYER))
    start = SgfStart(session.rows, session.columns, session.komi, black, white, int(first.to_move))
    players, actions = (tuple(move[part] for move in session.moves) for part in (0, 1))
    text = write_game(SgfGame(start, actions, players, session.handicap, {"RU": session.rules}))
    name = " ".join(arguments)
    if name in ("", "-"):
        return text.decode()
    if not name.lower().endswith(".sgf"):  # a garbled line must overwrite nothing else
        raise GtpError("cannot write file: its name must end in .sgf")
    try:
        replace_file(Path(name), text)
    except (OSError, ValueError):  # ValueError: of a name with a null byte
        raise GtpError("cannot write file") from None
    return ""


HANDLERS = {
    "boardsize": Task(boardsize, "SIZE"),
    "rectangular_boardsize": Task(rectangular_boardsize, "COLUMNS ROWS"),
    "query_boardsize": Task(query_boardsize),
    "clear_board": Task(clear_board),
    "komi": Task(komi, "KOMI"),
    "get_komi": Task(get_komi),
    "get_handicap": Task(lambda session, arguments: str(session.handicap)),
    "kata-set-rule": Task(kata_set_rule, "RULE VALUE"),
    "kata-set-rules": Task(kata_set_rules, "NAME or JSON"),
    "kata-get-rules": Task(kata_get_rules),
    "kgs-rules": Task(kgs_rules, "NAME"),
    "fixed_handicap": Task(fixed_handicap, "NUMBER"),
    "place_free_handicap": Task(place_free_handicap, "NUMBER"),
    "set_free_handicap": Task(set_free_handicap, "VERTEX VERTEX ..."),
    "set_position": Task(set_position, "COLOR VERTEX COLOR VERTEX ..."),
    "play": Task(play, "COLOR VERTEX"),
    "undo": Task(undo),
    "gg-undo": Task(undo_several, "[NUMBER]"),
    "is_legal": Task(is_legal, "COLOR VERTEX"),
    "all_legal": Task(all_legal, "[COLOR]"),
    "showboard": Task(showboard),
    "list_stones": Task(list_stones, "COLOR"),
    "color": Task(color, "VERTEX"),
    "captures": Task(captures, "COLOR"),
    "countlib": Task(countlib, "VERTEX"),
    "move_history": Task(move_history),
    "last_move": Task(last_move),
    "loadsgf": Task(loadsgf, "FILE [MOVE_NUMBER]"),
    "printsgf": Task(printsgf, "[NAME.sgf]"),
}
