"""Go in a terminal: a wooden board with coordinates, what was captured, a heat map of the policy, SGF."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from rich.style import Style as Paint
from rich.text import Text

from agents.game_files import SGF_ENDINGS
from agents.go_conduct import Ending, ending_of, status_of
from agents.terminal.board_view import View
from agents.terminal.styles import Heat, Played, Questions
from agents.umpire import Verdict
from games.go import star_points
from games.go_board import BLACK, EMPTY, WHITE
from games.go_status import board_of, score_name
from games.notation import COLUMN_LETTERS
from games.rules import State
from games.sgf import SgfGame, SgfStart, write_game

WOOD, GRID, LABEL = "#dcb167", "#7a5a28", "#8a8a8a"
STONES = {BLACK: "#101010", WHITE: "#ffffff"}
LETTERS = {EMPTY: ".", BLACK: "X", WHITE: "O"}
HOT = (214, 48, 32)  # colour of the likeliest move; the others lie between it and the wood
RANKED = 9  # moves of a heat map that are numbered


class GoStyle:
    """How Go looks and reads."""

    sides = ("Black", "White")
    turns_around = False
    help_rows: Sequence[tuple[str, str]] = (("D4", "put a stone there; or: pass"),)
    record_name = "SGF"
    shows_heat = True

    def __init__(self, rules: str) -> None:
        self._rules = rules
        is_raw = ending_of(rules) is Ending.ALL_ALIVE
        dead = "All stones that stand then live" if is_raw else "Stones that look dead are taken off then"
        self.help_note = f"Two passes end the game. {dead}; undo takes a pass back to play on."
        self.questions: Questions = {"score": (self.count, "count the board as it stands")}

    def board(self, state: State, before: State | None, view: View, heat: Heat | None = None) -> list[Text]:
        """Draw the board, the last move marked, or with the moves of a heat map coloured and numbered."""
        rows, columns = int(state.rows), int(state.columns)
        stars, stones = star_points(rows, columns), board_of(state)
        ranks = {action: rank for rank, action in enumerate(sorted(heat or {}, key=lambda a: -(heat or {})[a]), 1)}
        most = max((heat or {}).values(), default=0.0) or 1.0
        turn = -1 if view.flipped else 1
        shown_rows, shown_columns = range(rows)[::turn], range(columns)[::turn]
        letters = " ".join(COLUMN_LETTERS[column] for column in shown_columns)
        header = Text(f"   {letters}   ", LABEL if view.colour else "")
        lines = [header]
        for row in shown_rows:
            line = Text(f"{rows - row:2} ", LABEL if view.colour else "")
            for column in shown_columns:
                point = row * columns + column
                stone, rank = int(stones[point]), ranks.get(point, 0)
                is_last = point == int(state.last_moves[0]) and not heat
                is_star = point in stars
                if view.colour:
                    share = (heat or {}).get(point, 0.0) / most
                    glyph = _glyph(
                        shown_rows.index(row), shown_columns.index(column), rows, columns, is_star, view.unicode
                    )
                    is_edge = column == shown_columns[-1]
                    line.append_text(_painted(stone, glyph, share, rank, is_last, is_edge, view))
                else:
                    mark = str(rank) if 0 < rank <= RANKED else LETTERS[stone]
                    mark = "+" if mark == "." and is_star else mark
                    line.append(mark + (")" if is_last else " "))
            line.append(f"{' ' if view.colour else ''}{rows - row:<2}", LABEL if view.colour else "")
            lines.append(line)
        widest = max(line.cell_len for line in lines)
        for line in lines:
            line.pad_right(widest - line.cell_len)
        return [*lines, header.copy()]

    def notes(self, state: State) -> list[str]:
        """Tell the captures and the komi."""
        taken = f"captures: Black {int(state.captured[1])}, White {int(state.captured[0])}"
        return [taken, f"komi {int(state.komi2) / 2:g}"]

    def example(self, state: State) -> str:
        """Name a point that most boards have."""
        return "D4" if min(int(state.rows), int(state.columns)) >= 4 else "A1"

    def expectation(self, value: float) -> str:
        """Tell who is the likelier winner."""
        return "even" if value == 0 else f"{self.sides[0 if value > 0 else 1]} {50 + 50 * abs(value):.0f} %"

    def count(self, state: State) -> str:
        """Tell how the board would be counted now."""
        status = status_of(state, self._rules)
        num_dead, neutral = len(status.dead), len(status.territory(0))
        dead = f", {num_dead} stone{'s' * (num_dead != 1)} taken for dead" if num_dead else ""
        told = f"as it stands: {score_name(status.score)}{dead}"
        points = "1 point is" if neutral == 1 else f"{neutral} points are"
        return f"{told}; {points} nobody's" if neutral else told

    def reason(self, state: State, verdict: Verdict) -> str:
        """Tell the score, and how it was agreed."""
        return f"{verdict.score} ({verdict.note})"

    def record(self, played: Played) -> bytes:
        """Write SGF, with what the bots thought."""
        first = played.positions[0]
        area = int(first.rows) * int(first.columns)
        cells = board_of(first)
        black, white = (tuple(p for p in range(area) if cells[p] == colour) for colour in (BLACK, WHITE))
        mover = int(first.to_move)
        actions = tuple(turn[0] for turn in played.turns)
        players = tuple((mover + number) % 2 for number in range(len(actions)))
        comments = dict(played.comments)
        tags = {"DT": f"{datetime.date.today():%Y-%m-%d}", "PB": played.specs[0], "PW": played.specs[1]}
        tags["RU"] = self._rules
        if played.verdict is not None:
            verdict, last = played.verdict, len(actions)
            winner = "B" if verdict.result > 0 else "W"
            tags["RE"] = verdict.score or f"{winner}+{SGF_ENDINGS.get(verdict.reason, '')}"
            comments[last] = "\n".join(text for text in (comments.get(last, ""), played.told) if text)
        start = SgfStart(int(first.rows), int(first.columns), int(first.komi2) / 2, black, white, mover)
        handicap = len(black) if black and not white else 0
        return write_game(SgfGame(start, actions, players, handicap, tags, comments))

    def farewell(self, played: Played) -> str:
        """Say nothing: no command starts from a record."""
        return ""


def _glyph(row: int, column: int, rows: int, columns: int, is_star: bool, unicode: bool) -> str:
    """Return what an empty point looks like: the crossing of its lines."""
    if not unicode:
        return "+" if is_star else "."
    if is_star:
        return "╋"
    side = 0 if column == 0 else 2 if column == columns - 1 else 1
    return ("┌┬┐" if row == 0 else "└┴┘" if row == rows - 1 else "├┼┤")[side]


def _painted(stone: int, glyph: str, share: float, rank: int, is_last: bool, is_edge: bool, view: View) -> Text:
    """Return a point in colours: the stone or the crossing, and the line to the next."""
    wood = tuple(int(WOOD[at : at + 2], 16) for at in (1, 3, 5))
    ground = "#" + "".join(f"{round(cold + share * (hot - cold)):02x}" for cold, hot in zip(wood, HOT, strict=True))
    if stone != EMPTY:
        disc = ("◉" if is_last else "●") if view.unicode else LETTERS[stone]
        body = Text(disc, Paint(color=STONES[stone], bgcolor=ground, bold=True, underline=is_last and not view.unicode))
    elif 0 < rank <= RANKED:
        body = Text(str(rank), Paint(color="#000000", bgcolor=ground, bold=True))
    else:
        body = Text(glyph, Paint(color=GRID, bgcolor=ground))
    line = " " if is_edge or not view.unicode else "─"
    body.append(line, Paint(color=GRID, bgcolor=WOOD))
    return body
