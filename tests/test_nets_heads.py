"""Heads: shapes, formulas, board sizes and symmetry."""

import json

import pytest
import torch
from torch import Tensor, nn

from nets import heads
from nets.blocks import GlobalPool
from nets.models import PolicyValueNet, PolicyValueSpec, logits_of_mover
from nets.spec import Spec, SpecError, fit, to_json


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(2)


def q_head(**options: object) -> heads.QHead:
    return heads.QHeadSpec(4, **options).build((3, 2, 2)).double()  # type: ignore[arg-type]


def by_hand(stream: nn.Sequential, x: Tensor) -> Tensor:
    """Evaluate a stream of plain linear layers with ReLU between them."""
    linears = [layer for layer in stream if isinstance(layer, nn.Linear)]
    for index, layer in enumerate(linears):
        x = (x.clamp_min(0) if index else x) @ layer.weight.T + layer.bias
    return x


@pytest.mark.parametrize("hidden", [0, 8])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("distribution", ["none", "categorical", "quantile"])
def test_q_heads_follow_their_formulas(hidden: int, dueling: bool, distribution: str) -> None:
    head = q_head(hidden=hidden, dueling=dueling, distribution=distribution, num_atoms=5, v_min=-2, v_max=6)
    x = torch.randn(7, 3, 2, 2, dtype=torch.float64)
    atoms = 1 if distribution == "none" else 5
    expected = by_hand(head.advantage, x.flatten(1)).reshape(7, 4, atoms)
    if dueling:
        assert head.value is not None
        value = by_hand(head.value, x.flatten(1)).reshape(7, 1, atoms)
        expected = value + expected - expected.mean(1, keepdim=True)
    out = head(x)
    torch.testing.assert_close(out, expected.squeeze(2) if distribution == "none" else expected)
    q_values = head.q_values(out)
    if distribution == "categorical":
        weights = expected.exp() / expected.exp().sum(2, keepdim=True)
        expected = (weights * torch.tensor([-2.0, 0, 2, 4, 6])).sum(2)
    elif distribution == "quantile":
        expected = expected.sum(2) / 5
    torch.testing.assert_close(q_values, expected.reshape(7, 4))


def test_hidden_layers_may_be_normalised() -> None:
    head, x = q_head(hidden=8, layer_norm=True), torch.randn(7, 12, dtype=torch.float64)
    first, last = (layer for layer in head.advantage if isinstance(layer, nn.Linear))
    hidden = first(x)
    normed = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(head(x), last(normed.clamp_min(0)))


def test_a_noisy_head_is_noisy_in_training_only() -> None:
    head = q_head(hidden=8, dueling=True, noisy=True)
    x = torch.randn(2, 12, dtype=torch.float64)
    head.train()
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))


def test_a_categorical_head_needs_a_range() -> None:
    with pytest.raises(SpecError, match="v_min below v_max"):
        q_head(distribution="categorical", v_min=3, v_max=3)


HEADS: list[tuple[Spec, tuple[int, ...]]] = [
    (heads.PointPolicySpec(), (30,)),
    (heads.PointPolicySpec(3, position_bias=True, pass_move=True), (31,)),
    (heads.PointPolicySpec(num_outputs=2, pass_move=True), (2, 31)),
    (heads.PooledPolicySpec(4), (31,)),
    (heads.PooledPolicySpec(4, num_planes=3, pass_move=False), (90,)),
    (heads.DensePolicySpec(11), (11,)),
    (heads.DensePolicySpec(11, channels=2), (11,)),
    (heads.ValueHeadSpec(4, 8), ()),
    (heads.ValueHeadSpec(4, 8, pooled=False), ()),
    (heads.ScoreHeadSpec(4, 8), ()),
    (heads.OwnershipHeadSpec(), (5, 6)),
]


@pytest.mark.parametrize(("spec", "shape"), HEADS, ids=lambda value: getattr(value, "kind", None))
def test_heads_shapes_and_samples_apart(spec: Spec, shape: tuple[int, ...]) -> None:
    head = spec.build((8, 5, 6)).eval()  # type: ignore[attr-defined]
    x = torch.randn(3, 8, 5, 6)
    out = head(x)
    assert out.shape == (3, *shape)
    torch.testing.assert_close(torch.cat([head(sample[None]) for sample in x]), out)
    if isinstance(spec, heads.ValueHeadSpec | heads.OwnershipHeadSpec):
        assert out.abs().lt(1).all()
    assert fit(json.loads(json.dumps(to_json(spec))), type(spec), "head") == spec


def test_heads_that_say_so_take_any_board() -> None:
    for spec, _ in HEADS:
        any_size = getattr(spec, "any_size", lambda: True)()
        head = spec.build((8, 5, 6)).eval()  # type: ignore[attr-defined]
        x = torch.randn(2, 8, 9, 9)
        if any_size:
            assert head(x).isfinite().all()
        else:
            with pytest.raises(RuntimeError):
                head(x)


def test_the_pass_of_a_pooled_policy_does_not_depend_on_where_things_are() -> None:
    head = heads.PooledPolicySpec(4).build((8, 5, 5)).eval()
    x = torch.randn(2, 8, 5, 5)
    for turns in range(4):
        turned = head(x.rot90(turns, (2, 3)))
        torch.testing.assert_close(turned[:, 25], head(x)[:, 25])
        torch.testing.assert_close(turned[:, :25], head(x)[:, :25].reshape(2, 5, 5).rot90(turns, (1, 2)).flatten(1))


def test_the_score_starts_in_points() -> None:
    head = heads.ScoreHeadSpec(4, 8).build((8, 5, 6)).eval()
    x = torch.randn(3, 8, 5, 6)
    torch.testing.assert_close(head(x), head[0](x).squeeze(1) * 20)


def test_the_symmetric_policy_needs_a_square() -> None:
    assert heads.SymmetricPolicySpec().build((2, 5, 5))(torch.rand(3, 2, 5, 5)).shape == (3, 25)
    with pytest.raises(SpecError, match="must be square, not 5x6"):
        heads.SymmetricPolicySpec().build((2, 5, 6))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (heads.PointPolicySpec(2), "head (point_policy): size 2 is even, which gives no logit a point"),
        (heads.SymmetricPolicySpec(), "head (symmetric_policy): the board must be square, not 5x6"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_in_one_line(policy: heads.PolicySpec, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        PolicyValueSpec((3, 5, 6), (), policy).build()
    assert str(refused.value) == message
    with pytest.raises(SpecError, match=r"head \(pooled_policy\): needs a map"):
        PolicyValueSpec((3, 5, 6), (GlobalPool(),), heads.PooledPolicySpec()).build()


def test_heads_on_features_that_are_no_map() -> None:
    spec = PolicyValueSpec(
        (3, 5, 6), (GlobalPool(),), heads.DensePolicySpec(7), heads.ValueHeadSpec(), score=heads.ScoreHeadSpec()
    )
    out = PolicyValueNet(spec)(torch.rand(4, 3, 5, 6))
    assert out.policy is not None and out.value is not None and out.score is not None
    assert (out.policy.shape, out.value.shape, out.score.shape) == ((4, 7), (4,), (4,))
    assert out.ownership is None


def test_the_movers_logits_of_two_outputs() -> None:
    logits = torch.arange(12).reshape(3, 2, 2)
    assert logits_of_mover(logits, torch.tensor([1, 0, 1])).tolist() == [[2, 3], [4, 5], [10, 11]]


@pytest.mark.parametrize("shape", [(6, 5, 5), (6,)])
def test_no_step_however_long_silences_a_value_head(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    head = heads.ValueHeadSpec(4, 8).build(shape).eval()
    with torch.no_grad():
        for linear in (layer for layer in head.modules() if isinstance(layer, torch.nn.Linear)):
            linear.bias -= 1000.0 * (linear.out_features > 1)  # as after steps that all went one way
    values = head(torch.rand(16, *shape))
    assert len(values.unique()) > 8
    gradients = torch.autograd.grad(values.sum(), list(head.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
