"""The loop of Q-learning: act and learn, in turn or at the same time, on every composition that a configuration names.

A round plays one rollout with the weights that the round before ended with, or with their running average, and learns.
In turn, it learns from that rollout too, and each has all processors: best without replay, where older play teaches
much less (Pong). With `overlap` the games are played in a thread of their own, and in their processes, while the
learner learns from what was there when the round began: what either reads the other does not write until both are
done, so the result does not depend on which is faster. That thread first computes the targets of the first update,
while the learner's runs the network forward.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch

from agents.dqn.actor import Actor, Played
from agents.dqn.config import DqnConfig
from agents.dqn.initial import Initial
from agents.dqn.learner import Begun, Learner, Learnt
from agents.dqn.networks import q_network_spec
from agents.dqn.replay import Arrays, Samples, state_dtype
from agents.dqn.sampling import Source, make_source
from games.atari_vector import AtariEnvs, GameResult
from nets.training import parts_of


class Round(NamedTuple):
    """What one round did."""

    steps: int  # agent steps taken so far, over all environments
    epsilon: float
    results: list[GameResult]  # games that ended
    learnt: list[Learnt]  # updates made; none in the warm-up


class Training:
    """The parts of one training and what must be saved of them; without `initial` it begins at random."""

    def __init__(
        self, config: DqnConfig, envs: AtariEnvs, device: torch.device, initial: Initial | None = None
    ) -> None:
        self.config = config
        self.envs = envs
        self.spec = q_network_spec(config, envs.num_actions)
        self.initial = initial
        self.learner = Learner(self.spec, config, device, None if initial is None else initial.network)
        self.actor = Actor(config, envs, self.learner.network, device)
        self.source: Source = make_source(config, state_dtype(device, self.learner.network.trunk_dtype))
        self._beside = ThreadPoolExecutor(1, "beside")  # what runs beside the learner, one after the other
        self._settling: tuple[int, float] | None = None  # agent steps after which it began, and for which score

    def rounds(self) -> Iterator[Round]:
        """Yield after each round, until all steps are taken; a round that has begun is always finished."""
        config, actor = self.config, self.actor
        while actor.steps < config.steps:
            steps = actor.steps
            if config.overlap:
                updates = self._begin_updates(steps, self._beside)
                first = list(itertools.islice(updates, 1))
                playing = self._beside.submit(self._play)  # after the targets of the first update
                learnt = self._learn(steps, itertools.chain(first, updates))
                played = playing.result()
                self.source.append(played.rollout)
            else:
                played = self._play()
                self.source.append(played.rollout)
                learnt = self._learn(actor.steps, self._begin_updates(actor.steps))
            actor.load(self.learner.kept if config.average_plays else self.learner.network)
            yield Round(actor.steps, epsilon_at(config, steps), played.results, learnt)

    def settle(self, target: float | None) -> None:
        """From now on, if not yet, let the step size change to its last, as this score is near; None: no score is."""
        if target is None:
            self._settling = None
        elif self._settles_from == math.inf:
            self._settling = (self.actor.steps, target)

    @property
    def _settles_from(self) -> float:
        """Agent steps after which the step size changes to its last, for the score that is asked for today."""
        if self._settling is None or self._settling[1] != self.config.target_score:
            return math.inf
        return self._settling[0]

    def _play(self) -> Played:
        """Play one rollout."""
        return self.actor.play(self.config.rollout, lambda taken: epsilon_at(self.config, taken))

    def _begin_updates(self, steps: int, beside: Executor | None = None) -> Iterator[tuple[Samples, Begun]]:
        """Yield the updates that follow the first steps of the training, each begun; none in the warm-up.

        One must be finished before the next is asked for. An executor helps with the first: see `Learner.begin`.
        """
        if steps <= self.config.warmup:
            return
        progress = min(1.0, steps / self.config.steps)  # the last round may take more steps than are left
        for samples in self.source.minibatches(progress):
            yield samples, self.learner.begin(samples, beside)
            beside = None

    def _learn(self, steps: int, updates: Iterable[tuple[Samples, Begun]]) -> list[Learnt]:
        """Finish updates that follow the first steps of the training."""
        learnt: list[Learnt] = []
        for samples, begun in updates:
            rate = learning_rate_at(self.config, self.learner.num_updates, steps, self._settles_from)
            found = self.learner.finish(begun, rate)
            self.source.note(samples, found.errors)
            learnt.append(found)
        return learnt

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and JSON with which `set_state` goes on bit for bit; between rounds."""
        arrays: Arrays = {f"learner/{name}": array for name, array in self.learner.get_state().items()}
        state: dict[str, Any] = {}
        for name, part in (("actor", self.actor), ("source", self.source)):
            part_arrays, state[name] = part.get_state()
            arrays |= {f"{name}/{key}": array for key, array in part_arrays.items()}
        state["settling"] = self._settling
        return arrays, state

    def set_state(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        parts = parts_of(arrays, "/")
        self.learner.set_state(parts["learner"])
        self.actor.set_state(parts["actor"], state["actor"])
        self.source.set_state(parts["source"], state["source"])
        self._settling = None if state["settling"] is None else tuple(state["settling"])


def epsilon_at(config: DqnConfig, steps: int) -> float:
    """Return the share of random actions after this many agent steps."""
    if steps < config.warmup:
        return 1.0
    if config.noisy:
        return 0.0
    fallen = min(1.0, (steps - config.warmup) / config.epsilon_steps) if config.epsilon_steps else 1.0
    return 1.0 + fallen * (config.epsilon - 1.0)


def learning_rate_at(config: DqnConfig, updates: int, steps: int, settles_from: float = math.inf) -> float:
    """Return the optimiser's step size after so many updates and agent steps, settling after some of these."""
    warm = min(1.0, (updates + 1) / config.learning_rate_warmup) if config.learning_rate_warmup else 1.0
    hold, progress = config.learning_rate_hold, min(1.0, steps / config.steps)
    changed = max(0.0, progress - hold) / (1.0 - hold) if hold < 1.0 else 0.0
    if config.settle_steps and steps > settles_from:
        changed = max(changed, min(1.0, (steps - settles_from) / config.settle_steps))
    return config.learning_rate * warm * (1.0 + changed * (config.final_learning_rate - 1.0))
