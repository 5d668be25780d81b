"""A network learns to predict moves, and who will win: an expert's in recorded games, or a search's in self-play.

What a step does depends on the weights, the batch and the share of the budget that is spent. Batches are numbered, so
a run whose budget is counted in positions goes on after a kill exactly as if it had never stopped; a budget in minutes
follows the clock.

B batch, A actions, C channels, H height, W width.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from agents.imitation.config import ImitateConfig, ImitateError, LearningConfig
from agents.imitation.data import Samples, SampleStream
from games.compiled import NDArray
from nets.cuda_graphs import Recorded
from nets.heads import OwnershipHeadSpec, ScoreHeadSpec, ValueHeadSpec
from nets.losses import softmax_cross_entropy
from nets.models import PolicyValueNet, PolicyValueOutput, logits_of_mover
from nets.muon import Muon
from nets.precision import computing_in
from nets.regularisers import constrain_norms, penalised_weights, penalty
from nets.training import average_decay, load_training_arrays, prepare_training, training_arrays

NO_MOVE = -100  # in place of an action that a network has no output for: cross-entropy ignores it
CHECK_PERIOD = 50  # steps between looks at the loss for NaN
# Wu 2019 weighs all points together as much as the outcome, and the score a little.
OWNERS_WEIGHT = 1.0  # factor of the points' mean squared error
LEAD_WEIGHT = 0.01  # factor of the score's Huber loss, in points
LEAD_LINEAR = 10.0  # points of error from where on that loss is linear


# --- losses -----------------------------------------------------------------------------------------------------------


def mover_logits(output: PolicyValueOutput, movers: Tensor) -> Tensor:
    """Return the mover's move logits, float32 [B, A]."""
    logits = output.policy
    assert logits is not None, "a network without a policy head cannot imitate"
    return (logits_of_mover(logits, movers) if logits.dim() == 3 else logits).float()


def policy_terms(logits: Tensor, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cross-entropy over legal moves [B], whether the right move comes first [B], and counts [B].

    The right move is what was played, or the likeliest of what is to be played. A network without an output for the
    pass has no opinion on it: what is to be played counts but for its share.
    """
    num_actions = logits.shape[1]
    legal = samples.legal[:, :num_actions]
    # A game's last positions can leave such a network no legal move at all, and a softmax over nothing is NaN.
    legal = legal | ~legal.any(1, keepdim=True)
    if samples.actions.dim() == 2:
        targets = samples.actions[:, :num_actions]
        counts, best = targets.sum(1), targets.argmax(1)
    else:
        counts = (samples.actions < num_actions).float()
        targets = best = samples.actions.where(samples.actions < num_actions, NO_MOVE)
    losses = softmax_cross_entropy(logits, targets, legal)
    hits = logits.detach().masked_fill(~legal, -torch.inf).argmax(1) == best
    return losses, hits.float(), counts


def value_terms(values: Tensor, samples: Samples) -> Tensor:
    """Return the squared errors of the values [B], 0 where the outcome is not known or not to be learnt from."""
    return samples.outcome_weights * (values.float() - samples.outcomes).square()


def points_terms(output: PolicyValueOutput, samples: Samples) -> tuple[Tensor, Tensor] | None:
    """Return the squared errors of whose the points are [B], each the mean over the board, and the leads' errors [B].

    None where the network has no opinion on them, or what is right is not known.
    """
    if output.ownership is None or output.score is None or samples.owners is None or samples.leads is None:
        return None
    squares = (output.ownership.float() - samples.owners).square().mean((1, 2))
    return squares, output.score.float() - samples.leads


# --- the learner ------------------------------------------------------------------------------------------------------


class Learner:
    """A network, the running average of its weights, and the optimiser: what a checkpoint holds."""

    def __init__(self, config: LearningConfig, model: PolicyValueNet, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.model = model
        self.precision = prepare_training(model, config.precision, device)
        self.average = copy.deepcopy(self.model).requires_grad_(False) if config.average else None
        self.optimiser = make_optimiser(config, self.model, self.precision)
        self.steps = 0
        self.seconds = 0.0  # of training, in all processes together
        self._recorded: Recorded[Tensor] | None = None
        # Of the loss, the hits, the positions counted, the value error and the outcomes known, the errors of points
        # and leads and the positions that have them, since `forget_sums`.
        self.sums = torch.zeros(8, dtype=torch.float64, device=device)

    @property
    def positions(self) -> int:
        """Positions trained on."""
        return self.steps * self.config.batch_size

    @property
    def kept(self) -> PolicyValueNet:
        """The network that is validated and saved."""
        return self.model if self.average is None else self.average

    def outputs(self, model: PolicyValueNet, planes: Tensor) -> PolicyValueOutput:
        """Run a network at the run's precision."""
        planes = planes.float().contiguous(memory_format=torch.channels_last)
        with computing_in(self.precision, self.device):
            output: PolicyValueOutput = model(planes)
        return output

    def step(self, samples: Samples, rate_factor: float) -> None:
        """Take one step of gradient descent."""
        config = self.config
        self.model.train()
        sums = self._differentiate(samples) if self.device.type == "cpu" else self._replayed(samples)
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * rate_factor
        self.optimiser.step()
        if config.max_norm:
            constrain_norms(self.model, config.max_norm)
        self.steps += 1
        if self.average is not None:
            self._update_average(self.average)
        self.sums += sums.double()
        if self.steps % CHECK_PERIOD == 0:
            self.check_finite()

    def _differentiate(self, samples: Samples) -> Tensor:
        """Give the weights their gradients; return what a batch adds to the sums."""
        self.optimiser.zero_grad(set_to_none=True)
        loss, sums = self._loss(samples)
        loss.backward()
        return sums

    def _replayed(self, samples: Samples) -> Tensor:
        """Do what `_differentiate` does, on a GPU by a graph that the first batch recorded; all are of its shapes."""
        given = [tensor for tensor in samples if tensor is not None]
        if self._recorded is None:

            def work(*tensors: Tensor) -> Tensor:
                held = iter(tensors)
                return self._differentiate(samples.mapped(lambda _: next(held)))

            self._recorded = Recorded(work, *(tensor.to(self.device) for tensor in given))
        return self._recorded(*given)

    def _loss(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Return what a step makes smaller, and what a batch adds to the sums."""
        config = self.config
        output = self.outputs(self.model, samples.planes)
        losses, hits, counts = policy_terms(mover_logits(output, samples.movers), samples)
        loss = losses.sum() / counts.sum().clamp_min(1)
        value_errors = torch.zeros_like(losses)
        if output.value is not None and config.value_weight:
            value_errors = value_terms(output.value, samples)
            loss = loss + config.value_weight * value_errors.mean()
        points = points_terms(output, samples)
        if points is not None:
            squares, leads = points
            distances = huber_loss(leads, torch.zeros_like(leads), delta=LEAD_LINEAR)
            loss = loss + OWNERS_WEIGHT * squares.mean() + LEAD_WEIGHT * distances
        if config.l1 or config.l2:
            loss = loss + penalty(self.model, config.l1, config.l2)
        moves = (losses.detach().sum(), (hits * counts).sum(), counts.sum())
        outcomes = (value_errors.detach().sum(), samples.outcome_weights.sum())
        seen = losses.new_zeros(3)
        if points is not None:
            seen = torch.stack([squares.detach().sum(), leads.detach().abs().sum(), counts.new_tensor(len(counts))])
        return loss, torch.cat([torch.stack([*moves, *outcomes]), seen])

    @torch.no_grad()
    def _update_average(self, average: PolicyValueNet) -> None:
        """Move the average towards the weights."""
        means: list[Tensor] = list(average.parameters())
        values: list[Tensor] = list(self.model.parameters())
        for mean, value in zip(average.buffers(), self.model.buffers(), strict=True):
            if mean.is_floating_point():
                means.append(mean)
                values.append(value)
            else:
                mean.copy_(value)
        torch._foreach_lerp_(means, values, 1 - average_decay(self.config.average, self.steps))

    def check_finite(self) -> None:
        """Raise ImitateError where the loss is no longer a number."""
        if not bool(self.sums.isfinite().all()):
            raise ImitateError(
                f"the loss is not finite after {self.positions:,} positions: "
                f"--init with this run's directory goes on from its best network; take a smaller --learning-rate than "
                f"{self.config.learning_rate:g}"
            )

    def means(self) -> dict[str, float]:
        """Return loss, top-1 accuracy and value error of the steps since `forget_sums`; where points were learnt, the
        squared error of whose they are and the lead's error in points, too."""
        loss, hits, count, value_error, outcomes, owner_error, lead_error, scored = self.sums.tolist()
        means = {
            "loss": loss / max(count, 1),
            "top1": hits / max(count, 1),
            "value_error": value_error / max(outcomes, 1),
        }
        return {**means, "owner_error": owner_error / scored, "lead_error": lead_error / scored} if scored else means

    def forget_sums(self) -> None:
        """Begin new means."""
        self.sums.zero_()

    @property
    def _modules(self) -> dict[str, nn.Module | None]:
        return {"model": self.model, "average": self.average}

    def get_arrays(self) -> dict[str, NDArray]:
        """Return everything that `set_arrays` needs to go on."""
        arrays = training_arrays(self._modules, self.optimiser)
        return {**arrays, "sums": self.sums.cpu().numpy(), "clock": np.array([self.steps, self.seconds])}

    def set_arrays(self, arrays: dict[str, NDArray]) -> None:
        """Go on from what `get_arrays` gave."""
        load_training_arrays(self._modules, self.optimiser, arrays)
        self.sums.copy_(torch.from_numpy(arrays["sums"]))
        self.steps, self.seconds = int(arrays["clock"][0]), float(arrays["clock"][1])


def make_optimiser(config: LearningConfig, model: nn.Module, dtype: torch.dtype) -> torch.optim.Optimizer:
    """Return the optimiser; biases, those of each point included, and the scales of norms do not decay.

    Muon's orthogonal steps are for all weights, the first convolution's and the heads' included.
    """
    weights = {id(weight) for _, weight in penalised_weights(model) if weight.dim() > 1}
    matrices = [parameter for parameter in model.parameters() if id(parameter) in weights]
    others = [parameter for parameter in model.parameters() if id(parameter) not in weights]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimiser == "muon":
        return Muon([{**groups[0], "orthogonal": True}, groups[1]], config.learning_rate, dtype)
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))


# --- the loop ---------------------------------------------------------------------------------------------------------


def budget_spent(config: ImitateConfig, positions: int, seconds: float) -> float:
    """Return the share of the training budget that is spent, 1 where it is used up."""
    shares = [0.0]
    if config.positions:
        shares.append(positions / config.positions)
    if config.minutes:
        shares.append(seconds / (60 * config.minutes))
    return min(max(shares), 1.0)


def rate_factor(config: LearningConfig, spent: float) -> float:
    """Return the learning rate as a share of the greatest."""
    rising = min(1.0, spent / config.warmup) if config.warmup else 1.0
    falling = {"linear": 1 - spent, "cosine": 0.5 + 0.5 * math.cos(math.pi * spent), "constant": 1.0}
    return rising * falling[config.schedule]


def train(config: ImitateConfig, learner: Learner, stream: SampleStream, num_threads: int) -> Iterator[float]:
    """Train until the budget is used up; yield the share of it that is spent after every step."""
    before, begun = learner.seconds, time.perf_counter()
    spent = budget_spent(config, learner.positions, learner.seconds)
    batches = stream.batches(learner.steps, num_threads)
    while spent < 1:
        learner.step(next(batches), rate_factor(config, spent))
        learner.seconds = before + time.perf_counter() - begun
        spent = budget_spent(config, learner.positions, learner.seconds)
        yield spent


def adapted(
    model: PolicyValueNet, planes_shape: tuple[int, int, int], with_value: bool = False, with_points: bool = False
) -> PolicyValueNet:
    """Return a network with a model's weights, made for a board, with the heads asked for, its own or new ones.

    `with_points`: heads for whose each point will be, and for the lead.

    Raises ImitateError where the model is not fully convolutional and the board is another, or the planes are.
    """
    spec = model.spec
    if spec.input_shape != planes_shape and not (model.any_size and spec.input_shape[0] == planes_shape[0]):
        raise ImitateError(f"a network for planes {spec.input_shape} cannot go on with planes {planes_shape}")
    value = (spec.value or ValueHeadSpec()) if with_value else None
    ownership = (spec.ownership or OwnershipHeadSpec()) if with_points else None
    score = (spec.score or ScoreHeadSpec()) if with_points else None
    made = dataclasses.replace(spec, input_shape=planes_shape, value=value, ownership=ownership, score=score)
    if made == spec:
        return model
    new = made.build()
    known = new.state_dict()
    new.load_state_dict({**known, **{name: given for name, given in model.state_dict().items() if name in known}})
    return new
