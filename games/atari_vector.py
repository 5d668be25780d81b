"""Many games of one Atari game in step, in this process or spread over others; saved and resumed exactly.

ale-py's vector environment can neither save its games nor lend its emulators, and a single emulator holds Python's
global lock while it runs. So the games are `AtariGame`s, and those that shall run beside a learner live in processes of
their own, which share memory with this one. How many processes there are changes no result.

N games, S frames a stack. Frames, steps and scores are told in `games.atari`.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.atari import (
    AtariError,
    AtariGame,
    GameLog,
    Outcome,
    Protocol,
    action_names,
    find_game,
    find_protocol,
    max_log_length,
)
from games.atari_frames import FRAME_SIZE, compile_kernels
from games.child_processes import child_settings

STEP, RESET, SAVE, LOAD, STOP = b"step", b"reset", b"save", b"load", b"stop"  # what a process of games is told
STAY = -1  # in place of an action: the game waits
NOTHING = Outcome(0, life_lost=False, game_over=False, truncated=False)  # what that leads to
DONE = b""  # its answer; anything else is what went wrong

SAVED = ("frames", "seed", "first_game", "log_length")  # and the log, as long as the longest

State = dict[str, NDArray[Any]]


class GameResult(NamedTuple):
    """A game that has ended."""

    place: int  # among the N
    score: int  # points, as the game counts them
    steps: int
    frames: int  # the no-ops at its start among them
    truncated: bool


class Step(NamedTuple):
    """What a step of N games led to; the arrays are the caller's own."""

    frames: NDArray[np.uint8]  # [N, S, 84, 84], the newest last; where a game ended, of the next one's start
    rewards: NDArray[np.float32]  # [N], in [-1, 1] where the protocol clips them
    terminated: NDArray[
        np.bool_
    ]  # [N], no return follows: the game is over or, where the protocol says so, a life lost
    truncated: NDArray[np.bool_]  # [N], cut off by the protocol
    ended: NDArray[np.bool_]  # [N], a new game has begun; a lost life alone begins none
    results: tuple[GameResult, ...]  # of the K games that ended, in their order


def _step_of(group: int) -> bytes:
    """Return the order to step a group's games."""
    return b"%s %d" % (STEP, group)


def _slot_dtype(protocol: Protocol) -> np.dtype[Any]:
    """Return the type of what the processes share of one game."""
    stack = (protocol.num_stack, FRAME_SIZE, FRAME_SIZE)
    return np.dtype(
        [
            ("group", np.int64),
            ("seed", np.int64),
            ("action", np.int64),
            ("score", np.int64),  # points of the last step
            ("life_lost", np.bool_),
            ("game_over", np.bool_),
            ("truncated", np.bool_),
            ("frames", np.uint8, stack),
            ("result", np.int64, 3),  # its score, steps and frames
            ("first_game", np.int64),  # this and the following: see GameLog, whose seed is above
            ("log_length", np.int64),  # bytes
            ("log", np.uint8, max_log_length(protocol)),
        ]
    )


class _Games:
    """Some of the games, run one after the other; what they do stands in their slots."""

    def __init__(self, game: str, protocol: Protocol, slots: NDArray[Any]) -> None:
        self._games = [(AtariGame(game, protocol, slot["frames"]), slot) for slot in slots]

    def obey(self, order: bytes) -> None:
        """Carry out one of the orders in every game, a step in those of its group."""
        order, _, group = order.partition(b" ")
        for game, slot in self._games:
            if order == STEP:
                if slot["group"] == int(group):
                    self._step(game, slot)
            elif order == RESET:
                game.power_on(int(slot["seed"]))
            elif order == SAVE:
                log = game.save()
                slot["first_game"], slot["log_length"] = log.first_game, len(log.codes)
                slot["log"][: len(log.codes)] = np.frombuffer(log.codes, np.uint8)
            elif order == LOAD:
                codes = slot["log"][: slot["log_length"]].tobytes()
                game.load(GameLog(int(slot["seed"]), int(slot["first_game"]), codes))

    def _step(self, game: AtariGame, slot: Any) -> None:
        action = int(slot["action"])
        outcome = NOTHING if action == STAY else game.step(action)
        slot["score"], slot["life_lost"], slot["game_over"], slot["truncated"] = outcome
        if outcome.game_over or outcome.truncated:
            slot["result"] = game.score, game.steps, game.frames
            game.new_game()


class GamesLostError(AtariError):
    """A process that ran games has died, and its games with it."""


class AtariEnvs:
    """N games of one Atari game under one protocol; where a game ends, the next begins in the same step.

    `num_processes` 0 runs them in this process, inside `recv`; more run beside it. After `reset`, each game's course
    depends on the seed, its place and its actions alone.

    The games may be in several groups, one part of the places each: while one group steps, the caller can think about
    the next. A process has its share of every group, so that all of them work on whichever steps.
    """

    def __init__(
        self,
        game: str,
        num_envs: int,
        protocol: str | Protocol = "nature",
        num_processes: int = 0,
        num_groups: int = 1,
    ) -> None:
        if num_envs < 1 or not 0 <= num_processes <= num_envs:
            raise AtariError(f"{num_envs} games in {num_processes} processes: there must be 1 game or more a process")
        if not 1 <= num_groups <= num_envs:
            raise AtariError(f"{num_envs} games in {num_groups} groups: there must be 1 game or more a group")
        self.game = find_game(game)
        self.protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
        self.num_envs = num_envs
        self.action_names = action_names(self.game, self.protocol)
        dtype = _slot_dtype(self.protocol)
        memory = RawArray("B", dtype.itemsize * num_envs)
        self._slots = np.frombuffer(memory, dtype)
        cuts = np.linspace(0, num_envs, num_groups + 1).round().astype(int).tolist()
        self.groups = tuple(slice(start, stop) for start, stop in itertools.pairwise(cuts))
        for group, places in enumerate(self.groups):
            self._slots["group"][places] = group
        self._workers: list[tuple[Any, Connection]] = []
        self._is_on = False
        self._stepping: list[int] = []  # groups whose step has begun, the first one first
        if not num_processes:
            self._games = _Games(self.game, self.protocol, self._slots)
        else:
            self._start_processes(num_processes, memory)
        # At the program's end this comes before multiprocessing, which would wait for ever for what ignores SIGTERM.
        self._finalizer = Finalize(self, _stop, (self._workers,), exitpriority=0)

    def _start_processes(self, num_processes: int, memory: Any) -> None:
        compile_kernels()
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads of torch and numba half alive
        for number in range(num_processes):
            ours, theirs = context.Pipe()
            places = slice(number, None, num_processes)
            arguments = (theirs, memory, places, self.game, self.protocol)
            process = context.Process(target=_work, args=arguments, daemon=True)
            with child_settings():
                process.start()
            theirs.close()
            self._workers.append((process, ours))

    @property
    def num_actions(self) -> int:
        """How many actions there are; `action_names` says which."""
        return len(self.action_names)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """Turn every console on and return the first frames [N, S, 84, 84]; it takes a tenth of a second a game."""
        high, low = divmod(seed, 2**32)  # the low word first: seeds in one word and in two never give the same lots
        self._slots["seed"] = [
            np.random.SeedSequence((low, place, high)).generate_state(1)[0] >> 1 for place in range(self.num_envs)
        ]
        self._obey(RESET)
        self._is_on = True
        return self.frames

    @property
    def frames(self) -> NDArray[np.uint8]:
        """A copy of the present stacks, uint8 [N, S, 84, 84]; precondition: no step is under way."""
        frames: NDArray[np.uint8] = self._slots["frames"].copy()
        return frames

    def step(self, actions: ArrayLike) -> Step:
        """Take one action, int [N], in every game; precondition: they are one group."""
        self.send(actions)
        return self.recv()

    def send(self, actions: ArrayLike, group: int = 0) -> None:
        """Begin a step of a group's n games, actions int [n]; AtariError names one that does not exist.

        `recv` must follow before the group's next step. A game whose action is STAY waits: its frames stay, and nothing
        is said of it.
        """
        actions, places = np.asarray(actions), self.groups[group]
        num_games = places.stop - places.start
        if actions.shape != (num_games,) or actions.dtype.kind not in "iu":
            raise AtariError(f"{num_games} actions are needed, not {actions.dtype} {list(actions.shape)}")
        if actions.min() < STAY or actions.max() >= self.num_actions:
            raise AtariError(f"actions of {self.game} go from 0 to {self.num_actions - 1}, not {actions.tolist()}")
        if not self._is_on or group in self._stepping:
            raise AtariError("recv ends a step before the next" if self._is_on else "reset comes before the first step")
        self._slots["action"][places] = actions
        self._stepping.append(group)
        self._tell(_step_of(group))

    def recv(self, group: int = 0) -> Step:
        """Wait for the step of a group that `send` began; of several groups, first for the one sent first."""
        if self._stepping[:1] != [group]:
            raise AtariError("send begins a step, and then recv ends it, group by group in the order sent")
        self._wait(_step_of(group))
        self._stepping.pop(0)
        places = self.groups[group]
        slots = self._slots[places]
        rewards = slots["score"].astype(np.float32)
        terminated = slots["game_over"].copy()
        if self.protocol.clip_rewards:
            rewards = rewards.clip(-1, 1)
        if self.protocol.terminal_on_life_loss:
            terminated |= slots["life_lost"]
        truncated = slots["truncated"].copy()
        ended = slots["game_over"] | truncated
        results = tuple(
            GameResult(places.start + place, score, steps, frames, bool(truncated[place]))
            for place in np.flatnonzero(ended).tolist()
            for score, steps, frames in [slots["result"][place].tolist()]
        )
        return Step(slots["frames"].copy(), rewards, terminated, truncated, ended, results)

    def get_state(self) -> State:
        """Return arrays with which `set_state` goes on bit for bit, in this process or another; between steps."""
        if not self._is_on or self._stepping:
            raise AtariError("games can be saved after reset and between steps only")
        self._obey(SAVE)
        length = self._slots["log_length"].max()
        state = {name: self._slots[name].copy() for name in SAVED}
        return {**state, "log": self._slots["log"][:, :length].copy()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `get_state` was called on games of the same name, number and protocol.

        What was played since each console was turned on is played again, unseen: a second or two a game and process.
        """
        for name in SAVED:
            found, needed = state[name].shape, self._slots[name].shape
            if found != needed:
                raise AtariError(f"the saved games have {name} {list(found)}, these have {list(needed)}")
            self._slots[name] = state[name]
        self._slots["log"][:, : state["log"].shape[1]] = state["log"]
        self._obey(LOAD)
        self._is_on = True
        self._stepping.clear()

    def close(self) -> None:
        """Stop the processes; nothing else may follow."""
        self._finalizer()

    def _obey(self, order: bytes) -> None:
        self._tell(order)
        self._wait(order)

    def _tell(self, order: bytes) -> None:
        for _, connection in self._workers:
            with contextlib.suppress(BrokenPipeError):  # `_wait` then says that the process is gone
                connection.send_bytes(order)

    def _wait(self, order: bytes) -> None:
        """Wait until an order is carried out; without processes carry it out."""
        if not self._workers:
            self._games.obey(order)
        answers, lost = [], ""
        for process, connection in self._workers:
            try:
                answers.append(connection.recv_bytes())
            except (EOFError, ConnectionResetError):
                process.join()
                lost = f"the process of some games ended with status {process.exitcode}"
        if lost:
            raise GamesLostError(lost)
        for answer in answers:
            if answer != DONE:
                raise RuntimeError(answer.decode())


def _work(connection: Connection, memory: Any, places: slice, game: str, protocol: Protocol) -> None:
    """Be a process of games: do what it is told until it is told to stop, or the other end is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # for the learner, which then saves and stops us
        signal.signal(number, signal.SIG_IGN)
    games = _Games(game, protocol, np.frombuffer(memory, _slot_dtype(protocol))[places])
    with contextlib.suppress(EOFError, ConnectionError):
        while (order := connection.recv_bytes()) != STOP:
            try:
                games.obey(order)
                answer = DONE
            except Exception:
                answer = traceback.format_exc().encode()
            connection.send_bytes(answer)


def _stop(workers: list[tuple[Any, Connection]]) -> None:
    """Let processes of games end."""
    for _, connection in workers:
        with contextlib.suppress(OSError):
            connection.send_bytes(STOP)
        connection.close()
    for process, _ in workers:
        process.join()
    workers.clear()
