"""What networks see of a Go position, from a dictionary of stones and sets of points: slow and obvious."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np

from games.compiled import NDArray
from tests.reference import Go, Point, Stones

Planes = NDArray  # float [C, H, W]


class Features:
    """The features of one position, each as planes."""

    def __init__(self, go: Go) -> None:
        self.go = go
        self.points = list(product(range(go.rows), range(go.columns)))
        self.legal = [] if go.is_over() else [p for p in self.points if p not in go.stones and go.is_legal(p)]

    def plane(self, points: Iterable[Point]) -> Planes:
        plane = np.zeros((1, self.go.rows, self.go.columns))
        for point in points:
            plane[0][point] = 1
        return plane

    def numbers(self, values: dict[Point, int], first: int, count: int) -> Planes:
        """Return one plane for each value from the first on, the last also for more; smaller values are nowhere."""
        capped = {point: min(value, first + count - 1) for point, value in values.items()}
        return np.concatenate(
            [self.plane(p for p, value in capped.items() if value == wanted) for wanted in range(first, first + count)]
        )

    def stones(self, colour: str) -> Planes:
        kinds = (colour, "w" if colour == "b" else "b", None)
        return np.concatenate([self.plane(p for p in self.points if self.go.stones.get(p) == kind) for kind in kinds])

    def liberties(self, count: int, colours: str = "bw") -> Planes:
        stones = self.go.stones
        values = {p: self.go.liberties(stones, p) for p, colour in stones.items() if colour in colours}
        return self.numbers(values, 1, count)

    def turns_since(self, count: int) -> Planes:
        moves, columns = self.go.moves, self.go.columns
        ages = dict.fromkeys(self.go.stones, count)
        for turn, move in enumerate(moves):
            point = divmod(move, columns)
            if point in ages:
                ages[point] = len(moves) - turn
        return self.numbers(ages, 1, count)

    def takes(self, count: int) -> Planes:
        other = self.go.other()
        lost = {}
        for point in self.legal:
            after = self.go.after(point)
            lost[point] = sum(colour == other and stone not in after for stone, colour in self.go.stones.items())
        return self.numbers(lost, 0, count)

    def liberties_after(self, count: int) -> Planes:
        after = {point: self.go.after(point) for point in self.legal}
        return self.numbers({p: self.go.liberties(stones, p) for p, stones in after.items() if p in stones}, 1, count)

    def self_atari(self, count: int) -> Planes:
        sizes = {}
        for point in self.legal:
            after = self.go.after(point)
            if point in after and self.go.liberties(after, point) == 1:
                sizes[point] = len(self.go.region(after, point)[0])
        return self.numbers(sizes, 1, count)

    def sensible(self) -> Planes:
        return self.plane(point for point in self.legal if not self.is_own_eye(point))

    def is_own_eye(self, point: Point) -> bool:
        go, (row, column) = self.go, point
        if any(go.stones.get(beside) != go.mover for beside in go.neighbours(point)):
            return False
        corners = [(row + i, column + j) for i in (-1, 1) for j in (-1, 1)]
        inside = [corner for corner in corners if corner in self.points]
        enemies = sum(go.stones.get(corner) == go.other() for corner in inside)
        return enemies + (len(inside) < 4) < 2

    def ladder_captures(self) -> Planes:
        found = []
        for point in self.legal:
            after = self.go.after(point)
            preys = {p for p in self.go.neighbours(point) if self.go.stones.get(p) == self.go.other()}
            for prey in preys:
                ataris = self.go.liberties(self.go.stones, prey) == 2
                if ataris and is_caught(self.go, after, prey, False, ko_after(self.go, self.go.stones, after, point)):
                    found.append(point)
        return self.plane(found)

    def ladder_escapes(self) -> Planes:
        found = []
        for point in self.legal:
            after = self.go.after(point)
            for prey, colour in self.go.stones.items():
                if colour != self.go.mover or self.go.liberties(self.go.stones, prey) != 1 or prey not in after:
                    continue
                near = {*self.go.region(self.go.stones, prey)[1]}
                taken = set(self.go.stones) - set(after)
                if (point in near or near & taken) and not is_caught(
                    self.go, after, prey, True, ko_after(self.go, self.go.stones, after, point)
                ):
                    found.append(point)
        return self.plane(found)

    def ones(self) -> Planes:
        return self.plane(self.points)


def planes(go: Go, name: str) -> Planes:
    """Return a named set of planes."""
    see = Features(go)
    zeros, own, other = see.plane([]), go.mover, go.other()
    match name:
        case "clark-storkey":
            ko = see.plane([] if go.ko_point is None else [go.ko_point])
            return np.concatenate([see.liberties(3, own), see.liberties(3, other), ko])
        case "history12":
            return np.concatenate([see.stones(own), see.ones(), see.turns_since(8)])
        case "maddison12":
            about = [
                see.stones("b"),
                see.liberties(4),
                see.liberties_after(6),
                see.plane(see.legal),
                see.turns_since(5),
            ]
            return np.concatenate([*about, see.takes(7), see.ladder_captures(), *[zeros] * 8, see.ones()])
        case _:
            about = [see.stones(own), see.ones(), see.turns_since(8), see.liberties(8), see.takes(8), see.self_atari(8)]
            ladders = [see.ladder_captures(), see.ladder_escapes()]
            return np.concatenate([*about, see.liberties_after(8), *ladders, see.sensible(), zeros])


# --- ladders: the hunter gives atari, the prey extends or takes -------------------------------------------------------


def play(go: Go, stones: Stones, point: Point, colour: str) -> Stones | None:
    """Return the stones after a move, None where it is suicide."""
    other = "w" if colour == "b" else "b"
    after = {**stones, point: colour}
    for beside in go.neighbours(point):
        if after.get(beside) == other and go.liberties(after, beside) == 0:
            for dead in go.region(after, beside)[0]:
                del after[dead]
    return after if go.liberties(after, point) else None


def ko_after(go: Go, before: Stones, after: Stones, point: Point) -> Point | None:
    taken = set(before) - set(after)
    if len(taken) == 1 and go.region(after, point)[0] == {point} and go.liberties(after, point) == 1:
        return taken.pop()
    return None


def is_caught(go: Go, stones: Stones, prey: Point, is_hunters_turn: bool, ko: Point | None) -> bool:
    colour = stones[prey]
    hunter = "w" if colour == "b" else "b"
    _, beside = go.region(stones, prey)
    liberties = [point for point in beside if point not in stones]
    if is_hunters_turn:
        if len(liberties) == 1:
            return liberties[0] != ko
        tries, mover = (liberties if len(liberties) == 2 else []), hunter
    else:
        if len(liberties) > 1:
            return False
        enemies = [go.region(stones, point)[1] for point in beside if point in stones]
        last = [{point for point in around if point not in stones} for around in enemies]
        tries, mover = [*liberties, *(point for around in last if len(around) == 1 for point in around)], colour
    for point in tries:
        after = play(go, stones, point, mover) if point != ko else None
        if after is None:
            continue
        caught = is_caught(go, after, prey, not is_hunters_turn, ko_after(go, stones, after, point))
        if caught == is_hunters_turn:
            return caught
    return not is_hunters_turn
