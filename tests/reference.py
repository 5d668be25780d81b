"""Slow, obvious rules in plain Python that the kernels are compared with: lists and loops, no bits, nothing shared.

Every reference answers the questions of the contract: `play, legal_actions, is_over, returns, to_play, planes,
is_quiet`, and `position`, a hashable name of what `hash_key` has to tell apart.
"""

from __future__ import annotations

import copy
from collections import Counter
from itertools import product

from games.checkers import CHECKERS, NO_JUMPER, start_history
from games.rules import State

Planes = list[list[list[float]]]
Point = tuple[int, int]  # row, column
Stones = dict[Point, str]

DRAW_RULES = {  # name: (does a man's move reset the quiet count, quiet plies, plies, occurrences that draw; 0 never)
    "wcdf": (True, 80, 0, 3),
    "anaconda": (True, 0, 200, 0),
    "open_spiel": (False, 40, 0, 0),
    "endless": (True, 0, 0, 0),
}
START = """
    . b . b . b . b
    b . b . b . b .
    . b . b . b . b
    . . . . . . . .
    . . . . . . . .
    w . w . w . w .
    . w . w . w . w
    w . w . w . w .
"""


def rotate(state: State) -> None:
    """Turn a board of checkers by 180 degrees and swap the colours: its one symmetry; action a becomes 127 - a."""

    def turned(board: int) -> int:
        return int(f"{int(board):032b}"[::-1], 2)

    state.black, state.white, state.kings = turned(state.white), turned(state.black), turned(state.kings)
    state.to_play = 1 - state.to_play
    if state.jumper != NO_JUMPER:
        state.jumper = 31 - state.jumper
    start_history(state)


def blank_planes(channels: int, rows: int, columns: int) -> Planes:
    return [[[0.0] * columns for _ in range(rows)] for _ in range(channels)]


class Checkers:
    """English draughts on eight lists of eight: "b" and "w" are men, "B" and "W" kings; row 0 is White's king row."""

    DIRECTIONS = ((1, -1), (1, 1), (-1, -1), (-1, 1))  # rows down, columns right; Black's men use the first two
    ACTIONS = 128

    def __init__(self, rules: str = "wcdf", diagram: str = START, mover: str = "b") -> None:
        self.board = [line.split() for line in diagram.strip().splitlines()]
        self.mover = mover
        self.jumper: tuple[int, int] | None = None
        self.plies = 0
        self.quiet_plies = 0
        self.man_moves_count, self.quiet_limit, self.ply_limit, self.repeat_limit = DRAW_RULES[rules]
        self.seen = Counter([self.position()])

    def position(self) -> tuple[object, ...]:
        return ("".join(map("".join, self.board)), self.mover, self.jumper)

    @property
    def to_play(self) -> int:
        return "bw".index(self.mover)

    def _moves(self, row: int, column: int, distance: int) -> list[int]:
        """Return the actions of the piece on a square: steps (distance 1) or jumps (distance 2)."""
        piece = self.board[row][column]
        found = []
        for direction, (down, right) in enumerate(self.DIRECTIONS):
            if piece == ("b" if down < 0 else "w"):
                continue
            end_row, end_column = row + distance * down, column + distance * right
            if not (0 <= end_row < 8 and 0 <= end_column < 8) or self.board[end_row][end_column] != ".":
                continue
            if distance == 2 and self.board[row + down][column + right].lower() not in "bw".replace(self.mover, ""):
                continue
            found.append(direction * 32 + row * 4 + column // 2)
        return found

    def _all_moves(self, distance: int) -> list[int]:
        """Return the steps or the jumps of all the mover's pieces."""
        return [
            action
            for row in range(8)
            for column in range(8)
            if self.board[row][column].lower() == self.mover
            for action in self._moves(row, column, distance)
        ]

    def is_quiet(self) -> bool:
        return not self._all_moves(2)

    def _is_drawn(self) -> bool:
        return self.jumper is None and (
            0 < self.quiet_limit <= self.quiet_plies
            or 0 < self.ply_limit <= self.plies
            or 0 < self.repeat_limit <= self.seen[self.position()]
        )

    def legal_actions(self) -> list[int]:
        if self._is_drawn():
            return []
        if self.jumper is not None:
            return sorted(self._moves(*self.jumper, 2))
        return sorted(self._all_moves(2) or self._all_moves(1))

    def is_over(self) -> bool:
        return not self.legal_actions()

    def returns(self) -> float:
        if self._is_drawn():
            return 0.0
        return -1.0 if self.mover == "b" else 1.0

    def play(self, action: int) -> None:
        down, right = self.DIRECTIONS[action // 32]
        row = action % 32 // 4
        column = action % 4 * 2 + (1 if row % 2 == 0 else 0)
        piece = self.board[row][column]
        is_jump = self.board[row + down][column + right] != "."
        distance = 2 if is_jump else 1
        end_row, end_column = row + distance * down, column + distance * right
        self.board[row][column] = "."
        if is_jump:
            self.board[row + down][column + right] = "."
        is_crowned = (piece, end_row) in (("b", 7), ("w", 0))
        self.board[end_row][end_column] = piece.upper() if is_crowned else piece
        if is_jump and not is_crowned and self._moves(end_row, end_column, 2):
            self.jumper = (end_row, end_column)
            return
        self.jumper = None
        self.mover = "w" if self.mover == "b" else "b"
        self.plies += 1
        self.quiet_plies += 1
        if is_jump or (piece in "bw" and self.man_moves_count):
            self.quiet_plies = 0
            self.seen.clear()
        self.seen[self.position()] += 1

    def planes(self) -> Planes:
        planes = blank_planes(7, 8, 8)
        kinds = "bBwW" if self.mover == "b" else "wWbB"
        for row, column in product(range(8), range(8)):
            if self.board[row][column] != ".":
                planes[kinds.index(self.board[row][column])][row][column] = 1.0
        if self.jumper is not None:
            planes[4][self.jumper[0]][self.jumper[1]] = 1.0
        planes[5] = [[float(self.to_play)] * 8] * 8
        planes[6] = [[self.quiet_plies / 100] * 8] * 8
        return planes


class ConnectFour:
    """Connect Four on a dictionary of discs: (column, height) -> 0 or 1, the player; height 0 is the bottom."""

    LINES = tuple(
        tuple((column + right * i, height + up * i) for i in range(4))
        for column, height, (right, up) in product(range(7), range(6), ((1, 0), (0, 1), (1, 1), (1, -1)))
        if column + 3 * right < 7 and 0 <= height + 3 * up < 6
    )

    def __init__(self, rules: str = "standard") -> None:
        self.discs: dict[tuple[int, int], int] = {}
        self.to_play = 0

    def position(self) -> tuple[object, ...]:
        return tuple(sorted(self.discs.items()))

    def _winner(self) -> int | None:
        for line in self.LINES:
            for player in (0, 1):
                if all(self.discs.get(cell) == player for cell in line):
                    return player
        return None

    def legal_actions(self) -> list[int]:
        return [] if self._winner() is not None else [column for column in range(7) if (column, 5) not in self.discs]

    def is_over(self) -> bool:
        return not self.legal_actions()

    def returns(self) -> float:
        return {0: 1.0, 1: -1.0, None: 0.0}[self._winner()]

    def is_quiet(self) -> bool:
        return True

    def play(self, action: int) -> None:
        height = sum(column == action for column, _ in self.discs)
        self.discs[action, height] = self.to_play
        self.to_play = 1 - self.to_play

    def planes(self) -> Planes:
        planes = blank_planes(2, 6, 7)
        for (column, height), player in self.discs.items():
            planes[0 if player == self.to_play else 1][5 - height][column] = 1.0
        return planes


class TicTacToe:
    """Tic-tac-toe on a list of nine: "x", "o" or "."."""

    LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

    def __init__(self, rules: str = "standard") -> None:
        self.cells = ["."] * 9
        self.to_play = 0
        self.three_win = rules != "misere"

    def position(self) -> tuple[object, ...]:
        return tuple(self.cells)

    def _has_line(self, mark: str) -> bool:
        return any(all(self.cells[cell] == mark for cell in line) for line in self.LINES)

    def legal_actions(self) -> list[int]:
        if self._has_line("x") or self._has_line("o"):
            return []
        return [cell for cell in range(9) if self.cells[cell] == "."]

    def is_over(self) -> bool:
        return not self.legal_actions()

    def returns(self) -> float:
        if not self._has_line("x") and not self._has_line("o"):
            return 0.0
        return 1.0 if self._has_line("x") == self.three_win else -1.0

    def is_quiet(self) -> bool:
        return True

    def play(self, action: int) -> None:
        self.cells[action] = "xo"[self.to_play]
        self.to_play = 1 - self.to_play

    def planes(self) -> Planes:
        own, enemy = "xo" if self.to_play == 0 else "ox"
        return [
            [[float(self.cells[3 * row + column] == mark) for column in range(3)] for row in range(3)]
            for mark in (own, enemy)
        ]


class Go:
    """Go on a dictionary of stones: (row, column) -> "b" or "w"; every earlier board is kept whole."""

    def __init__(
        self,
        rows: int,
        columns: int,
        ko: str = "positional",
        suicide: bool = False,
        komi: float = 7.5,
        move_limit: int = 0,
    ) -> None:
        self.rows, self.columns, self.ko, self.suicide, self.komi = rows, columns, ko, suicide, komi
        self.move_limit = move_limit
        self.stones: Stones = {}
        self.mover = "b"
        self.moves: list[int] = []
        self.ko_point: Point | None = None
        self.situations: list[tuple[Stones, str]] = [({}, "b")]
        self.lost = {"b": 0, "w": 0}

    @property
    def to_play(self) -> int:
        return "bw".index(self.mover)

    def position(self) -> tuple[object, ...]:
        is_pass = [move == self.rows * self.columns for move in self.moves[-2:]]
        passes = sum(is_pass) if is_pass[-1:] == [True] else 0
        return (frozenset(self.stones.items()), self.mover, self.ko_point, passes)

    def neighbours(self, point: Point) -> list[Point]:
        row, column = point
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        return [(i, j) for i, j in around if 0 <= i < self.rows and 0 <= j < self.columns]

    def region(self, stones: Stones, start: Point) -> tuple[set[Point], set[Point]]:
        """Return the points of one kind that hang together with a point, and the points of other kinds beside them."""
        inside, beside, waiting = {start}, set(), [start]
        while waiting:
            for point in self.neighbours(waiting.pop()):
                if stones.get(point) != stones.get(start):
                    beside.add(point)
                elif point not in inside:
                    inside.add(point)
                    waiting.append(point)
        return inside, beside

    def liberties(self, stones: Stones, start: Point) -> int:
        return sum(point not in stones for point in self.region(stones, start)[1])

    def after(self, point: Point) -> Stones:
        """Return the stones after the mover's stone on an empty point."""
        stones = {**self.stones, point: self.mover}
        for neighbour in self.neighbours(point):
            if stones.get(neighbour, self.mover) != self.mover and self.liberties(stones, neighbour) == 0:
                for dead in self.region(stones, neighbour)[0]:
                    del stones[dead]
        if self.liberties(stones, point) == 0:
            for dead in self.region(stones, point)[0]:
                del stones[dead]
        return stones

    def is_legal(self, point: Point) -> bool:
        if point in self.stones or point == self.ko_point:
            return False
        stones, other = self.after(point), self.other()
        if point not in stones and not self.suicide:
            return False
        if self.ko == "positional":
            return stones not in [earlier for earlier, _ in self.situations]
        return self.ko == "simple" or (stones, other) not in self.situations

    def other(self) -> str:
        return "w" if self.mover == "b" else "b"

    def legal_actions(self) -> list[int]:
        if self.is_over():
            return []
        points = product(range(self.rows), range(self.columns))
        legal = [row * self.columns + column for row, column in points if self.is_legal((row, column))]
        return [*legal, self.rows * self.columns]

    def is_over(self) -> bool:
        passes = [self.rows * self.columns] * 2
        return self.moves[-2:] == passes or 0 < self.move_limit <= len(self.moves)

    def score(self) -> float:
        total = -self.komi
        for point in product(range(self.rows), range(self.columns)):
            colours = {self.stones.get(point)}
            if point not in self.stones:
                colours = {self.stones[stone] for stone in self.region(self.stones, point)[1]}
            total += (colours == {"b"}) - (colours == {"w"})
        return total

    def returns(self) -> float:
        return float((self.score() > 0) - (self.score() < 0))

    def is_quiet(self) -> bool:
        return True

    def play(self, action: int) -> None:
        self.ko_point = None
        if action < self.rows * self.columns:
            point = divmod(action, self.columns)
            before, self.stones = self.stones, self.after(point)
            taken = [dead for dead in before if dead not in self.stones]
            for dead in taken:
                self.lost[before[dead]] += 1
            self.lost[self.mover] += point not in self.stones
            alone = point in self.stones and len(self.region(self.stones, point)[0]) == 1
            if len(taken) == 1 and alone and self.liberties(self.stones, point) == 1:
                self.ko_point = taken[0]
        self.moves.append(action)
        self.mover = self.other()
        self.situations.append((self.stones, self.mover))

    def planes(self) -> Planes:
        planes = blank_planes(16, self.rows, self.columns)
        for (row, column), stone in self.stones.items():
            is_enemy = stone != self.mover
            planes[is_enemy][row][column] = 1.0
            planes[2 + 3 * is_enemy + min(self.liberties(self.stones, (row, column)), 3) - 1][row][column] = 1.0
        for age, action in enumerate(self.moves[:-6:-1]):
            if action < self.rows * self.columns:
                planes[8 + age][action // self.columns][action % self.columns] = 1.0
        if self.ko_point is not None:
            planes[13][self.ko_point[0]][self.ko_point[1]] = 1.0
        gain = max(-1.0, min(1.0, (self.komi if self.mover == "w" else -self.komi) / 15))
        planes[14] = [[gain] * self.columns] * self.rows
        planes[15] = [[1.0] * self.columns] * self.rows
        return planes


Reference = Checkers | ConnectFour | TicTacToe | Go


def perft(reference: Reference, depth: int) -> int:
    """Count the sequences of `depth` whole turns."""
    if depth == 0:
        return 1
    count = 0
    for action in reference.legal_actions():
        after = copy.deepcopy(reference)
        after.play(action)
        mover_goes_on = after.to_play == reference.to_play
        count += perft(after, depth if mover_goes_on else depth - 1)
    return count


def checkers_record(reference: Checkers, rules: str = "wcdf") -> State:
    """Return the record of a reference's board, mover and ply, with nothing behind it that could repeat."""
    state = CHECKERS.new(1, rules)[0]
    squares = "".join(reference.board[row][column] for row, column in product(range(8), range(8)) if (row + column) % 2)
    for field, pieces in (("black", "bB"), ("white", "wW"), ("kings", "BW")):
        state[field] = sum(1 << square for square in range(32) if squares[square] in pieces)
    state.to_play = reference.to_play
    state.jumper = NO_JUMPER if reference.jumper is None else reference.jumper[0] * 4 + reference.jumper[1] // 2
    state.ply = reference.plies
    start_history(state)
    return state


def open_spiel_name(state: State, action: int) -> str:
    """Return an action as open_spiel writes it: two cells of a board turned by half, "a3b4"."""
    direction, square = divmod(action, 32)
    row, column = square // 4, square % 4 * 2 + (1 if square // 4 % 2 == 0 else 0)
    down, right = (1 if direction < 2 else -1), (1 if direction % 2 else -1)
    occupied = int(state.black) | int(state.white)
    is_jump = occupied >> ((row + down) * 4 + (column + right) // 2) & 1
    cells = ((row, column), (row + down * (1 + is_jump), column + right * (1 + is_jump)))
    return "".join(f"{'hgfedcba'[column]}{row + 1}" for row, column in cells)
