"""Matches of Go: who says which stones are dead, how games go on where that is disputed, and the records they leave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tournament
from agents.analysis import Analysis, MoveAnalysis, PlayerError
from agents.go_umpire import GoUmpire
from agents.gtp.client import GtpPlayer
from agents.match import GameRecord, ScheduledGame, play_game
from agents.player import Player, make_player
from agents.umpire import RulesUmpire, make_umpire
from games import go
from games.connect_four import CONNECT_FOUR
from games.notation import read_vertex
from games.openings import START, Opening, OpeningError, parse_openings
from games.rules import RESIGN, Game, States, apply
from games.sgf import read_game
from tests.test_gtp_client import fake_spec

FIVE = go.game(5, komi=0.5)
GNUGO = shutil.which("gnugo") or shutil.which("gnugo", path="/usr/games")

# Black's wall in the third column, White's in the fourth; White's stone at A3 is dead, or so Black thinks.
MOVES = ["C1", "D1", "C2", "D2", "C3", "D3", "C4", "D4", "C5", "D5", "A1", "A3", "pass", "pass"]

Engine = Callable[..., GtpPlayer]


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Return a function that starts a fake engine; all are closed in the end."""
    started: list[GtpPlayer] = []

    def start(moves: str, *options: str) -> GtpPlayer:
        player = make_player(fake_spec(moves, *options), FIVE)
        assert isinstance(player, GtpPlayer)
        started.append(player)
        return player

    yield start
    for player in started:
        player.close()


class Scripted:
    """Plays these moves, then the first of its weighed moves that the umpire lets pass."""

    name = "scripted"

    def __init__(self, *moves: str, weighs: bool = False) -> None:
        self._moves = [RESIGN if move == "resign" else read_vertex(move, 5, 5) for move in moves]
        self._weighs = weighs

    def act(self, states: States) -> list[Analysis]:
        move = self._moves.pop(0) if len(self._moves) > 1 else self._moves[0]
        assert move is not None
        if not self._weighs:
            return [Analysis(move)]
        return [Analysis(move, 0.5, (move,), moves=(MoveAnalysis(move, 30, 1.0, 0.5),))]

    def new_game(self) -> None:
        pass

    def close(self) -> None:
        pass


def finished(moves: list[str] = MOVES) -> States:
    states = FIVE.new(1)
    for name in moves:
        action = read_vertex(name, 5, 5)
        assert action is not None
        apply(states[0], action)
    return states


def play(black: Player, white: Player, umpire: GoUmpire | None = None, rules: str = "chinese") -> GameRecord:
    scheduled = ScheduledGame(0, 0, (0, 1), Opening(START, ()), (1, 2))
    return play_game(FIVE.new(1, rules), (black, white), scheduled, ("black", "white"), umpire or GoUmpire(FIVE, rules))


# --- the count --------------------------------------------------------------------------------------------------------


def test_our_own_players_are_counted_by_random_games() -> None:
    verdict = GoUmpire(FIVE, "chinese").verdict(finished()[0], (Scripted("pass"), Scripted("pass")))
    assert verdict is not None
    assert (verdict.result, verdict.reason, verdict.score) == (1.0, "score", "B+4.5")
    assert verdict.note == "dead stones by random games"


def test_all_stones_live_by_tromp_and_taylor() -> None:
    verdict = GoUmpire(FIVE, "tromp-taylor").verdict(finished()[0], ())
    assert verdict is not None and verdict.note == "all stones alive"
    assert verdict.score == "W+5.5", "A1 and column C, against D, E and A3; the rest is nobody's"


def test_engines_that_agree_are_believed(engine: Engine) -> None:
    players = (engine("pass", "dead=A3", "name=One"), engine("pass", "dead=A3", "name=Two"))
    verdict = GoUmpire(FIVE, "chinese").verdict(finished()[0], players)
    assert verdict is not None and verdict.note == "dead stones by One and Two" and verdict.score == "B+4.5"


def test_a_different_count_with_the_same_winner_stands(engine: Engine) -> None:
    players = (engine("pass", "dead=A3", "name=One"), engine("pass", "dead=A3,E5,D5", "name=Two"))
    verdict = GoUmpire(FIVE, "chinese").verdict(finished()[0], players)
    assert verdict is not None and (verdict.result, verdict.score) == (1.0, "B+4.5")
    assert verdict.note == "dead stones in dispute, and not the winner: B+4.5 by One, B+24.5 by Two"


def test_random_games_decide_between_two_engines(engine: Engine) -> None:
    players = (engine("pass", "dead=A3", "name=One"), engine("pass", "dead=", "name=Two"))
    verdict = GoUmpire(FIVE, "chinese").verdict(finished()[0], players)
    assert verdict is not None and verdict.result == 1.0
    assert verdict.note.endswith(": B+4.5 by One, W+5.5 by Two, B+4.5 by random games")


def test_a_dispute_is_played_out(engine: Engine, tmp_path: Path) -> None:
    """White's engine takes no stone for dead; Black, asked to take A3 off, does so, and then all that stands lives."""
    log = tmp_path / "log"
    black = Scripted(*MOVES[::2], "pass", weighs=True)
    white = engine(",".join((*MOVES[1::2], "pass")), "dead=", f"log={log}")
    record = play(black, white)
    assert (record.result, record.reason, record.score) == (1.0, "score", "B+4.5")
    assert record.note == "played on after a dispute, all stones alive"
    assert record.turns[: len(MOVES)] == tuple(MOVES)
    assert {"A2", "A4", "B3"} <= set(record.turns[len(MOVES) :]), "what takes A3"
    assert "kgs-genmove_cleanup w" in log.read_text()
    white.new_game()
    assert not white.is_cleaning_up


def test_a_turn_that_is_taken_back_ends_the_clean_up(engine: Engine) -> None:
    umpire, white = GoUmpire(FIVE, "chinese"), engine("pass", "dead=")
    assert umpire.verdict(finished()[0], (Scripted("pass"), white)) is None
    assert white.is_cleaning_up
    umpire.begin()  # as undo does at a terminal
    assert not white.is_cleaning_up


def test_an_engine_without_a_word_leaves_the_count_to_random_games(engine: Engine) -> None:
    for options in (("lacks=final_status_list",), ("refuses=final_status_list",)):
        verdict = GoUmpire(FIVE, "chinese").verdict(finished()[0], (engine("pass", *options), Scripted("pass")))
        assert verdict is not None and verdict.note == "dead stones by random games"


def test_one_engines_word_is_not_enough(engine: Engine) -> None:
    for options in (("lacks=final_status_list",), ("refuses=final_status_list",)):
        players = (engine("pass", "dead=A1,C1,C2", "name=Liar"), engine("pass", *options))
        umpire = GoUmpire(FIVE, "chinese")
        verdict = umpire.verdict(finished()[0], players)
        assert verdict is None or "random games" in verdict.note


def test_a_referee_decides_alone(engine: Engine) -> None:
    umpire = make_umpire(FIVE, "chinese", fake_spec("pass", "dead=A1", "name=Judge"))
    try:
        verdict = umpire.verdict(finished()[0], (engine("pass", "dead=A3"), Scripted("pass")))
    finally:
        umpire.close()
    assert verdict is not None and verdict.note == "dead stones by Judge" and verdict.result == -1.0


def test_a_referee_that_falls_silent_is_told_of(engine: Engine) -> None:
    umpire = make_umpire(FIVE, "chinese", fake_spec("pass", "refuses=final_status_list"))
    try:
        verdict = umpire.verdict(finished()[0], (engine("pass", "dead=A3"), Scripted("pass")))
    finally:
        umpire.close()
    assert verdict is not None
    assert verdict.note == "dead stones by random games, since the referee gave no answer"


def test_an_engine_that_does_not_start_again_loses_its_games(tmp_path: Path) -> None:
    once = fake_spec("crash", f"starts={tmp_path / 'started'}")  # it starts for the check and for one game
    assert run(once, "random", "--games", 4, "--out", tmp_path / "out") == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["crash"] * 4
    assert all(line["players"][0 if line["result"] < 0 else 1] == once for line in lines)


@pytest.mark.parametrize(
    ("game", "referee", "expected"),
    [
        (FIVE, "random", "only an engine can be one"),
        (FIVE, "gtp:no-such-engine", "cannot be started"),
        (FIVE, fake_spec("pass", "lacks=final_status_list"), "it cannot judge"),
        (CONNECT_FOUR, "random", "connect_four needs no referee"),
    ],
)
def test_referees_that_are_none(game: Game, referee: str, expected: str) -> None:
    with pytest.raises(PlayerError, match=expected):
        make_umpire(game, None, referee)


def test_other_games_have_their_rules() -> None:
    assert isinstance(make_umpire(CONNECT_FOUR, None), RulesUmpire)


# --- games ------------------------------------------------------------------------------------------------------------


def test_resignation_and_comments() -> None:
    record = play(Scripted("C3", "resign", weighs=True), Scripted("C4"))
    assert (record.result, record.reason, record.turns) == (-1.0, "resignation", ("C3", "C4"))
    assert record.comments == ("Black wins 75.0 %, 30 visits", "")


def test_players_that_weigh_moves_pass_when_they_have_won() -> None:
    black = Scripted(*MOVES[:-2:2], "B2", weighs=True)
    record = play(black, Scripted(*MOVES[1::2]))
    assert record.turns == (*MOVES[:-2], "B2", "pass", "pass")


def test_a_games_own_move_limit_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.match.MAX_TURNS", 6)
    start = FIVE.new(1)
    start["move_limit"] = 8
    scheduled = ScheduledGame(0, 0, (0, 1), Opening(START, ()), (1, 2))
    players = (Scripted(*MOVES[::2]), Scripted(*MOVES[1::2]))
    record = play_game(start, players, scheduled, ("black", "white"), GoUmpire(FIVE, "tromp-taylor"))
    assert (len(record.turns), record.reason, record.score) == (8, "move limit", "W+0.5")


def test_a_dispute_at_the_move_limit_is_not_played_on(engine: Engine) -> None:
    states = finished()
    states["move_limit"] = len(MOVES)
    players = (Scripted("pass"), engine("pass", "dead="))
    verdict = GoUmpire(FIVE, "chinese").verdict(states[0], players)
    assert verdict is not None
    assert (verdict.score, verdict.note) == ("W+5.5", "a dispute at the move limit, all stones alive")


def test_forfeits_of_engines(engine: Engine) -> None:
    for moves, reason, fault in (
        ("C3", "illegal move", "'C3' is not legal at move 3"),
        ("C3,crash", "crash", "the engine has ended (it said: 'out of memory')"),
    ):
        record = play(engine(moves), Scripted("A1", "A2"))
        assert (record.result, record.reason) == (-1.0, reason) and fault in record.fault


# --- openings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(7, 7), (7, 9), (13, 7), (8, 8)])
def test_corner_openings_of_small_boards_are_legal(size: tuple[int, int]) -> None:
    game = go.game(*size)
    for opening in parse_openings("corners", game, 50, seed=0):
        state = game.new(1)[0]
        for (action,) in opening.turns:
            assert go.is_legal(state, action)
            apply(state, action)


@pytest.mark.parametrize(("size", "stones"), [(9, 2), (13, 4), (19, 4)])
def test_corner_openings(size: int, stones: int) -> None:
    game = go.game(size)
    openings = parse_openings("corners", game, 20, seed=3)
    assert len({opening.name for opening in openings}) == len(openings) == 20
    for opening in openings:
        assert len(opening.turns) == stones
        lines = [min(p // size, size - 1 - p // size, p % size, size - 1 - p % size) for (p,) in opening.turns]
        assert set(lines) <= {2, 3}
    assert openings == parse_openings("corners", game, 20, seed=3)


def test_small_boards_have_no_corners() -> None:
    with pytest.raises(OpeningError, match="no room for corner openings"):
        parse_openings("corners", FIVE, 2, seed=0)
    with pytest.raises(OpeningError, match="no openings 'corners' for connect_four; there are: none, random:K"):
        parse_openings("corners", CONNECT_FOUR, 2, seed=0)


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> int:
    return tournament.main(["go", "--size", "5", "--openings", "none", "--workers", "1", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tournament_leaves_records_and_can_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    players = ("rollouts:visits=20", fake_spec("C3,C4,B3,pass", "name=Fake"), "random")
    assert run(*players, "--games", 2, "--komi", 0.5, "--out", tmp_path / "out", "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["game"] == "go-5x5" and document["games"] == 6
    assert "cannot be told the rules" in captured.err
    whole = contents(tmp_path / "out")
    assert {name for name in whole if name.startswith("sgf/")} == {
        f"sgf/000{r}-{p}.sgf" for r in (1, 2) for p in (1, 2, 3)
    }
    lines = [json.loads(line) for line in whole["results.jsonl"].splitlines()]
    for line in lines:
        game = read_game(whole[f"sgf/{line['round'] + 1:04}-{line['pairing'] + 1}.sgf"])
        assert (game.start.rows, game.start.komi) == (5, 0.5)
        assert [game.tags["PB"], game.tags["PW"]] == line["players"]
        assert len(game.actions) == len(line["turns"].split())
        assert game.tags["RE"][0] == {1.0: "B", -1.0: "W"}[line["result"]]
        assert game.tags["RE"][2:] == (line["score"][2:] or "F")
        said = any("visits" in text for text in game.comments.values())
        assert said <= ("rollouts:visits=20" in line["players"])
        assert said or len(game.actions) < 4 or "rollouts:visits=20" not in line["players"]
    (tmp_path / "out" / "results.jsonl").write_bytes(b"".join(whole["results.jsonl"].splitlines(True)[:3]))
    (tmp_path / "out" / "sgf" / "0001-1.sgf").unlink()
    assert run(*players, "--games", 2, "--komi", 0.5, "--out", tmp_path / "out", "--resume") == 0
    assert contents(tmp_path / "out") == whole
    capsys.readouterr()
    assert run(*players, "--games", 2, "--komi", 1.5, "--out", tmp_path / "out", "--resume") == 2
    assert "its komi was 0.5 and is now 1.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("random", "gtp:no-such-engine"), "cannot be started"),
        (("random", fake_spec("C3", "refuses=boardsize")), "refuses 'boardsize 5'"),
        (("random", "random", "--komi", "0.3"), "komi 0.3"),
        (("random", "random", "--rules", "japanese"), "no rule set 'japanese'"),
        (("random", "random", "--referee", "rollouts"), "only an engine can be one"),
    ],
)
def test_what_cannot_be_played_is_told(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("tournament.py: ") and expected in told


def test_sizes_belong_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    assert tournament.main(["connect_four", "random", "random", "--size", "7"]) == 2
    assert "--size belongs to go, not to connect_four" in capsys.readouterr().err


@pytest.mark.skipif(GNUGO is None, reason="gnugo is not installed")
def test_gnugo_plays_a_match_and_referees_it(tmp_path: Path) -> None:
    command = f"gtp:{GNUGO} --mode gtp --level 1 --chinese-rules --positional-superko"
    assert run(command, "random", "--games", 2, "--referee", command, "--out", tmp_path / "out") == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["note"] for line in lines if line["reason"] == "score"] == ["dead stones by GNU Go"] * 2
