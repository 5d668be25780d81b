"""Whole networks, trunk and heads, built from a specification; and their files.

B batch, A actions, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nets import anaconda_layout
from nets.blocks import Block, Linear, Shape, Tanh, Windows
from nets.cnn import Trunk, as_float
from nets.heads import OwnershipHeadSpec, PolicySpec, QHeadSpec, ScoreHeadSpec, ValueHeadSpec
from nets.model_file import Header, ModelFileError, model_header, read_model_file, write_model_file
from nets.precision import computing_in
from nets.spec import Count, Spec, SpecError, fit, to_json

HeadT = TypeVar("HeadT", bound=nn.Module, covariant=True)
MapShape = tuple[Count, Count, Count]  # channels, height, width


@dataclass(frozen=True)
class QNetworkSpec(Spec):
    """A network from stacked frames to the Q-values of every action."""

    kind: ClassVar[str] = "q_network"
    input_shape: MapShape
    trunk: tuple[Block, ...]
    head: QHeadSpec
    input_scale: float = 1 / 255  # factor of the frames' bytes

    def build(self) -> QNetwork:
        """Return a new network."""
        return QNetwork(self)


class QNetwork(nn.Module):
    """See QNetworkSpec."""

    def __init__(self, spec: QNetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.trunk = Trunk(spec.trunk, spec.input_shape)
        self.head = _build_head(spec.head, self.trunk.output_shape)
        self.trunk_dtype = torch.float32  # what the trunk computes in; the head, whose values are fine, never in less

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames [B, C, H, W], bytes or floats, to the head's output, [B, A] or [B, A, N]."""
        with computing_in(self.trunk_dtype, frames.device):
            features = self.trunk.of_scaled(frames, self.spec.input_scale)
        out: Tensor = self.head(features.to(_dtype_of(self.head)))
        return out

    def keep_rounded(self) -> None:
        """Keep the weights that the trunk rounds at each use as it rounds them: the same outputs for less memory moved.

        For a copy of a network in training; copying into it rounds. A first convolution takes the frames' scale before.
        """
        for module in self.trunk.modules():
            if type(module) in (nn.Conv2d, nn.Linear) and module is not self.trunk.layers[0]:
                module.to(self.trunk_dtype)

    def q_values(self, frames: Tensor) -> Tensor:
        """Map frames [B, C, H, W] to expected returns [B, A]."""
        return self.head.q_values(self(frames))


class _HeadSpec(Protocol[HeadT]):
    """A head's specification."""

    kind: ClassVar[str]

    def build(self, shape: Shape) -> HeadT: ...


def _build_head(spec: _HeadSpec[HeadT], shape: Shape) -> HeadT:
    """Return a new head for a trunk's output of `shape`; SpecError names the head."""
    try:
        return spec.build(shape)
    except SpecError as error:
        raise SpecError(f"head ({spec.kind}): {error}") from None


class PolicyValueOutput(NamedTuple):
    """What a PolicyValueNet says of a batch of positions; None for a head that it lacks."""

    policy: Tensor | None  # logits [B, A], or [B, 2, A] from a head with two outputs
    value: Tensor | None  # [B], the mover's expected outcome in (-1, 1)
    ownership: Tensor | None  # [B, H, W], in (-1, 1), 1 the mover's
    score: Tensor | None  # [B], the mover's expected lead in points


@dataclass(frozen=True)
class PolicyValueSpec(Spec):
    """A network from board planes to any of move logits, value, ownership and score."""

    kind: ClassVar[str] = "policy_value_net"
    input_shape: MapShape
    trunk: tuple[Block, ...]
    policy: PolicySpec | None = None
    value: ValueHeadSpec | None = None
    ownership: OwnershipHeadSpec | None = None
    score: ScoreHeadSpec | None = None

    def build(self) -> PolicyValueNet:
        """Return a new network."""
        return PolicyValueNet(self)


class PolicyValueNet(nn.Module):
    """See PolicyValueSpec; `any_size` says whether it plays on boards other than its own."""

    def __init__(self, spec: PolicyValueSpec) -> None:
        super().__init__()
        self.spec = spec
        self.trunk = Trunk(spec.trunk, spec.input_shape)
        shape = self.trunk.output_shape
        self.policy = _build_head(spec.policy, shape) if spec.policy else None
        self.value = _build_head(spec.value, shape) if spec.value else None
        self.ownership = _build_head(spec.ownership, shape) if spec.ownership else None
        self.score = _build_head(spec.score, shape) if spec.score else None
        heads_any_size = all(head is None or head.any_size() for head in (spec.policy, spec.value))
        self.any_size = self.trunk.any_size and heads_any_size

    def forward(self, planes: Tensor) -> PolicyValueOutput:
        """Map planes [B, C, H, W], of any dtype, to the outputs of the heads."""
        features = self.trunk(as_float(planes))
        return PolicyValueOutput(
            policy=self.policy(features) if self.policy is not None else None,
            value=self.value(features) if self.value is not None else None,
            ownership=self.ownership(features) if self.ownership is not None else None,
            score=self.score(features) if self.score is not None else None,
        )


def logits_of_mover(logits: Tensor, to_play: Tensor) -> Tensor:
    """Return [B, A] of two-output logits [B, 2, A]; `to_play` int64 [B] is 0 for black."""
    return logits[torch.arange(len(to_play), device=logits.device), to_play]


@dataclass(frozen=True)
class BoardEvaluatorSpec(Spec):
    """A network from the 32 squares of a checkers board to its value; Anaconda is the one there is."""

    kind: ClassVar[str] = "board_evaluator"
    preset: Literal["anaconda"] = "anaconda"

    def build(self) -> BoardEvaluator:
        """Return a new network."""
        return BoardEvaluator(self)


class BoardEvaluator(nn.Module):
    """Anaconda (Chellapilla & Fogel 2001, section II): 91 windows, 40, 10 and 1 units, and the sum of the inputs.

    The weights' order as one flat vector is told in `nets.anaconda_layout`.
    """

    king_value: Tensor  # [], K

    def __init__(self, spec: BoardEvaluatorSpec | None = None) -> None:
        super().__init__()
        self.spec = spec or BoardEvaluatorSpec()
        windows = tuple(tuple(window.tolist()) for window in anaconda_layout.windows())
        hidden_2, hidden_3 = Linear(anaconda_layout.NUM_HIDDEN_2), Linear(anaconda_layout.NUM_HIDDEN_3)
        blocks = (Windows(windows), Tanh(), hidden_2, Tanh(), hidden_3, Tanh(), Linear(1))
        self.trunk = Trunk(blocks, (anaconda_layout.NUM_SQUARES,))
        self.register_buffer("king_value", torch.tensor(2.0))

    @classmethod
    def from_flat(cls, weights: NDArray[np.float32], king_value: float) -> BoardEvaluator:
        """Return the network of a flat vector, float32 [5046]."""
        assert weights.shape == (anaconda_layout.NUM_WEIGHTS,), weights.shape
        with torch.random.fork_rng(devices=[]):  # what the constructor draws is overwritten
            model = cls()
        start = 0
        with torch.no_grad():
            for parameter in model.trunk.parameters():  # window weights, biases, then matrices and biases in turn
                part = torch.from_numpy(weights[start : start + parameter.numel()].copy())
                parameter.copy_(_transposed(part.reshape(_transposed(parameter).shape)))
                start += parameter.numel()
            model.king_value.fill_(king_value)
        return model

    def flat_weights(self) -> Tensor:
        """Return the weights as a flat tensor, float32 [5046], outside the graph; `king_value` is apart."""
        return torch.cat([_transposed(parameter.detach()).reshape(-1) for parameter in self.trunk.parameters()])

    def forward(self, codes: Tensor) -> Tensor:
        """Map piece codes [B, 32] to values [B] in (-1, 1), both the mover's.

        -2 is an opponent's king, -1 an opponent's man, 0 empty, 1 and 2 the mover's own.
        """
        inputs = torch.where(codes.abs() == 2, codes.sign() * self.king_value, codes)
        outputs: Tensor = self.trunk(inputs).squeeze(1)
        return (outputs + inputs.sum(1)).tanh()


Model = QNetwork | PolicyValueNet | BoardEvaluator
ModelSpec = QNetworkSpec | PolicyValueSpec | BoardEvaluatorSpec


def spec_from_json(value: Any, where: str = "architecture") -> ModelSpec:
    """Return the specification of a parsed JSON value; SpecError, in one line, says `where` it is wrong."""
    spec: ModelSpec = fit(value, ModelSpec, where)
    return spec


def num_parameters(model: nn.Module) -> int:
    """Return how many numbers training changes."""
    return sum(parameter.numel() for parameter in model.parameters())


def save_model(
    path: str | os.PathLike[str],
    weights: Model | Mapping[str, Tensor],
    spec: ModelSpec,
    *,
    game: str,
    rules_version: int | str,
    training: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write a model file atomically, with a model's weights or a state dict that fits `spec`, such as averages.

    `extras` are further fields of the header, such as the set of planes that the network sees.
    Raises ModelFileError for what cannot be stored, NaN included, and OSError where the disk refuses.
    """
    tensors = file_tensors(weights) if isinstance(weights, nn.Module) else weights
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
    header = model_header(to_json(spec), game=game, rules_version=rules_version, training=training, extras=extras)
    write_model_file(path, arrays, header)


def load_model(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> tuple[Model, Header]:
    """Return the model of a file, in evaluation mode, and the file's header.

    Raises ModelFileError for a file that is missing or damaged, or whose tensors do not fit its architecture.
    """
    tensors, header = read_model_file(path)
    try:
        spec = spec_from_json(header.get("architecture"))
        if isinstance(spec, BoardEvaluatorSpec):
            sizes = {"weights": torch.empty(anaconda_layout.NUM_WEIGHTS), "king_value": torch.empty(())}
            _check_tensors(path, tensors, sizes)
            model: Model = BoardEvaluator.from_flat(tensors["weights"], float(tensors["king_value"]))
        else:
            with torch.device("meta"):  # shapes only: nothing is drawn, and nothing allocated that may not fit
                model = spec.build()
            _check_tensors(path, tensors, model.state_dict())
            model.load_state_dict({name: torch.from_numpy(tensors[name]) for name in tensors}, assign=True)
    except SpecError as error:
        raise ModelFileError(path, str(error)) from None
    return model.to(device).eval(), header


def file_tensors(model: Model) -> dict[str, Tensor]:
    """Return the tensors that a file of the model holds: its state, Anaconda's as one flat vector."""
    if isinstance(model, BoardEvaluator):
        return {"weights": model.flat_weights(), "king_value": model.king_value}
    return dict(model.state_dict())


def _check_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], expected: Mapping[str, Tensor]
) -> None:
    """Raise ModelFileError unless names, shapes and types are those of the architecture."""
    for name in sorted(tensors.keys() ^ expected.keys()):
        problem = "is missing" if name in expected else "is not part of its architecture"
        raise ModelFileError(path, f"tensor {name!r} {problem}")
    for name, tensor in expected.items():
        found = f"{tensors[name].dtype} {list(tensors[name].shape)}"
        needed = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        if found != needed:
            raise ModelFileError(path, f"tensor {name!r} is {found}, its architecture needs {needed}")


def _transposed(tensor: Tensor) -> Tensor:
    """Return a matrix transposed, [in, out] for torch's [out, in], and a vector as it is."""
    return tensor.T if tensor.dim() == 2 else tensor


def _dtype_of(module: nn.Module) -> torch.dtype:
    """Return the type of a module's parameters."""
    return next(module.parameters()).dtype
