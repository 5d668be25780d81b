"""Perft: counts of whole turns, which show that a move generator is right, and how fast it makes them."""

from __future__ import annotations

import time

from rich.table import Table

from benchmarks.peers import COUNTERS, PeerMissingError
from benchmarks.timing import LEAST_SECONDS, BenchError, Document, cpu_seconds, installed_version, rate_fields
from games.checkers import CHECKERS
from games.pdn import fen_name, parse_fen
from games.perft import perft
from games.rules import Game, State

DEFAULT_DEPTHS = {"checkers": 9, "connect_four": 9, "go": 3}  # turns
MAX_DEPTH = 40  # turns; nobody will wait for it
KO_RULES = {"simple": "simple-ko", "positional": "chinese"}  # other names of Go's rule sets, by their ko rule
ENDLESS = "endless"  # checkers' rule set without draws, under which a count depends on the board alone


def measure(game: Game, depth: int, fen: str | None, rules: str | None, repeats: int) -> Document:
    """Return the counts of depths 1 .. depth and the speed of the deepest; the peers go as deep as is quick."""
    if not 1 <= depth <= MAX_DEPTH:
        raise BenchError(f"--depth {depth} is not from 1 to {MAX_DEPTH}")
    if fen is not None and game is not CHECKERS:
        raise BenchError(f"--fen describes a checkers position, and this is {game.name}")
    if rules is None:
        rules = ENDLESS if ENDLESS in game.rule_sets else next(iter(game.rule_sets))
    rule_set = KO_RULES.get(rules, rules) if game.family == "go" else rules
    state = (game.new(1, rule_set) if fen is None else parse_fen(fen, rule_set))[0]
    counts = [perft(state, turns) for turns in range(1, depth + 1)]  # compiles, too
    seconds = cpu_seconds(lambda: perft(state, depth), repeats)
    return {
        "game": game.name,
        "counts": counts,
        **rate_fields("nodes", counts[-1], seconds),
        "rules": rules,  # by the name that was asked for
        "fen": None if fen is None else fen_name(state),  # None: the start
        "repeats": repeats,
        "peers": [measure_peer(name, state, fen is None, depth) for name in COUNTERS],
    }


def measure_peer(name: str, state: State, is_start: bool, depth: int) -> Document:
    """Return a peer's deepest count within the depth that took it LEAST_SECONDS or that is asked for, and its speed."""
    try:
        count = COUNTERS[name](state, is_start)
    except PeerMissingError as reason:
        return {"name": name, "note": str(reason)}
    for turns in range(1, depth + 1):
        start = time.process_time()
        number = count(turns)
        seconds = time.process_time() - start
        if seconds >= LEAST_SECONDS:
            break
    return {
        "name": name,
        "version": installed_version(name),
        "depth": turns,
        "count": number,
        "agrees": number == perft(state, turns),
        "nodes_per_second": round(number / seconds),
    }


def tables(document: Document) -> list[Table]:
    """Return the document for the terminal."""
    where = document["fen"] or "start"
    counts = Table("depth", "sequences of turns", title=f"{document['game']}, {document['rules']}: {where}")
    for depth, count in enumerate(document["counts"], 1):
        counts.add_row(str(depth), f"{count:,}")
    speeds = Table("program", "depth", "a second, best", "median", "", title="sequences of turns, one core, CPU time")
    best, median = document["nodes_per_second"], document["nodes_per_second_median"]
    speeds.add_row("playfield", str(len(document["counts"])), f"{best:,}", f"{median:,}", "")
    for peer in document["peers"]:
        if "note" in peer:
            speeds.add_row(peer["name"], "", "", "", peer["note"])
        else:
            verdict = "same count" if peer["agrees"] else f"COUNTS {peer['count']:,}"
            speed = f"{peer['nodes_per_second']:,}"
            speeds.add_row(f"{peer['name']} {peer['version']}", str(peer["depth"]), speed, "", verdict)
    return [counts, speeds]
