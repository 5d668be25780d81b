#!/usr/bin/env python3
"""Play a game in the terminal: a person or a bot against a person or a bot, or alone at an Atari console.

$ play.py checkers ---------------------------------- you, as Black, against the best shipped player
$ play.py checkers --white human -------------------- the same, as White
$ play.py checkers --white material:depth=6 --------- you against another bot
$ play.py checkers --black random --white material -- watch two bots
$ play.py connect_four ------------------------------ another game
$ play.py checkers --hub --bot material ------------- be an engine for other programs (Hub protocol 2)
$ play.py go --size 9 ------------------------------- Go, on 9x9
$ play.py go --gtp --bot random --------------------- be a Go engine for other programs (GTP 2)
$ play.py atari --game breakout --bot MODEL --------- watch a network play, its Q-values beside it

Players: human, random, material:depth=4 (checkers), lines:depth=8 (connect_four), alphabeta:model=FILE,depth=8 (or
seconds=1, or nodes=100000), policy:model=FILE, mcts:model=FILE,visits=400, rollouts:visits=1000, the file or folder of
a model, hub:COMMAND or gtp:COMMAND for an outside engine. At the prompt, help lists the commands.
"""

from __future__ import annotations

import dataclasses
import io
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from agents.command_line import end, parsed

if TYPE_CHECKING:
    from games.rules import Game

# Who plays where nobody is named, the best first; the last needs no file.
BOTS = {
    "checkers": ("models/checkers-anaconda", "material:depth=8"),
    "connect_four": ("lines:depth=8",),
    "go-9x9": (
        "mcts:model=models/go-9x9-selfplay",
        "mcts:model=models/go-9x9",
        "mcts:model=models/go-9x9-imitation,value=models/go-9x9-value,lambda=0.25",
        "rollouts",
    ),
    "go": ("mcts:model=models/go-19x19", "rollouts"),
}
SHIPPED = re.compile(r"models/[\w-]+")  # a model folder in a player's spec
HANDICAP_KOMI = 0.5  # where Black has stones for a start


Spec = Annotated[str | None, tyro.conf.arg(metavar="PLAYER", help_behavior_hint="(default: you, or the best bot)")]
Rules = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the first)")]


@dataclass(frozen=True)
class Common:
    """What every game can be played with."""

    seed: int = 0
    """seed of players that choose at random"""
    delay: float = 0.5
    """pause after each turn where two bots play, in seconds"""
    ascii: bool = False
    """draw with plain letters only"""


@dataclass(frozen=True)
class Checkers(Common):
    """English draughts (American checkers)."""

    black: Spec = None
    """player of the black pieces, who move first"""
    white: Spec = None
    """player of the white pieces"""
    rules: Rules = None
    """rule set: wcdf (drawn at the third repetition or after 80 turns without a capture or a man's move), anaconda
    (after 200 turns), open_spiel (after 40 turns without a capture) or endless (never drawn)"""
    fen: Annotated[str | None, tyro.conf.arg(metavar="FEN", help_behavior_hint="(default: the start)")] = None
    """Position to start from, such as "W:W21,22,K30:B1,2,K5"."""
    hub: bool = False
    """be an engine on standard input and output, by the Hub protocol, version 2 (variant english)"""
    bot: Annotated[str | None, tyro.conf.arg(metavar="PLAYER", help_behavior_hint="(default: the best bot)")] = None
    """player that --hub serves; its limits hold until the driver sends a level"""


@dataclass(frozen=True)
class ConnectFour(Common):
    """Connect Four."""

    red: Spec = None
    """player of the red discs, who moves first"""
    yellow: Spec = None
    """player of the yellow discs"""


@dataclass(frozen=True)
class Atari:
    """Watch a bot play an Atari game, or play it yourself (--human)."""

    game: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the bot's, or pong)")] = (
        None
    )
    """Game by name, such as "space_invaders"."""
    bot: Annotated[str | None, tyro.conf.arg(metavar="MODEL", help_behavior_hint="(default: the shipped one)")] = None
    """model file or folder that plays, or random"""
    human: bool = False
    """you play: arrows or WASD, space fires"""
    protocol: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the bot's)")] = None
    """nature or machado2018"""
    epsilon: Annotated[float | None, tyro.conf.arg(metavar="SHARE", help_behavior_hint="(default: as published)")] = (
        None
    )
    """share of the bot's actions that are random: 0.05 for nature, 0.01 for machado2018"""
    seed: int = 0
    """seed of the game and of random actions"""
    speed: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: 1)")] = None
    """1 is the console's 60 frames a second, 4 four times as fast, 0 as fast as it goes"""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: to the end)")] = None
    """stop after this many steps, of 4 frames each"""
    explain: Annotated[
        Literal["gradients", "integrated", "gradcam", "perturbation"] | None, tyro.conf.arg(help_behavior_hint="")
    ] = None
    """show what the network looks at, over the game"""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mp4", help_behavior_hint="")] = None
    """write a video, as fast as it goes, instead of showing the game"""
    picture: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png", help_behavior_hint="")] = None
    """write a picture of the last step; without --explain one for each way to explain"""


@dataclass(frozen=True)
class Go(Common):
    """Go, by area scoring."""

    black: Spec = None
    """player of the black stones"""
    white: Spec = None
    """player of the white stones"""
    rules: Rules = None
    """rule set: chinese, tromp-taylor, situational, new-zealand or simple-ko"""
    size: Annotated[str, tyro.conf.arg(metavar="N")] = "19"
    """lines of the board, 1 to 19, or rows and columns, as in 9x13"""
    komi: Annotated[
        float | None, tyro.conf.arg(metavar="K", help_behavior_hint="(default: 7.5, 0.5 with a handicap)")
    ] = None
    """points that White gets for moving second"""
    handicap: int = 0
    """Black stones that are on the board at the start, 2 to 9"""
    gtp: bool = False
    """be an engine on standard input and output, by the Go Text Protocol, version 2"""
    bot: Annotated[str | None, tyro.conf.arg(metavar="PLAYER", help_behavior_hint="(default: the best bot)")] = None
    """player that --gtp serves; its limits hold until the controller sets a clock"""
    resign: float = 0.05
    """chance to win below which --gtp gives up, after three such moves, not early and not with a handicap; 0 never"""


Command = (
    Annotated[Checkers, tyro.conf.subcommand(name="checkers")]
    | Annotated[ConnectFour, tyro.conf.subcommand(name="connect_four")]
    | Annotated[Atari, tyro.conf.subcommand(name="atari")]
    | Annotated[Go, tyro.conf.subcommand(name="go")]
)


OF_AN_ENGINE = ("bot", "resign")  # options of nothing else
ENGINES: dict[type, tuple[str, str, tuple[str, ...]]] = {  # protocol, an example, and what has no meaning to an engine
    Checkers: ("hub", "checkers --hub --bot material:depth=8", ("black", "white", "fen", "rules", "delay", "ascii")),
    Go: ("gtp", "go --gtp --bot random", ("black", "white", "handicap", "delay", "ascii")),
}


def main() -> int:
    """Run the command line; return the exit status."""
    command: Command = parsed(
        "play.py",
        lambda: tyro.cli(Command, description=__doc__, prog="play.py", config=(tyro.conf.FlagCreatePairsOff,)),
    )
    try:
        return run(command)
    except KeyboardInterrupt:  # before a game: in one it ends the game
        return 130


def run(command: Command) -> int:
    """Do what the command line says; return the exit status."""
    if isinstance(command, Atari):
        from agents.atari import play as atari_play

        return atari_play.main(atari_play.Setting(**vars(command)))

    from games.refusal import RefusedError

    try:
        check(command)
        if isinstance(command, Checkers) and command.hub:
            return serve(command)
        if isinstance(command, Go) and command.gtp:
            return serve_gtp(command)
        return play(command)
    except RefusedError as error:
        print(f"play.py: {error}", file=sys.stderr)
        return 2


def check(command: Common) -> None:
    """Raise PlayerError for a number that no game can be played with, and for an option that would do nothing."""
    from agents.analysis import PlayerError

    for name, value in (("seed", command.seed), ("delay", command.delay)):
        if not 0 <= value < math.inf:
            raise PlayerError(f"--{name} {value}: a finite number, at least 0")
    if not isinstance(command, Checkers | Go):
        return
    protocol, example, of_a_game = ENGINES[type(command)]
    is_engine = getattr(command, protocol)
    for field in dataclasses.fields(command):
        if field.name in (of_a_game if is_engine else OF_AN_ENGINE) and getattr(command, field.name) != field.default:
            what = "has no meaning with" if is_engine else "needs"
            raise PlayerError(f"--{field.name} {what} --{protocol}; as in play.py {example}")


def play(command: Checkers | ConnectFour | Go) -> int:
    """Play one game in the terminal."""
    from rich.console import Console

    from agents.terminal.game import Setting, TerminalGame
    from games.compiled import announce_compilation

    game: Game
    rules = None if isinstance(command, ConnectFour) else command.rules
    if isinstance(command, Checkers):
        from games.checkers import CHECKERS
        from games.pdn import parse_fen

        game, named = CHECKERS, (command.black, command.white)
        start = parse_fen(command.fen, rules) if command.fen is not None else game.new(1, rules)
    elif isinstance(command, Go):
        game, named = go_game(command), (command.black, command.white)
        start = game.new(1, rules)
        if command.handicap:
            from games.go import handicap_points, setup
            from games.rules import GameError

            _, rows, columns = game.planes_shape
            if rows != columns:
                raise GameError(f"--handicap {command.handicap}: only on a square board, not on {rows}x{columns}")
            setup(start[0], handicap_points(rows, command.handicap), (), to_move=1)
    else:
        from games.connect_four import CONNECT_FOUR

        game, named = CONNECT_FOUR, (command.red, command.yellow)
        start = game.new(1)

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is no text is no move either
    best = best_bot(game)
    specs = seat(named, best)
    announce_compilation()
    setting = Setting(adviser(specs, best), command.seed, command.delay, command.ascii, rules)
    TerminalGame(game, specs, start, Console(highlight=False), setting).play()
    return 0


def serve(command: Checkers) -> int:
    """Be a Hub engine until the driver leaves."""
    from agents.hub.engine import HubEngine
    from agents.player import make_player
    from games.checkers import CHECKERS
    from games.compiled import announce_compilation

    announce_compilation()
    player = make_player(command.bot or best_bot(CHECKERS), CHECKERS, command.seed)
    try:
        lines = (line.decode(errors="replace") for line in sys.stdin.buffer)
        HubEngine(player, sys.stdout).run(lines)
    except KeyboardInterrupt:
        pass
    finally:
        player.close()
    return 0


def serve_gtp(command: Go) -> int:
    """Be a GTP engine until the controller leaves."""
    from agents.analysis import PlayerError
    from agents.gtp.serve import serve as serve_engine

    if not 0 <= command.resign < 1:
        raise PlayerError(f"--resign {command.resign:g} is no chance to win from 0 to 1")
    game = go_game(command)
    serve_engine(lambda on: command.bot or best_bot(on), game, command.rules, command.resign, command.seed)
    return 0


def go_game(command: Go) -> Game:
    """Return Go on the board and with the komi that are asked for."""
    from games import go

    komi = command.komi if command.komi is not None else HANDICAP_KOMI if command.handicap else go.DEFAULT_KOMI
    return go.game(*go.parse_size(command.size), komi=komi)


def best_bot(game: Game) -> str:
    """Return the spec of the best bot whose files are here."""
    from agents.model_files import find_model

    *models, last = BOTS.get(game.name, BOTS[game.family])
    return next((spec for spec in models if all(map(find_model, SHIPPED.findall(spec)))), last)


def seat(named: tuple[str | None, str | None], best: str) -> tuple[str, str]:
    """Return who plays: a person against whoever is named, and the best against a person."""
    from agents.terminal.game import HUMAN

    first, second = named
    if first is None:
        first = best if second == HUMAN else HUMAN
    if second is None:
        second = best if first == HUMAN else HUMAN
    return first, second


def adviser(specs: tuple[str, str], best: str) -> str:
    """Return the spec of who gives hints: the bot at the board where it can, else the best."""
    from agents.player import parse_spec

    advisers = [spec for spec in specs if parse_spec(spec).kind.advises]
    return advisers[0] if advisers else best


if __name__ == "__main__":
    end(main)
