"""`play.py atari`: watch a player in the terminal, as a video or in a picture, or play oneself."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.atari.player import EPSILONS, RANDOM, AtariModel, AtariPlayer, check_epsilon, find_models, make_player
from agents.atari.scores import SCORES_2015
from agents.atari.view import Moment
from agents.model_files import find_model
from games.atari import (
    FRAMES_PER_SECOND,
    FULL_ACTION_SET,
    AtariError,
    AtariGame,
    action_names,
    find_game,
    find_protocol,
)
from games.refusal import RefusedError

if TYPE_CHECKING:
    from rich.console import Console

    from agents.atari.keyboard import Keyboard
    from nets.explain import Method

HUMAN = "you"
HUMAN_FRAMES = 108_000  # after which a person's game is cut off: half an hour, where protocols give five minutes
DRAWINGS_PER_SECOND = 30  # in a terminal, at the most
KEYS = "arrows or WASD move, space fires, P pauses, Q leaves"
MOVES = {
    "up": "UP",
    "w": "UP",
    "down": "DOWN",
    "s": "DOWN",
    "left": "LEFT",
    "a": "LEFT",
    "right": "RIGHT",
    "d": "RIGHT",
}
TURNED = {"UP": "RIGHT", "DOWN": "LEFT"}  # the paddle that moves Pong's player up turns right

Show = Callable[[Moment], None]  # is given every frame of the emulator


class LeaveError(Exception):
    """The person at the keyboard has seen enough."""


@dataclass(frozen=True)
class Setting:
    """What is played, and what is made of it; see `play.py atari --help`."""

    game: str | None
    bot: str | None
    human: bool
    protocol: str | None
    epsilon: float | None
    seed: int
    speed: float | None
    steps: int | None
    video: Path | None
    picture: Path | None
    explain: Method | None


def main(setting: Setting) -> int:
    """Play one game and return the exit status; what is wrong with the setting is told in one line."""
    try:
        return play(setting)
    except RefusedError as error:
        print(f"play.py: {error}", file=sys.stderr)
        return 2


def play(setting: Setting) -> int:
    """Play one game and return the exit status."""
    from rich.console import Console

    from games.compiled import announce_compilation

    check(setting)
    announce_compilation()
    console = Console(highlight=False, markup=False)
    if setting.human and not has_colours(console):
        raise AtariError("--human needs a terminal with colours (TERM names it; NO_COLOR must not be set)")
    is_seen = setting.video is not None or setting.picture is not None or has_colours(console)
    if setting.explain is not None and not is_seen:
        raise AtariError("--explain needs a terminal with colours, --video or --picture to show it in")
    player, epsilon = choose_player(setting)
    session = Session(player, epsilon, setting)
    try:
        if setting.video is not None or setting.picture is not None:
            make_files(session, setting, console)
        elif has_colours(console):
            watch(session, setting, console)
        else:
            if console.is_terminal:
                console.print("this terminal shows no colours: the game is played unseen")
            session.run(lambda moment: None)
    except (LeaveError, KeyboardInterrupt):
        console.print("stopped: ", end="")
    console.print(session.result(), soft_wrap=True)
    for path in (setting.video, setting.picture):
        if path is not None:
            console.print(f"written: {path}", soft_wrap=True, markup=False)
    return 0


def has_colours(console: Console) -> bool:
    """Say whether a game can be seen: its pixels are nothing but colours."""
    return console.is_terminal and not (console.no_color or console.is_dumb_terminal or console.color_system is None)


def check(setting: Setting) -> None:
    """Refuse numbers and combinations that make no sense."""
    for name, value, least in (("seed", setting.seed, 0), ("steps", setting.steps, 1)):
        if value is not None and value < least:
            raise AtariError(f"--{name} {value} is less than {least}")
    if setting.speed is not None and not 0 <= setting.speed < math.inf:
        raise AtariError(f"--speed {setting.speed:g}: a finite number, at least 0")
    others = (setting.bot, setting.epsilon, setting.video, setting.picture, setting.explain)
    if setting.human and any(other is not None for other in others):
        raise AtariError("--human plays alone: without --bot, --epsilon, --video, --picture and --explain")
    if setting.human and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise AtariError("--human needs a terminal to draw in and to read keys from")
    if setting.speed is not None and (setting.video is not None or setting.picture is not None):
        raise AtariError("--speed is that of a game in the terminal: without --video and --picture")
    if setting.epsilon is not None and setting.bot == RANDOM:
        raise AtariError(f"--epsilon goes with a network: --bot {RANDOM} draws every action")
    check_file("video", setting.video, ".mp4")
    check_file("picture", setting.picture, ".png")


def check_file(name: str, file: Path | None, suffix: str) -> None:
    """Refuse, before a game is played for it, a file that cannot be written."""
    if file is None:
        return
    folder = file.absolute().parent
    if file.suffix != suffix:
        raise AtariError(f"--{name} {file}: its name must end in {suffix}")
    if not folder.is_dir():
        raise AtariError(f"--{name} {file}: there is no folder {file.parent}")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise AtariError(f"--{name} {file}: it cannot be written")


def choose_player(setting: Setting) -> tuple[AtariPlayer, float]:
    """Return who plays and the share of its actions that are random."""
    game = None if setting.game is None else find_game(setting.game)
    model = None
    if setting.bot not in (None, RANDOM):
        model = one_model(str(setting.bot), game, setting.protocol)
    elif setting.bot is None and not setting.human:
        model = shipped_model(game or "pong", setting.protocol)
    game = game or (model.game if model is not None else "pong")
    protocol = find_protocol(setting.protocol or (model.protocol if model is not None else "nature"))
    epsilon = EPSILONS[protocol.name] if setting.epsilon is None else check_epsilon(setting.epsilon)
    if setting.human:
        by_hand = replace(protocol, frame_skip=1, full_action_set=True, max_episode_frames=HUMAN_FRAMES)
        return make_player(HUMAN, game, None, by_hand), 0.0
    if setting.explain is not None and model is None:
        raise AtariError("--explain looks into a network: --bot names none")
    return make_player(player_name(setting.bot, model), game, model, protocol), epsilon


def player_name(bot: str | None, model: AtariModel | None) -> str:
    """Return the word that names a model; of one among several in a folder, and of a shipped one, its own name."""
    if model is None:
        return RANDOM
    if bot is None:
        return model.path.parent.name
    if find_model(bot) is not None:
        return bot
    return model.path.name if model.path.parent == Path(bot) else model.path.parent.name


def shipped_model(game: str, protocol: str | None) -> AtariModel | None:
    """Return the model of a game that comes with Playfield; None, said in a line, where there is none.

    One that learnt under the protocol goes before one that learnt under another.
    """
    name = f"atari-{game.replace('_', '-')}"
    for folder in (f"{name}-{protocol}", name):
        if find_model(folder) is not None:
            return one_model(folder, game, protocol)
    print(f"play.py: no network for {game} is shipped: chance plays; --bot names another", file=sys.stderr)
    return None


def one_model(spec: str, game: str | None, protocol: str | None) -> AtariModel:
    """Return the model that a word names, or the one of a game in a folder of several; of two, the protocol's."""
    models = find_models(spec, lambda line: print(f"play.py: {line}", file=sys.stderr))
    fitting = [model for model in models if game in (None, model.game)]
    if len(fitting) > 1:
        fitting = [model for model in fitting if model.protocol == (protocol or "nature")] or fitting
    if len(fitting) == 1:
        return fitting[0]
    games = ", ".join(sorted({model.game for model in models}))
    if not fitting:
        raise AtariError(f"--bot {spec} plays {games}, not {game}")
    paths = ", ".join(str(model.path) for model in fitting)
    raise AtariError(f"--bot {spec} holds several models: name one of {paths}")


class Session:
    """One game of one player, from its first frame to its end."""

    def __init__(self, player: AtariPlayer, epsilon: float, setting: Setting) -> None:
        self.player = player
        self.epsilon = epsilon
        self.method = setting.explain
        self._explains_each = setting.picture is None or setting.video is not None  # else the last moment is enough
        # A person acts at every frame, but --steps and what is told count steps as they are long for networks.
        self._acts_per_step = find_protocol("nature").frame_skip // player.protocol.frame_skip
        self.num_acts = None if setting.steps is None else setting.steps * self._acts_per_step
        self.game = AtariGame(player.game, player.protocol)
        self.choose: Callable[[NDArray[np.float32]], int] = self._choose_by_value
        self.has_ended = self.was_cut_off = False
        self._seen = self.game.stack  # when the player last thought
        self._generator = np.random.default_rng((setting.seed, 0))
        self.game.power_on(int(self._generator.integers(2**31)))  # the first game of a tournament with this seed

    def run(self, show: Show) -> None:
        """Play until the game ends or the steps are up; every frame is shown with what was thought at it or last."""
        while not self.has_ended and (self.num_acts is None or self.game.steps < self.num_acts):
            thought = self.think()
            show(thought)
            outcome = self.game.step(thought.action, self._shower(show, thought))
            self.has_ended = outcome.game_over or outcome.truncated
            self.was_cut_off = outcome.truncated
        show(self.think())

    def think(self) -> Moment:
        """Choose an action for the present screen, and return the two with what the choice hangs on."""
        game, player = self.game, self.player
        self._seen = game.stack.copy()
        values = player.q_values(self._seen[None])
        return Moment(
            player.game,
            player.name,
            game.screen(),
            self._seen[-1],
            player.action_names,
            self.choose(values),
            values[0] if player.model is not None else None,
            game.score,
            game.emulator.lives(),
            game.frames,
            self.heat(self.method) if self.method is not None and self._explains_each else None,
            self.method or "",
        )

    def _shower(self, show: Show, thought: Moment) -> Callable[[int], None]:
        """Return what shows the frames of a step but the last, at which the player thinks again."""
        game, end = self.game, self.game.frames + self.player.protocol.frame_skip

        def show_frame(points: int) -> None:
            if game.frames < end and not game.emulator.game_over():
                score, lives = thought.score + points, game.emulator.lives()
                show(replace(thought, screen=game.screen(), score=score, lives=lives, frames=game.frames))

        return show_frame

    def heat(self, method: Method) -> NDArray[np.float32]:
        """Return what the network looked at when it last thought, [84, 84] in [0, 1]."""
        import torch

        from nets.explain import saliency

        assert self.player.model is not None
        picture: NDArray[np.float32] = saliency(method, self.player.model, torch.from_numpy(self._seen[None]))[
            0
        ].numpy()
        return picture

    def _choose_by_value(self, values: NDArray[np.float32]) -> int:
        return self.player.choose(values, self.epsilon, [self._generator])[0]

    def result(self) -> str:
        """Say how the game went."""
        game, player = self.game, self.player
        published = SCORES_2015.get(player.game)
        share = (
            f", {published.human_normalised(game.score):.1%} of the human of 2015"
            if published and self.has_ended
            else ""
        )
        how = "cut off" if self.was_cut_off else "over" if self.has_ended else "not over"
        return (
            f"{player.name} in {player.game} ({player.protocol.name}): "
            f"{game.score:,} point{'s' * (game.score != 1)}{share}; "
            f"{how} after {game.steps // self._acts_per_step:,} steps, {game.frames:,} frames"
        )


# --- in the terminal ------------------------------------------------------------------------------------------------


def watch(session: Session, setting: Setting, console: Console) -> None:
    """Show the game as it is played; a person's keys decide where nobody else plays."""
    from rich.live import Live

    from agents.atari.keyboard import Keyboard
    from agents.atari.view import TerminalView

    note = KEYS if setting.human else "P pauses, Q leaves"
    live = Live(console=console, screen=True, auto_refresh=False)
    # The keyboard after the alternate screen, whose terminals keep a keyboard mode of its own.
    with leaving_at_sigterm(), live, Keyboard() as keyboard:
        if setting.human:
            known = action_names(session.player.game, find_protocol("nature"))
            session.choose = lambda values: action_of(keyboard.held(), known)
        clock = Clock(1.0 if setting.speed is None else setting.speed)

        def show(moment: Moment) -> None:
            obey(keyboard, clock)
            if clock.may_draw():
                live.update(TerminalView(moment, note), refresh=True)
            clock.wait()

        session.run(show)


@contextlib.contextmanager
def leaving_at_sigterm() -> Iterator[None]:
    """Let SIGTERM leave the game as Q does, which gives the terminal back as it was."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise LeaveError

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def obey(keyboard: Keyboard, clock: Clock) -> None:
    """Pause and leave as the keys say."""
    is_paused = False
    while True:
        for key in keyboard.pressed():
            if key in ("q", "escape", "ctrl-c"):
                raise LeaveError
            if key == "p":
                is_paused = not is_paused
                clock.restart()
        if not is_paused:
            return
        time.sleep(0.05)
        clock.restart()


def action_of(held: set[str], known: tuple[str, ...]) -> int:
    """Return the joystick's action, of all 18, for the keys that are down; opposite directions cancel each other.

    `known` are the game's own: where they know right and left but neither up nor down, as in Pong, both mean the same.
    """
    moves = {MOVES[key] for key in held if key in MOVES}
    if not any(name.startswith(("UP", "DOWN")) for name in known):
        moves = {TURNED.get(move, move) for move in moves}
    vertical = next(iter(moves & {"UP", "DOWN"})) if len(moves & {"UP", "DOWN"}) == 1 else ""
    horizontal = next(iter(moves & {"LEFT", "RIGHT"})) if len(moves & {"LEFT", "RIGHT"}) == 1 else ""
    name = vertical + horizontal + ("FIRE" if "space" in held else "")
    return FULL_ACTION_SET.index(name or "NOOP")


class Clock:
    """Keeps frames at their speed; a player that is slower than that is not waited for later."""

    def __init__(self, speed: float) -> None:
        self._period = 1 / (FRAMES_PER_SECOND * speed) if speed else 0.0
        self.restart()

    def restart(self) -> None:
        """Let the next frame be due now."""
        self._next_frame = time.monotonic()
        self._next_drawing = 0.0

    def may_draw(self) -> bool:
        """Say whether it is time for another drawing."""
        now = time.monotonic()
        if now < self._next_drawing:
            return False
        self._next_drawing = now + 1 / DRAWINGS_PER_SECOND
        return True

    def wait(self) -> None:
        """Wait until the next frame is due."""
        now = time.monotonic()
        self._next_frame = max(self._next_frame + self._period, now - self._period)
        time.sleep(max(self._next_frame - now, 0))


# --- files ----------------------------------------------------------------------------------------------------------


def make_files(session: Session, setting: Setting, console: Console) -> None:
    """Write the video of the game, and the picture of the moment at which it stops."""
    from agents.atari.video import video_writer
    from agents.atari.view import draw
    from agents.run import StopSignal

    last: list[Moment] = []
    with (
        # An interrupt that strikes while ffmpeg is handed a picture would leave a file that nobody can read.
        StopSignal("stopping after this frame; a second Ctrl-C stops at once") as stop,
        progress(session, console) as advance,
        contextlib.ExitStack() as stack,
    ):
        write = None if setting.video is None else stack.enter_context(video_writer(setting.video, FRAMES_PER_SECOND))

        def show(moment: Moment) -> None:
            last[:] = [moment]
            if write is not None:
                write(draw(moment))
            advance()
            if stop.requested:
                raise LeaveError

        try:
            session.run(show)
        finally:  # after Ctrl-C, too
            if setting.picture is not None and last:
                write_picture(setting.picture, session, last[0])


def write_picture(path: Path, session: Session, moment: Moment) -> None:
    """Write a moment as a PNG file: with the method that was asked for, or with all of them beside each other."""
    from agents.atari.pixels import png_bytes
    from agents.atari.view import draw
    from games.durable import replace_file

    if session.player.model is None:
        picture = draw(moment)
    else:
        from nets.explain import METHODS

        methods = METHODS if session.method is None else (session.method,)
        drawn = [draw(replace(moment, heat=session.heat(method), method=method)) for method in methods]
        picture = drawn[0] if len(drawn) == 1 else np.vstack([np.hstack(drawn[:2]), np.hstack(drawn[2:])])
    try:
        replace_file(path, png_bytes(picture))
    except OSError as error:
        raise AtariError(f"--picture {path}: it cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def progress(session: Session, console: Console) -> Iterator[Callable[[], None]]:
    """Show how far a game is that nobody watches; the block calls what it gets after each frame."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    game, frame_skip = session.game, session.player.protocol.frame_skip
    limit = session.player.protocol.max_episode_frames
    total = limit if session.num_acts is None else min(limit, game.frames + session.num_acts * frame_skip)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.update(
            task, completed=game.frames, description=f"{game.frames:,} frames, score {game.score:,}"
        )
