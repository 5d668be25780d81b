"""Losses, regularisers and artificial data."""

import json
import math

import pytest
import torch
from torch import Tensor, nn

from nets import augment, layers
from nets.losses import euclidean, masked_logits, sigmoid_cross_entropy, softmax_cross_entropy
from nets.presets import preset
from nets.regulariser_config import RegulariserConfig
from nets.regularisers import EarlyStopping, constrain_norms, penalised_weights, penalty


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(4)


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_softmax_cross_entropy_is_its_definition() -> None:
    logits, targets = doubles(5, 7), torch.randint(0, 7, (5,))
    expected = [
        -math.log(math.exp(row[t]) / sum(map(math.exp, row))) for row, t in zip(logits.tolist(), targets, strict=True)
    ]
    assert softmax_cross_entropy(logits, targets).tolist() == pytest.approx(expected)
    one_hot = nn.functional.one_hot(targets, 7).double()
    torch.testing.assert_close(softmax_cross_entropy(logits, one_hot), softmax_cross_entropy(logits, targets))
    soft = torch.rand(5, 7, dtype=torch.float64).softmax(1)
    assert torch.autograd.gradcheck(lambda x: softmax_cross_entropy(x, soft), logits)


def test_illegal_moves_take_no_part() -> None:
    logits = doubles(4, 6)
    legal = torch.rand(4, 6) < 0.5
    legal[:, 2] = True
    probabilities = masked_logits(logits, legal).softmax(1)
    assert probabilities[~legal].eq(0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(4, dtype=torch.float64))
    targets = torch.full((4,), 2)
    soft = nn.functional.one_hot(targets, 6).double()
    by_hand = torch.stack(
        [-row[keep].log_softmax(0)[int(keep[:2].sum())] for row, keep in zip(logits, legal, strict=True)]
    )
    for target in (targets, soft):
        losses = softmax_cross_entropy(logits, target, legal)
        torch.testing.assert_close(losses, by_hand)
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert gradient.isfinite().all()
        assert gradient[~legal].eq(0).all()


def test_sigmoid_cross_entropy_is_its_definition_and_stable() -> None:
    logits, targets = doubles(3, 2, 4), torch.rand(3, 2, 4, dtype=torch.float64)
    p = logits.sigmoid()
    expected = -(targets * p.log() + (1 - targets) * (1 - p).log()).sum((1, 2))
    torch.testing.assert_close(sigmoid_cross_entropy(logits, targets), expected)
    reference = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum((1, 2))
    torch.testing.assert_close(sigmoid_cross_entropy(logits, targets), reference)
    assert torch.autograd.gradcheck(lambda x: sigmoid_cross_entropy(x, targets), logits)
    extreme = torch.tensor([[1e4], [-1e4], [1e4]], requires_grad=True)
    losses = sigmoid_cross_entropy(extreme, torch.tensor([[1.0], [0.0], [0.0]]))
    assert losses.tolist() == [0, 0, 1e4]
    losses.sum().backward()
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


def test_euclidean_loss() -> None:
    predictions, targets = doubles(3, 4), torch.randn(3, 4, dtype=torch.float64)
    expected = [
        0.5 * sum((a - b) ** 2 for a, b in zip(*rows, strict=True))
        for rows in zip(predictions.tolist(), targets.tolist(), strict=True)
    ]
    assert euclidean(predictions, targets).tolist() == pytest.approx(expected)
    assert euclidean(predictions[:, 0], targets[:, 0]).shape == (3,)
    assert torch.autograd.gradcheck(lambda x: euclidean(x, targets), predictions)


def model_of_every_layer() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        layers.SymmetricConv2d(2, 2, 3),
        layers.LocallyConnected2d(2, 2, (5, 5), 2),
        nn.BatchNorm2d(2),
        layers.ChannelNorm(2),
        layers.ResidualBlock(2, 3, norm="layer"),
        layers.PositionBias(2, 4, 4),
        layers.SymmetricLinear(2, 4),
        layers.DropConnectLinear(16, 8, 0.2),
        nn.LayerNorm(8),
        layers.NoisyLinear(8, 8),
        layers.WindowLinear(8, [(0, 1), (2, 3, 4, 5, 6, 7)]),
    )


def test_the_penalty_is_over_weights_only() -> None:
    model = model_of_every_layer()
    names = dict(model.named_parameters())
    penalised = {
        name for name, parameter in names.items() if any(parameter is weight for _, weight in penalised_weights(model))
    }
    norms = {"3.weight", "4.weight", "5.norm1.weight", "5.norm2.weight", "9.weight"}
    assert penalised == {name for name in names if name.endswith("weight")} - norms
    with torch.no_grad():
        for parameter in names.values():
            parameter.fill_(-3)
    count = sum(names[name].numel() for name in penalised)
    assert penalty(model, l1=0.1).item() == pytest.approx(0.3 * count)
    assert penalty(model, l2=0.1).item() == pytest.approx(0.9 * count)
    assert penalty(model, l1=0.1, l2=0.01).item() == pytest.approx(0.39 * count)  # elastic net
    assert penalty(model).item() == 0
    assert isinstance(penalty(model, l1=0.1).grad_fn, torch.autograd.graph.Node)


def test_l2_shrinks_and_l1_makes_zeros() -> None:
    for options, zeros in (({"l2": 0.2}, False), ({"l1": 0.2}, True)):
        model = nn.Linear(20, 1, bias=False)
        before = model.weight.detach().clone()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(200):
            optimiser.zero_grad()
            penalty(model, **options).backward()
            optimiser.step()
        assert model.weight.norm() < before.norm()
        assert bool((model.weight.abs() < 0.003).all()) == zeros


def test_max_norm_bounds_every_unit_and_leaves_small_ones() -> None:
    model = model_of_every_layer()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    constrain_norms(model, 1e6)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    constrain_norms(model, 0.25)
    after = dict(model.named_parameters())
    conv = after["0.weight"].flatten(1)
    reference = before["0.weight"].flatten(1)
    scales = 0.25 / reference.norm(dim=1, keepdim=True).clamp_min(0.25)
    torch.testing.assert_close(conv, reference * scales)
    torch.testing.assert_close(after["8.weight"].norm(dim=1), before["8.weight"].norm(dim=1).clamp_max(0.25))
    torch.testing.assert_close(after["2.weight"].norm(dim=2), before["2.weight"].norm(dim=2).clamp_max(0.25))
    symmetric, dense, windows = model[1], model[7], model[11]
    assert isinstance(symmetric, layers.SymmetricConv2d)
    assert symmetric.full_weight().flatten(1).norm(dim=1).max().item() == pytest.approx(0.25)
    assert isinstance(dense, layers.SymmetricLinear)
    assert dense.full_weight().norm(dim=(0, 2)).max().item() == pytest.approx(0.25)
    assert isinstance(windows, layers.WindowLinear)
    for part, old in zip(windows.weight.split([2, 6]), before["11.weight"].split([2, 6]), strict=True):
        assert part.norm().item() == pytest.approx(min(0.25, old.norm().item()))
    for name in ("0.bias", "3.weight", "10.weight_sigma"):
        assert torch.equal(after[name], before[name])


def test_regularisers_know_every_preset() -> None:
    for name, shape in (("anaconda", None), ("clark-storkey", (7, 5, 5)), ("impala", None)):
        model = preset(name, shape).build()
        constrain_norms(model, 0.1)
        assert penalty(model, l1=1.0, l2=1.0).item() > 0


def test_a_regulariser_out_of_range_is_refused() -> None:
    RegulariserConfig()
    RegulariserConfig(l1=1e-5, l2=1e-4, max_norm=3.0, patience=5)
    for options in ({"l1": -1.0}, {"l2": math.nan}, {"max_norm": 0.0}, {"patience": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be at least"):
            RegulariserConfig(**options)  # type: ignore[arg-type]


def test_early_stopping() -> None:
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    assert [stopping.update(loss) for loss in (3.0, 2.0, 1.95)] == [True, True, False]
    assert not stopping.should_stop
    state = json.loads(json.dumps(stopping.get_state()))
    assert not stopping.update(math.nan)
    assert stopping.should_stop
    resumed = EarlyStopping(patience=2, min_delta=0.1)
    assert resumed.get_state() == {"best_loss": None, "num_since_best": 0}
    resumed.set_state(state)
    assert not resumed.should_stop
    assert resumed.update(1.8)
    assert resumed.best_loss == 1.8
    fresh = EarlyStopping(patience=1)
    fresh.set_state(EarlyStopping(patience=1).get_state())
    assert fresh.update(5.0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_random_shift_is_padding_and_cropping(dtype: torch.dtype) -> None:
    frames = torch.randint(0, 256, (60, 3, 9, 11)).to(dtype)
    shifted = augment.random_shift(frames, 2, torch.Generator().manual_seed(5))
    assert shifted.dtype == dtype
    padded = nn.functional.pad(frames.float(), (2, 2, 2, 2), mode="replicate").to(dtype)
    found = set()
    for before, after in zip(padded, shifted, strict=True):
        crops = {(i, j): before[:, i : i + 9, j : j + 11] for i in range(5) for j in range(5)}
        places = [place for place, crop in crops.items() if crop.equal(after)]
        assert len(places) == 1
        found.add(places[0])
    assert {i for i, _ in found} == {j for _, j in found} == {0, 1, 2, 3, 4}
    assert shifted.equal(augment.random_shift(frames, 2, torch.Generator().manual_seed(5)))
    assert augment.random_shift(frames, 0, torch.Generator()).equal(frames)
