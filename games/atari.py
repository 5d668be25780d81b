"""Atari 2600 games of the Arcade Learning Environment, many at a time, under the published protocols.

Units: a frame is one picture of the emulator, of which a console shows 60 a second; a step is one choice of the agent,
`Protocol.frame_skip` frames long. N games, S frames a stack.

The emulators are ale-py's own. The frames made of their pictures are those of ale-py's vector environment and of
Gymnasium's AtariPreprocessing, bit for bit but for the last one of a game that ends within a step: theirs then mixes
older pictures in. Unlike that vector environment, a game can be saved and go on exactly.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ale_py import Action, ALEInterface, LoggerMode, roms
from numpy.typing import NDArray

from games.atari_frames import FRAME_SIZE, FrameMaker
from games.refusal import RefusedError

FRAMES_PER_SECOND = 60
RENEWAL_STEPS = 10_000  # between two times that the power is turned off and on; see AtariGame
NEW_GAME = 255  # in a log of actions
VERSION = 1  # of how games are played and frames are made; model files carry it
TWO_PLAYERS_ONLY = ("combat", "joust", "maze_craze", "warlords")  # cartridges that nobody can play alone
FULL_ACTION_SET = tuple(action.name for action in sorted(Action.__members__.values(), key=lambda action: action.value))


class AtariError(RefusedError):
    """A game, protocol, action or saved state that does not exist or does not fit; the message is one line."""


@dataclass(frozen=True)
class Protocol:
    """How a game is played, learnt from and scored."""

    name: str
    frame_skip: int = 4
    """Frames that an action lasts; what is seen is the brighter of the last two, pixel by pixel."""
    num_stack: int = 4
    """Frames of 84x84 that the network sees, those of the last steps; black where the game had not begun."""
    sticky_probability: float = 0.0
    """Probability, each frame, that the emulator repeats the frame before's action instead of the one given."""
    full_action_set: bool = False
    """All 18 actions of the joystick, not only those that the game knows."""
    max_noops: int = 30
    """A game begins with 1 to this many frames without an action, their number drawn evenly; 0 for none."""
    max_episode_frames: int = 18_000
    """Frames, those before the first step among them, after which a game is cut off (truncated)."""
    terminal_on_life_loss: bool = True
    """Losing a life counts as the end for the learner (terminated), though the game goes on."""
    clip_rewards: bool = True
    """Rewards are cut to [-1, 1] for the learner; scores never are."""


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # Mnih et al. 2015, Methods.
        Protocol("nature"),
        # Machado et al. 2018, section 3: sticky actions instead of no-ops, every action, no knowledge of lives. Four
        # frames a step, as is usual since; the paper's own results are of five.
        Protocol(
            "machado2018", sticky_probability=0.25, full_action_set=True, max_noops=0, terminal_on_life_loss=False
        ),
    )
}


def max_log_length(protocol: Protocol) -> int:
    """Return how many bytes GameLog.codes can have."""
    return RENEWAL_STEPS + protocol.max_episode_frames // protocol.frame_skip + 2  # a last game begun just before


def find_protocol(name: str) -> Protocol:
    """Return the protocol of a name; AtariError lists what there is."""
    if name not in PROTOCOLS:
        raise AtariError(f"no protocol {name!r}{_meant(name, PROTOCOLS)}; there are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def for_evaluation(protocol: Protocol) -> Protocol:
    """Return the protocol as games are scored: rewards are points, and only the end of a game ends it."""
    return replace(protocol, terminal_on_life_loss=False, clip_rewards=False)


def game_names() -> tuple[str, ...]:
    """Return the games that one can play alone, by the names of their ROMs, such as "space_invaders"."""
    return tuple(sorted(name for name in roms.get_all_rom_ids() if name not in TWO_PLAYERS_ONLY))


def find_game(name: str) -> str:
    """Return the ROM's name of a game, however it is written ("Space Invaders"); AtariError lists near misses."""
    names = {_letters(known): known for known in game_names()}
    wanted = _letters(name)
    if wanted in names:
        return names[wanted]
    if wanted in map(_letters, TWO_PLAYERS_ONLY):
        raise AtariError(f"Atari game {name!r} needs two players, and here there is one")
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    near += [letters for letters in names if len(wanted) > 2 and wanted in letters and letters not in near]
    meant = f"did you mean {' or '.join(names[letters] for letters in near[:4])}?" if near else " ".join(names.values())
    raise AtariError(f"no Atari game {name!r} among the {len(names)}: {meant}")


def action_names(game: str, protocol: Protocol) -> tuple[str, ...]:
    """Return what the actions 0, 1, ... of a game are called: NOOP, FIRE, UP, ..."""
    if protocol.full_action_set:
        return FULL_ACTION_SET
    emulator = _emulator(protocol)
    emulator.loadROM(_rom(game))
    return tuple(action.name for action in emulator.getMinimalActionSet())


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _meant(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _rom(game: str) -> Path:
    """Return the cartridge of a ROM's name."""
    path = roms.get_rom_path(game)
    assert path is not None, game
    return Path(path)


def _emulator(protocol: Protocol) -> ALEInterface:
    """Return an emulator without a cartridge."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    emulator = ALEInterface()
    emulator.setFloat("repeat_action_probability", protocol.sticky_probability)
    emulator.setInt("max_num_frames_per_episode", protocol.max_episode_frames)
    return emulator


class Outcome(NamedTuple):
    """What a step led to."""

    score: int  # points won or lost, as the game counts them
    life_lost: bool
    game_over: bool
    truncated: bool  # cut off by the protocol before it was over


class GameLog(NamedTuple):
    """What was played since the power was turned on last, from which everything follows."""

    seed: int  # of `power_on`
    first_game: int  # its number, counted from `power_on`
    codes: bytes  # actions, and NEW_GAME where one began


class AtariGame:
    """One emulator and the stack of frames that its player sees; off until `power_on` or `load`.

    `stack` uint8 [S, 84, 84], the newest frame last, is changed in place.

    A game is saved as what was played. The emulator's own saved states lack the last action, which sticky actions need,
    and part of the video chip: of Pong, Q*bert and others they go on differently. So that what was played stays short,
    the console is turned off and on before a game that begins RENEWAL_STEPS or more steps after the last time.
    """

    def __init__(self, game: str, protocol: Protocol, stack: NDArray[np.uint8] | None = None) -> None:
        self.game = find_game(game)
        self.protocol = protocol
        self.stack = new_stack(protocol) if stack is None else stack
        self.score = 0  # of this game, in points
        self.steps = 0  # of this game
        self.lives = 0
        self._seed = 0
        self._number = 0  # games begun since `power_on`
        self._first = 0  # the number of the first since the power was turned on last
        self._log = bytearray()  # see GameLog.codes
        self._actions: list[Action] = []
        self._emulator: ALEInterface | None = None
        self._maker: FrameMaker | None = None

    @property
    def emulator(self) -> ALEInterface:
        """The emulator itself; precondition: it is on."""
        assert self._emulator is not None, "power_on comes first"
        return self._emulator

    @property
    def is_on(self) -> bool:
        """Whether there is a game to play."""
        return self._emulator is not None

    @property
    def num_actions(self) -> int:
        """How many actions there are; precondition: it is on."""
        return len(self._actions)

    @property
    def frames(self) -> int:
        """Frames of this game, those before the first step among them."""
        return self.emulator.getEpisodeFrameNumber()

    def power_on(self, seed: int) -> None:
        """Turn the console on and begin the first game; all that follows depends on `seed` and the actions alone."""
        self._seed, self._number = seed, 0
        self._plug_in()
        self.new_game()

    def _plug_in(self) -> None:
        """Put the cartridge into a new emulator, which takes a tenth of a second."""
        # The first time the seed is the emulator's own, later one drawn from it and the number of the next game.
        drawn = np.random.SeedSequence((self._seed, self._number)).generate_state(1)[0] >> 1
        self._emulator = _emulator(self.protocol)
        self._emulator.setInt("random_seed", int(drawn) if self._number else self._seed)
        self._emulator.loadROM(_rom(self.game))
        full = [Action(code) for code in range(len(FULL_ACTION_SET))]  # one that a game lacks does nothing there
        self._actions = full if self.protocol.full_action_set else self._emulator.getMinimalActionSet()
        if self._maker is None:
            self._maker = FrameMaker(*self._emulator.getScreenDims())
        self._first = self._number
        self._log.clear()

    def new_game(self) -> None:
        """Begin the next game, with the no-ops that the protocol prescribes."""
        if len(self._log) >= RENEWAL_STEPS:
            self._plug_in()
        self._begin()
        assert self._maker is not None
        self.stack[:-1] = 0
        for which in (0, 1):
            self._maker.look(self.emulator, which)
        self._maker.make(self.stack[-1])

    def _begin(self) -> None:
        """Begin a game without making a frame."""
        self._log.append(NEW_GAME)
        emulator = self.emulator
        emulator.reset_game()
        if self.protocol.max_noops:
            # Drawn from the game's place in the sequence, so that there is no generator to save.
            generator = np.random.default_rng((self._seed, self._number))
            for _ in range(generator.integers(1, self.protocol.max_noops, endpoint=True)):
                emulator.act(Action.NOOP)
                if emulator.game_over():
                    emulator.reset_game()
        self._number += 1
        self.score, self.steps, self.lives = 0, 0, emulator.lives()

    def step(self, action: int, on_frame: Callable[[int], None] | None = None) -> Outcome:
        """Hold an action for the protocol's frames, fewer where the game ends; precondition: it has not ended.

        After each frame `on_frame` is given the points of the step so far.
        """
        outcome = self._hold(action, on_frame, look=True)
        assert self._maker is not None
        self.stack[:-1] = self.stack[1:]
        self._maker.make(self.stack[-1])
        return outcome

    def _hold(self, action: int, on_frame: Callable[[int], None] | None, look: bool) -> Outcome:
        """Take a step without making a frame; with `look` the screens that it is made of are looked at."""
        self._log.append(action)
        emulator, maker, num_frames = self.emulator, self._maker, self.protocol.frame_skip
        assert maker is not None
        score = 0
        for frame in range(num_frames):
            score += emulator.act(self._actions[action])
            if on_frame is not None:
                on_frame(score)
            has_ended = emulator.game_over()
            if look and (has_ended or frame == max(num_frames - 2, 0)):
                maker.look(emulator, 0)
            if look and (has_ended or frame == num_frames - 1):
                maker.look(emulator, 1)
            if has_ended:
                break
        lives, lives_before = emulator.lives(), self.lives
        self.lives = lives
        self.score += score
        self.steps += 1
        game_over = emulator.game_over(with_truncation=False)
        return Outcome(score, lives < lives_before, game_over, emulator.game_truncated() and not game_over)

    def screen(self) -> NDArray[np.uint8]:
        """Return the picture on the screen, RGB, uint8 [height, width, 3]; stale between `load` and the next step."""
        return self.emulator.getScreenRGB()

    def save(self) -> GameLog:
        """Return what `load` needs to go on exactly, beside the stack."""
        return GameLog(self._seed, self._first, bytes(self._log))

    def load(self, log: GameLog) -> None:
        """Go on where `save` was called, by playing what was played since the power was turned on.

        The stack is the caller's to restore. A step takes a fifth of a millisecond. Precondition: `log` comes from
        `save` under the same protocol.
        """
        self._seed, self._number = log.seed, log.first_game
        self._plug_in()
        for code in log.codes:
            if code == NEW_GAME:
                self._begin()
            else:
                self._hold(code, None, look=False)


def new_stack(protocol: Protocol) -> NDArray[np.uint8]:
    """Return a black stack."""
    return np.zeros((protocol.num_stack, FRAME_SIZE, FRAME_SIZE), np.uint8)
