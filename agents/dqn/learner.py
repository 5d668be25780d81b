"""One update of a Q-network: from sampled steps to new weights, in shards that run at the same time.

B batch, A actions, N atoms or quantiles.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.dqn import targets
from agents.dqn.config import DqnConfig
from agents.dqn.optimisers import make_optimiser
from agents.dqn.replay import Arrays, Samples, States, to_device
from games.refusal import RefusedError
from nets.augment import random_shift
from nets.cuda_graphs import Recorded
from nets.direct_training import is_worth_it, use_direct
from nets.fused import Fused
from nets.layers import noise_from
from nets.models import QNetwork, QNetworkSpec
from nets.precision import resolve_precision
from nets.regularisers import constrain_norms, penalty
from nets.training import average_decay, load_training_arrays, training_arrays


class DivergedError(RefusedError):
    """Learning that has left the finite numbers: one line."""


class Learnt(NamedTuple):
    """What one update found."""

    loss: float
    q: float  # mean Q-value of the actions taken
    errors: NDArray[np.float32]  # [B]: what priorities are made of


class Tensors(NamedTuple):
    """A part of the samples, as tensors; see Samples."""

    states: Tensor  # [B, 4, 84, 84], channels last; for its type see `state_dtype`
    actions: Tensor
    returns: Tensor
    discounts: Tensor
    next_states: Tensor | None
    weights: Tensor

    def part(self, span: slice) -> Tensors:
        """Return the samples of a span."""
        next_states = None if self.next_states is None else self.next_states[span]
        states, actions, returns, discounts = (tensor[span] for tensor in self[:4])
        return Tensors(states, actions, returns, discounts, next_states, self.weights[span])


class Begun(NamedTuple):
    """An update that has begun."""

    parts: list[Tensors]  # one a shard
    size: int  # samples in all parts
    targets: Future[Tensor] | None  # where another thread computes them; see `bootstrapped`


class Shard(NamedTuple):
    """What one thread learns with: replicas that share the weights but not the noise."""

    network: QNetwork
    target: QNetwork | None


class Learner:
    """A network, its target network, the average of its weights and its optimiser; `network` is in training mode.

    It begins with the weights of `initial`, a network of the same specification, or else with random ones.
    """

    def __init__(
        self, spec: QNetworkSpec, config: DqnConfig, device: torch.device, initial: QNetwork | None = None
    ) -> None:
        self.config = config
        self.device = device
        self.spec = spec
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = spec.build()
        if initial is not None:
            network.load_state_dict(initial.state_dict())
        network.trunk_dtype = resolve_precision(config.precision, device)
        if is_worth_it(device, network.trunk_dtype):
            use_direct(network)
        self.network = network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.target = copy.deepcopy(self.network) if config.target_period else None
        if self.target is not None:
            self.target.keep_rounded()
        self.average: QNetwork | None = copy.deepcopy(self.network) if config.average else None
        self.parameters = list(self.network.parameters())
        self.optimiser = make_optimiser(
            config.optimiser, self.parameters, config.learning_rate, config.optimiser_epsilon
        )
        self.num_updates = 0
        num_shards = config.shards if device.type == "cpu" else 1  # threads would but queue for a GPU
        # One for each shard that a processor has, on a GPU too: a run may go on where it did not begin.
        self._generators = [torch.Generator().manual_seed(config.seed + shard + 1) for shard in range(config.shards)]
        self._shards = [
            Shard(
                noise_from(_sharing(self.network), generator),
                noise_from(_sharing(self.target), generator) if self.target else None,
            )
            for generator in self._generators[:num_shards]
        ]
        self._threads = ThreadPoolExecutor(num_shards - 1) if num_shards > 1 else None
        # Many small norms, which torch computes one kernel at a time; models/atari-pong has what was measured.
        self._forward = Fused(_forward) if device.type == "cuda" and config.norm == "channel" else _forward
        self._recorded: Recorded[_Result] | None = None

    def learn(self, samples: Samples, rate: float) -> Learnt:
        """Make one update with step size `rate`; DivergedError where the loss is not finite."""
        return self.finish(self.begin(samples), rate)

    def begin(self, samples: Samples, beside: Executor | None = None) -> Begun:
        """Begin an update; `finish` must follow before the next.

        An executor, where one is given, computes the targets while `finish` runs the network forward: on a processor,
        in one shard, and without noise, which both would draw from one generator.
        """
        parts = self._parts(samples)
        apart = self.device.type == "cpu" and len(self._shards) == 1 and not self.config.noisy
        targets_beside = None
        if beside is not None and apart:
            targets_beside = beside.submit(bootstrapped, parts[0], self._shards[0], self.config)
        return Begun(parts, len(samples.actions), targets_beside)

    def finish(self, begun: Begun, rate: float) -> Learnt:
        """Make the update that was begun, with step size `rate`; DivergedError where the loss is not finite."""
        parts, size, targets_beside = begun
        work = [
            functools.partial(_work, shard, part, self.config, size, targets_beside)
            for shard, part in zip(self._shards, parts, strict=False)
        ]
        if self.device.type == "cuda" and not self.config.noisy:  # noise is drawn on the processor
            results = [self._replayed(parts[0])]
        elif self._threads is None:
            results = [task() for task in work]
        else:
            futures = [self._threads.submit(task) for task in work[1:]]
            results = [work[0](), *(future.result() for future in futures)]
        numbers = [result.numbers.cpu().numpy() for result in results]  # the one moment that waits for a GPU
        loss = float(sum(part[0] for part in numbers))
        if not np.isfinite(loss):
            raise DivergedError(f"the loss became {loss} at update {self.num_updates + 1}")
        gradients = results[0].gradients
        for result in results[1:]:
            torch._foreach_add_(gradients, result.gradients)
        self._step(gradients, rate)
        q = float(sum(part[1] for part in numbers)) / size
        return Learnt(loss, q, np.concatenate([part[2:] for part in numbers]))

    def _parts(self, samples: Samples) -> list[Tensors]:
        """Return the samples as tensors, cut into as many parts as there are shards."""

        def stacks(states: States) -> Tensor:
            tensor = to_device(states, self.device)
            if self.config.random_shift:
                tensor = random_shift(tensor.float(), self.config.random_shift, self._generators[0])
            return tensor

        whole = Tensors(
            stacks(samples.states),
            torch.from_numpy(samples.actions).to(self.device),
            torch.from_numpy(samples.returns).to(self.device),
            torch.from_numpy(samples.discounts).to(self.device),
            None if samples.next_states is None else stacks(samples.next_states),
            torch.from_numpy(samples.weights).to(self.device),
        )
        cuts = np.linspace(0, len(samples.actions), len(self._shards) + 1).round().astype(int).tolist()
        spans = [slice(start, stop) for start, stop in itertools.pairwise(cuts) if stop > start]
        return [whole.part(span) for span in spans]

    def _replayed(self, whole: Tensors) -> _Result:
        """Return what a minibatch contributes, computed on a GPU by a graph that the first one recorded."""
        given = [whole.states, whole.actions, whole.returns, whole.discounts, whole.weights]
        if whole.next_states is not None:
            given.append(whole.next_states)
        if self._recorded is None:

            def work(
                states: Tensor, actions: Tensor, returns: Tensor, discounts: Tensor, weights: Tensor, *ahead: Tensor
            ) -> _Result:
                part = Tensors(states, actions, returns, discounts, ahead[0] if ahead else None, weights)
                return _work(self._shards[0], part, self.config, len(actions), forward=self._forward)

            self._recorded = Recorded(work, *given)
        return self._recorded(*given)

    def _step(self, gradients: list[Tensor], rate: float) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if self.config.max_gradient_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.config.max_gradient_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        if self.config.regularisers.max_norm is not None:
            constrain_norms(self.network, self.config.regularisers.max_norm)
        self.num_updates += 1
        if self.target is not None and self.num_updates % self.config.target_period == 0:
            copy_weights(self.network, self.target)
        if self.average is not None:
            decay = average_decay(self.config.average, self.num_updates)
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)

    @property
    def kept(self) -> QNetwork:
        """The network that is scored and kept."""
        return self.network if self.average is None else self.average

    @property
    def _modules(self) -> dict[str, nn.Module | None]:
        return {"network": self.network, "target": self.target, "average": self.average}

    def get_state(self) -> Arrays:
        """Return arrays with which `set_state` goes on bit for bit."""
        arrays = training_arrays(self._modules, self.optimiser)
        arrays |= {f"generator.{index}": one.get_state().numpy() for index, one in enumerate(self._generators)}
        return {**arrays, "num_updates": np.array(self.num_updates)}

    def set_state(self, arrays: Arrays) -> None:
        """Go on from what `get_state` gave."""
        load_training_arrays(self._modules, self.optimiser, arrays)
        for index, generator in enumerate(self._generators):
            generator.set_state(torch.from_numpy(arrays[f"generator.{index}"]))
        self.num_updates = int(arrays["num_updates"])


_Forward = Callable[["Shard", Tensors, DqnConfig, int, "Future[Tensor] | None"], tuple[Tensor, Tensor]]


class _Result(NamedTuple):
    """What one shard contributes."""

    numbers: Tensor  # float32 [2 + B]: the loss, the sum of the Q-values of the actions, each sample's error
    gradients: list[Tensor]


def _work(
    shard: Shard,
    part: Tensors,
    config: DqnConfig,
    size: int,
    targets_beside: Future[Tensor] | None = None,
    forward: _Forward | None = None,
) -> _Result:
    """Return one shard's part of the gradients of the mean loss over `size` samples; `forward` does as `_forward`."""
    loss, numbers = (forward or _forward)(shard, part, config, size, targets_beside)
    gradients = torch.autograd.grad(loss, list(shard.network.parameters()))
    return _Result(numbers, list(gradients))


def _forward(
    shard: Shard, part: Tensors, config: DqnConfig, size: int, targets_beside: Future[Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return one shard's part of the mean loss over `size` samples, and the numbers of a `_Result`."""
    outputs = shard.network(part.states)
    of_actions = targets.of_actions(outputs, part.actions)
    target = bootstrapped(part, shard, config) if targets_beside is None else targets_beside.result()
    losses = _losses(of_actions, target, config)
    loss = (losses * part.weights).sum() / size
    l1, l2 = config.regularisers.l1, config.regularisers.l2
    if l1 or l2:
        loss = loss + penalty(shard.network, l1, l2) * (len(part.actions) / size)
    with torch.no_grad():
        q = shard.network.head.q_values(of_actions.detach()[:, None])
        errors = priority_errors(of_actions, target, losses, config)
        numbers = torch.cat([torch.stack([loss, q.sum()]), errors])
    return loss, numbers


@torch.no_grad()
def bootstrapped(part: Tensors, shard: Shard, config: DqnConfig) -> Tensor:
    """Return what the outputs of the actions are drawn towards: [B], or probabilities or quantiles [B, N]."""
    if part.next_states is None:
        return part.returns
    target = shard.network if shard.target is None else shard.target
    outputs = target(part.next_states)
    q = target.head.q_values(outputs)
    selector = shard.network.q_values(part.next_states) if config.double else q
    if config.distribution == "none":
        if config.double:
            return targets.double_q_target(part.returns, part.discounts, q, selector)
        return targets.q_learning_target(part.returns, part.discounts, q)
    chosen = targets.of_actions(outputs, selector.argmax(1))  # [B, N]
    if config.distribution == "quantile":
        return part.returns[:, None] + part.discounts[:, None] * chosen
    return targets.categorical_projection(part.returns, part.discounts, chosen.softmax(1), target.head.support)


def _losses(of_actions: Tensor, target: Tensor, config: DqnConfig) -> Tensor:
    """Return the loss of each sample, [B]."""
    match config.distribution:
        case "categorical":
            return targets.categorical_loss(of_actions, target)
        case "quantile":
            return targets.quantile_loss(of_actions, target)
    return (targets.clipped_error_loss if config.loss == "clipped" else targets.squared_error_loss)(of_actions, target)


def priority_errors(of_actions: Tensor, target: Tensor, losses: Tensor, config: DqnConfig) -> Tensor:
    """Return what priorities are made of, [B]: the error, or how far the distributions are apart.

    For categorical ones that is the Kullback-Leibler divergence (Hessel et al. 2018, section 3), not the loss: a
    return that stays uncertain is no error.
    """
    match config.distribution:
        case "none":
            return (of_actions - target).abs()
        case "categorical":
            return (losses + torch.xlogy(target, target).sum(1)).clamp_min(0)
    return losses


def copy_weights(source: nn.Module, copy: nn.Module) -> None:
    """Copy all weights from one network to another of the same architecture."""
    with torch.no_grad():
        torch._foreach_copy_(list(copy.parameters()), list(source.parameters()))


def _sharing(network: QNetwork) -> QNetwork:
    """Return a replica of a network that shares its weights."""
    replica = copy.deepcopy(network)
    for module, original in zip(replica.modules(), network.modules(), strict=True):
        for name, parameter in original.named_parameters(recurse=False):
            setattr(module, name, parameter)
    return replica
