"""Games between players: results, forfeits, the schedule, and the same games whatever the number of processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence

import pytest

from agents.analysis import Analysis, PlayerError, PlayerTimeoutError
from agents.match import (
    Contestant,
    GameRecord,
    MatchError,
    PlayerFactory,
    ScheduledGame,
    contestants,
    play_game,
    play_games,
    schedule,
)
from agents.player import Player, RandomPlayer
from agents.umpire import RulesUmpire, ending
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.notation import parse_turn, play_turn
from games.openings import START, Opening, parse_openings
from games.pdn import parse_fen
from games.rules import Game, States, is_over, returns
from tests.tic_tac_toe import TIC_TAC_TOE

FROM_START = Opening(START, ())


def place(opening: Opening = FROM_START) -> ScheduledGame:
    return ScheduledGame(round=0, pairing=0, players=(0, 1), opening=opening, seeds=(1, 2))


def round_robin(
    game: Game, players: Sequence[Contestant], games: int, openings: Sequence[Opening], *, seed: int = 0, workers: int
) -> Generator[GameRecord, None, None]:
    return play_games(game, players, schedule(len(players), games, openings, seed), workers=workers)


class Scripted:
    """Plays the first legal action until its `turns` are used up, then does what `then` does."""

    def __init__(self, game: Game, turns: int, then: Callable[[], int], log: list[str] | None = None) -> None:
        self.name = "scripted"
        self.game, self.left, self.then, self.log = game, turns, then, log

    def act(self, states: States) -> list[Analysis]:
        self.left -= 1
        return [Analysis(self.game.legal_actions(states[0])[0] if self.left >= 0 else self.then())]

    def new_game(self) -> None:
        self.note("new game")

    def close(self) -> None:
        self.note("closed")

    def note(self, event: str) -> None:
        if self.log is not None:
            self.log.append(event)


def raising(error: Exception) -> Callable[[], int]:
    def fail() -> int:
        raise error

    return fail


@pytest.mark.parametrize("game", [CHECKERS, CONNECT_FOUR, TIC_TAC_TOE], ids=lambda game: game.name)
def test_a_record_replays_to_its_result(game: Game) -> None:
    openings = parse_openings("random:2", game, 3, seed=5)
    for record in play_games(game, contestants(["random", "random"]), schedule(2, 6, openings, seed=5), workers=1):
        state = game.new(1)[0]
        for text in record.turns:
            play_turn(state, parse_turn(state, text))
        assert is_over(state)
        assert returns(state) == record.result
        assert " ".join(record.turns[:2]) == record.opening
        assert record.fault == ""


@pytest.mark.parametrize(
    ("then", "reason", "told"),
    [
        (lambda: 127, "illegal move", "not legal"),
        (raising(PlayerError("the engine has ended")), "crash", "the engine has ended"),
        (raising(BrokenPipeError("broken pipe")), "crash", "broken pipe"),
        (raising(PlayerTimeoutError("silent for too long")), "timeout", "silent"),
    ],
)
@pytest.mark.parametrize("loser", [0, 1])
def test_forfeits_lose(then: Callable[[], int], reason: str, told: str, loser: int) -> None:
    seats: list[Player] = [RandomPlayer("random", CHECKERS, 1), RandomPlayer("random", CHECKERS, 2)]
    seats[loser] = Scripted(CHECKERS, 2, then)
    names = ("B", "W")
    record = play_game(CHECKERS.new(1), (seats[0], seats[1]), place(), names, RulesUmpire())
    assert record.result == (-1.0 if loser == 0 else 1.0)
    assert record.reason == reason
    assert told in record.fault
    assert len(record.turns) == 4 + loser


def test_a_fault_of_ours_is_no_forfeit() -> None:
    seats = (Scripted(CHECKERS, 0, raising(KeyError("bug"))), RandomPlayer("random", CHECKERS, 2))
    with pytest.raises(KeyError):
        play_game(CHECKERS.new(1), seats, place(), ("B", "W"), RulesUmpire())


def test_a_game_without_end_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.match.MAX_TURNS", 10)
    seats = (RandomPlayer("random", CHECKERS, 1), RandomPlayer("random", CHECKERS, 2))
    record = play_game(CHECKERS.new(1, "endless"), seats, place(), ("B", "W"), RulesUmpire())
    assert (record.result, record.reason, len(record.turns)) == (0.0, "ply limit", 10)


def test_a_game_that_the_last_turn_allowed_wins_is_won(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.match.MAX_TURNS", 1)
    seats = (RandomPlayer("random", CHECKERS, 1), RandomPlayer("random", CHECKERS, 2))
    record = play_game(parse_fen("B:W22:B18", "endless"), seats, place(), ("B", "W"), RulesUmpire())
    assert (record.result, len(record.turns)) == (1.0, 1)


@pytest.mark.parametrize(
    ("game", "rules", "fields", "reason"),
    [
        (CHECKERS, "wcdf", {"repeats": 2}, "repetition"),
        (CHECKERS, "wcdf", {"quiet_plies": 80}, "quiet limit"),
        (CHECKERS, "open_spiel", {"quiet_plies": 40}, "quiet limit"),
        (CHECKERS, "anaconda", {"ply": 200, "quiet_plies": 90}, "ply limit"),
        (CHECKERS, "wcdf", {"black": 0}, "no moves"),
        (CONNECT_FOUR, None, {"discs": 42}, "board full"),
        (CONNECT_FOUR, None, {"discs": 7, "first": 0b1111}, "four in line"),
    ],
)
def test_endings_are_named(game: Game, rules: str | None, fields: dict[str, int], reason: str) -> None:
    states = game.new(1, rules)
    for name, value in fields.items():
        states[name] = value
    assert is_over(states[0])
    assert ending(states[0]) == reason


def test_schedule_swaps_colours_and_grows_at_its_end() -> None:
    openings = parse_openings("random:3", CHECKERS, 3, seed=1)
    games = schedule(3, 8, openings, seed=4)
    assert len(games) == 8 * 3
    for first, second in zip(games[0::6], games[3::6], strict=True):
        assert first.opening == second.opening
        assert first.players == second.players[::-1]
    assert [scheduled.opening for scheduled in games[::6]] == [*openings, openings[0]]
    assert len({scheduled.seeds for scheduled in games}) == len(games)
    assert schedule(3, 10, openings, seed=4)[: len(games)] == games
    larger = schedule(4, 8, openings, seed=4)
    assert [scheduled for scheduled in larger if scheduled.pairing < 3] == games


def test_names_tell_equal_specs_apart() -> None:
    assert [one.name for one in contestants(["random", "material", "random"])] == ["random", "material", "random #2"]


# --- players of one process -------------------------------------------------------------------------------------------


def test_a_kept_player_is_told_of_games_and_replaced_after_a_forfeit() -> None:
    log: list[str] = []

    def start(game: Game, seed: int) -> Scripted:
        log.append("started")
        return Scripted(game, 6, raising(PlayerError("the engine has ended")), log)

    players = [Contestant("engine", start, keep=True), *contestants(["random"])]
    records = list(round_robin(TIC_TAC_TOE, players, 9, [FROM_START], workers=1))
    forfeits = sum(record.fault != "" for record in records)
    assert 2 <= forfeits < len(records)
    assert log.count("new game") == len(records) - log.count("started")
    starts_and_ends = [line for line in log if line != "new game"]
    assert starts_and_ends == ["started", "closed"] * (forfeits + (records[-1].fault == ""))


# --- several processes ------------------------------------------------------------------------------------------------


def by_place(records: Iterable[GameRecord]) -> list[GameRecord]:
    return sorted(records, key=lambda record: (record.round, record.pairing))


@pytest.mark.parametrize("game", [CHECKERS, TIC_TAC_TOE], ids=lambda game: game.name)
def test_the_number_of_processes_changes_nothing(game: Game) -> None:
    openings = parse_openings("random:2", game, 3, seed=2)
    players = contestants(["random", "random", "random"])
    alone = list(round_robin(game, players, 6, openings, seed=3, workers=1))
    shared = list(round_robin(game, players, 6, openings, seed=3, workers=2))
    assert alone == by_place(alone)
    assert by_place(shared) == alone
    assert len({record.turns for record in alone}) > len(alone) // 2
    assert alone != list(round_robin(game, players, 6, openings, seed=4, workers=1))


def die(game: Game, seed: int) -> Scripted:
    return Scripted(game, 3, lambda: os._exit(7))


def fail(game: Game, seed: int) -> Scripted:
    return Scripted(game, 3, raising(KeyError("a fault of ours")))


def refuse(game: Game, seed: int) -> Scripted:
    raise PlayerError("no such model")


def sleep() -> int:
    time.sleep(60)
    return 0


def linger(game: Game, seed: int) -> Scripted:
    return Scripted(game, 3, sleep)


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (die, MatchError, "exit status 7"),
        (fail, RuntimeError, "a fault of ours"),
        (refuse, PlayerError, "no such model"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_told(make: PlayerFactory, error: type[Exception], told: str) -> None:
    players = [Contestant("bad", make), *contestants(["random"])]
    with pytest.raises(error, match=told):
        list(round_robin(CHECKERS, players, 4, [FROM_START], workers=2))
    assert multiprocessing.active_children() == []


def test_closing_stops_games_under_way() -> None:
    players = [*contestants(["random", "random"]), Contestant("slow", linger)]
    records = round_robin(CHECKERS, players, 4, [FROM_START], workers=2)
    assert next(records).players == ("random", "random #2")
    records.close()
    assert multiprocessing.active_children() == []
