"""Running networks for play: every runtime says what the module says, for every architecture and board."""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nets.blocks import Block, Conv, Dropout, MaxPool, Norm, PositionBias, Relu, Residual, SymmetricConv, Tanh
from nets.folding import fold
from nets.heads import DensePolicySpec, PointPolicySpec, PooledPolicySpec, ValueHeadSpec
from nets.inference import InferenceModel, Runtime, make_inference, torch_threads
from nets.layers import SymmetricConv2d, SymmetricLinear
from nets.models import PolicyValueNet, PolicyValueSpec, logits_of_mover
from nets.precision import has_matrix_units
from nets.presets import preset

TOLERANCE = 5e-5  # of logits and values, which are near 1 here
TOLERANCES: dict[Runtime, float] = {"torch": TOLERANCE, "auto": TOLERANCE, "bfloat16": 0.05}
every_runtime = pytest.mark.parametrize("runtime", TOLERANCES)
ValueHead = ValueHeadSpec(channels=4, hidden=8)


@pytest.fixture(autouse=True)
def no_matrix_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "auto" be the same on every processor."""
    monkeypatch.setattr("nets.inference.has_matrix_units", lambda: False)


def random_net(spec: PolicyValueSpec, seed: int = 0) -> PolicyValueNet:
    """Return a network in evaluation mode whose norms have seen data: neither their means nor scales are trivial."""
    torch.manual_seed(seed)
    model = spec.build().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        elif isinstance(module, PositionBias | nn.PReLU):
            nn.init.normal_(next(module.parameters()))
    return model


def preset_net(name: str, *shape: int) -> PolicyValueNet:
    spec = preset(name, (shape[0], shape[1], shape[2]))
    assert isinstance(spec, PolicyValueSpec)
    return random_net(spec)


def random_planes(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def difference(run: InferenceModel, model: PolicyValueNet, planes: np.ndarray) -> float:
    """Return the largest difference from the module, in logits of the larger of 1 and their spread, and in values."""
    to_play = np.arange(len(planes)) % 2 if run.needs_to_play else None
    logits, values = run(planes, to_play)
    with torch.no_grad():
        policy, value, _, _ = model(torch.from_numpy(planes))
    if to_play is not None:
        policy = logits_of_mover(policy, torch.from_numpy(to_play))
    assert logits.dtype == values.dtype == np.float32
    assert values.shape == (len(planes),)
    worst = float(np.abs(values - (value.numpy() if value is not None else 0)).max())
    if policy is None:
        assert logits.shape == (len(planes), 0)
        return worst
    assert logits.shape == policy.shape
    return max(worst, float(np.abs(logits - policy.numpy()).max()) / max(1.0, float(policy.std())))


# --- equal to the module ----------------------------------------------------------------------------------------------


@every_runtime
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet-6x96", (12, 9, 9)),
        ("resnet-3x64", (17, 19, 19)),
        ("clark-storkey", (7, 9, 9)),
        ("maddison12", (36, 9, 9)),
        ("alphago13", (48, 9, 9)),
    ],
)
def test_it_says_what_the_module_says(runtime: Runtime, name: str, shape: tuple[int, int, int]) -> None:
    model = preset_net(name, *shape)
    assert difference(make_inference(model, runtime), model, random_planes(6, *shape)) < TOLERANCES[runtime]


@every_runtime
def test_a_fully_convolutional_net_runs_on_every_board(runtime: Runtime) -> None:
    model = preset_net("resnet-3x12", 5, 19, 19)
    run = make_inference(model, runtime)
    for size in range(5, 20):
        assert difference(run, model, random_planes(9, 5, size, size)) < TOLERANCES[runtime], size
    for height, width in ((1, 1), (2, 3), (7, 5), (3, 19), (13, 8), (23, 21)):
        assert difference(run, model, random_planes(9, 5, height, width)) < TOLERANCES[runtime], (height, width)


@every_runtime
def test_batches_of_every_length_run_one_after_another(runtime: Runtime) -> None:
    model = preset_net("resnet-3x12", 5, 9, 9)
    run = make_inference(model, runtime)
    for length in (3, 1, 8, 70, 2, 33, 4, 0):
        planes = random_planes(length, 5, 9, 9)
        if length:
            assert difference(run, model, planes) < TOLERANCES[runtime], length
        else:
            logits, values = run(planes)
            assert (logits.shape, values.shape) == ((0, 82), (0,))


POOLED = PooledPolicySpec(channels=6)
TRUNKS: dict[str, tuple[Block, ...]] = {
    "post-activation": (Conv(8, 3, padding=1, bias=False), Norm(), Relu(), Residual(order="post")),
    "post-activation, pooled": (Conv(8, 3, padding=1), Relu(), Residual(order="post", pooled_channels=3)),
    "pre-activation, pooled": (Conv(8, 3, padding=1), Residual(pooled_channels=3), Residual(), Norm(), Relu()),
    "blocks of 5x5": (Conv(8, 5, padding=2), Residual(size=5), Residual(size=1), Norm(), Relu()),
    "without norms": (Conv(8, 3, padding=1), Residual(norm="none"), Residual(norm="none", pooled_channels=2), Relu()),
    "layer norms": (Conv(8, 3, padding=1), Residual(norm="layer"), Norm("layer"), Relu()),
    "channel norms": (Conv(8, 3, padding=1), Residual(norm="channel", pooled_channels=3), Norm("channel"), Tanh()),
    "plain convolutions": (Conv(8, 3, padding=1), Conv(6, 3, padding=1), Relu(), Conv(8, 3, padding=1), Norm()),
    "odd steps": (Conv(8, 3, padding="same"), Norm(), Conv(8, 3, 2, padding=1), Dropout(), Conv(7, 3), Tanh()),
    "tied": (SymmetricConv(8, 3, padding=1), Norm(), Relu(), SymmetricConv(5, 5, padding=2), MaxPool(3, 1)),
}


@every_runtime
@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_kind_of_trunk_runs(runtime: Runtime, trunk: str) -> None:
    model = random_net(PolicyValueSpec((5, 9, 9), TRUNKS[trunk], policy=POOLED, value=ValueHead))
    assert difference(make_inference(model, runtime), model, random_planes(5, 5, 9, 9)) < TOLERANCES[runtime]


@every_runtime
@pytest.mark.parametrize(
    ("policy", "value"),
    [
        (DensePolicySpec(num_actions=30), ValueHeadSpec(pooled=False)),
        (DensePolicySpec(num_actions=30, channels=4), None),
        (PointPolicySpec(size=3, num_outputs=2, position_bias=True), None),
        (PointPolicySpec(pass_move=True), ValueHead),
        (None, ValueHead),
    ],
)
def test_every_head_runs(
    runtime: Runtime, policy: DensePolicySpec | PointPolicySpec | None, value: ValueHeadSpec | None
) -> None:
    trunk: tuple[Block, ...] = (Conv(8, 3, padding=1), Residual(), Norm(), Relu())
    model = random_net(PolicyValueSpec((5, 7, 6), trunk, policy=policy, value=value))
    assert difference(make_inference(model, runtime), model, random_planes(5, 5, 7, 6)) < TOLERANCES[runtime]


def test_tied_weights_are_written_out_once() -> None:
    model = preset_net("clark-storkey", 7, 9, 9)
    folded = fold(model)
    assert not [module for module in folded.modules() if isinstance(module, SymmetricConv2d | SymmetricLinear)]
    planes = torch.from_numpy(random_planes(3, 7, 9, 9))
    with torch.no_grad():
        torch.testing.assert_close(folded(planes)[0], model(planes).policy, atol=TOLERANCE, rtol=0)


# --- keeping up with training -----------------------------------------------------------------------------------------


@every_runtime
def test_it_keeps_its_weights_until_it_is_refreshed(runtime: Runtime) -> None:
    model, planes = preset_net("resnet-3x12", 5, 9, 9), random_planes(6, 5, 9, 9)
    run = make_inference(model, runtime)
    before = run(planes)
    train_a_step(model, torch.from_numpy(planes))
    np.testing.assert_array_equal(run(planes)[0], before[0])
    assert difference(run, model, planes) > 1e-3
    run.refresh(model)
    assert difference(run, model, planes) < TOLERANCES[runtime]


def train_a_step(model: PolicyValueNet, planes: Tensor) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    output = model(planes)
    (nn.functional.cross_entropy(output.policy, torch.arange(len(planes))) + output.value.mean()).backward()
    optimizer.step()
    model.eval()


@pytest.mark.parametrize("training", [False, True])
def test_it_runs_in_evaluation_mode_and_leaves_the_module_as_it_was(training: bool) -> None:
    model, planes = preset_net("resnet-3x12", 5, 9, 9), random_planes(3, 5, 9, 9)
    expected = make_inference(model)(planes)
    model.train(training)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    logits, values = make_inference(model)(planes)
    np.testing.assert_array_equal(logits, expected[0])
    np.testing.assert_array_equal(values, expected[1])
    assert model.training == training
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_another_architecture_is_refused() -> None:
    run = make_inference(preset_net("resnet-3x12", 5, 9, 9))
    with pytest.raises(ValueError, match="another architecture"):
        run.refresh(preset_net("resnet-3x16", 5, 9, 9))


# --- at the door ------------------------------------------------------------------------------------------------------


def test_planes_that_do_not_fit_are_refused() -> None:
    any_size, one_size = make_inference(preset_net("resnet-2x8", 5, 9, 9)), make_inference(dense_net())
    with pytest.raises(ValueError, match=r"takes planes of shape \[n, 5, any height, any width\], not \[2, 4, 9, 9\]"):
        any_size(random_planes(2, 4, 9, 9))
    with pytest.raises(ValueError, match=r"takes planes of shape \[n, 5, 7, 6\], not \[2, 5, 6, 7\]"):
        one_size(random_planes(2, 5, 6, 7))
    with pytest.raises(ValueError, match=r"not \[5, 9, 9\]"):
        any_size(random_planes(5, 9, 9))


def dense_net() -> PolicyValueNet:
    return random_net(PolicyValueSpec((5, 7, 6), (Conv(8, 3, padding=1), Relu()), policy=DensePolicySpec(4)))


def test_two_outputs_need_to_know_who_moves() -> None:
    spec = PolicyValueSpec((5, 7, 6), (Conv(8, 3, padding=1),), policy=PointPolicySpec(num_outputs=2))
    run = make_inference(random_net(spec))
    assert run.needs_to_play
    planes = random_planes(2, 5, 7, 6)
    for to_play in (None, np.zeros(3, np.int64)):
        with pytest.raises(ValueError, match="to_play must say who moves"):
            run(planes, to_play)
    black, white = run(planes, np.zeros(2, np.int64))[0], run(planes, np.ones(2, np.uint8))[0]
    assert np.abs(black - white).min() > 0
    np.testing.assert_array_equal(run(planes, np.array([1, 0]))[0], [white[0], black[1]])
    assert not make_inference(dense_net()).needs_to_play


def test_planes_of_any_layout_and_type_are_taken() -> None:
    run, planes = make_inference(dense_net()), (random_planes(4, 5, 7, 6) > 0.5).astype(np.float32)
    expected = run(planes)[0]
    for other in (planes.astype(np.uint8), planes.astype(np.float64), np.asfortranarray(planes)):
        np.testing.assert_array_equal(run(other)[0], expected)
    np.testing.assert_array_equal(run(np.repeat(planes, 2, axis=0)[::2])[0], expected)


@pytest.mark.parametrize(
    ("runtime", "problem"),
    [
        (
            "tensorrt",
            "no inference runtime 'tensorrt', only auto, winograd, torch, bfloat16, cuda, onnxruntime, openvino",
        ),
        ("winograd", "3x3 convolutions of stride 1: this one has none"),
        ("cuda", "runtime cuda needs a GPU"),
        ("onnxruntime", r"needs the packages onnx and onnxruntime: pip install -e '\.\[fast\]'"),
        ("openvino", r"needs the packages onnx and openvino: pip install -e '\.\[fast\]'"),
    ],
)
def test_a_runtime_that_cannot_be_is_refused(runtime: Any, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("nets.inference.find_spec", lambda name: None)
    spec = PolicyValueSpec((5, 7, 6), (Conv(8, 5, padding=2), Relu()), policy=DensePolicySpec(4))
    with pytest.raises(ValueError, match=problem):
        make_inference(random_net(spec), runtime)


# --- runtimes that not every machine has ------------------------------------------------------------------------------


@pytest.mark.parametrize("best", ["openvino", "bfloat16"])
def test_a_processor_with_matrix_units_is_used_for_them(best: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    if best == "openvino":
        pytest.importorskip("openvino")
    else:
        monkeypatch.setattr("nets.inference.find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model, planes = preset_net("resnet-2x8", 5, 9, 9), random_planes(3, 5, 9, 9)
    float32 = make_inference(model)(planes)[0]
    monkeypatch.setattr("nets.inference.has_matrix_units", lambda: True)
    chosen = make_inference(model)(planes)[0]
    np.testing.assert_array_equal(chosen, make_inference(model, best)(planes)[0])
    assert np.abs(chosen - float32).max() > 0


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_other_runtimes_agree_on_every_size_and_are_refreshed(runtime: Runtime) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip(runtime)
    tolerance = 0.05 if runtime == "openvino" and has_matrix_units() else TOLERANCE
    model = preset_net("resnet-3x12", 5, 9, 9)
    run = make_inference(model, runtime)
    for shape in ((4, 5, 9, 9), (1, 5, 9, 9), (3, 5, 6, 7)):
        assert difference(run, model, random_planes(*shape)) < tolerance, shape
    train_a_step(model, torch.from_numpy(random_planes(4, 5, 9, 9)))
    assert difference(run, model, random_planes(4, 5, 9, 9)) > 0.1
    run.refresh(model)
    assert difference(run, model, random_planes(4, 5, 9, 9)) < tolerance
    for policy, value in ((POOLED, None), (None, ValueHead)):
        spec = PolicyValueSpec((5, 9, 9), (Conv(8, 3, padding=1), Relu()), policy=policy, value=value)
        model = random_net(spec)
        run = make_inference(model, runtime)
        for length in (1, 5):
            assert difference(run, model, random_planes(length, 5, 9, 9)) < tolerance, (policy, value)


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux")
def test_openvino_leaves_the_stack_of_signals_as_it_was() -> None:
    pytest.importorskip("openvino")

    def stack() -> bytes:
        raw = ctypes.create_string_buffer(24)  # stack_t
        assert ctypes.CDLL(None).sigaltstack(None, raw) == 0
        return raw.raw

    before = stack()
    make_inference(preset_net("resnet-3x12", 5, 9, 9), "openvino")(random_planes(4, 5, 9, 9))
    assert stack() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_agrees_to_the_precision_of_bfloat16_and_is_refreshed() -> None:
    model = preset_net("resnet-3x64", 5, 9, 9)
    run = make_inference(model, "cuda")
    for shape in ((4, 5, 9, 9), (300, 5, 9, 9), (1, 5, 19, 19), (0, 5, 9, 9)):
        if shape[0]:
            assert difference(run, model, random_planes(*shape)) < 0.05, shape
        else:
            assert run(random_planes(*shape))[0].shape == (0, 82)
    train_a_step(model, torch.from_numpy(random_planes(4, 5, 9, 9)))
    assert difference(run, model, random_planes(4, 5, 9, 9)) > 0.1
    run.refresh(model)
    assert difference(run, model, random_planes(4, 5, 9, 9)) < 0.05


# --- threads ----------------------------------------------------------------------------------------------------------


@every_runtime
def test_an_instance_a_thread_gives_every_thread_its_own_answers(runtime: Runtime) -> None:
    model = preset_net("resnet-3x12", 5, 9, 9)
    batches = [random_planes(length, 5, 9, 9) for length in (5, 6, 7, 8)]
    expected = [make_inference(model, runtime)(planes)[0] for planes in batches]

    def work(planes: np.ndarray) -> list[np.ndarray]:
        run = make_inference(model, runtime)
        return [run(planes)[0] for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        for answers, right in zip(pool.map(work, batches), expected, strict=True):
            for answer in answers:
                np.testing.assert_array_equal(answer, right)


def test_answers_are_the_callers_own() -> None:
    run, planes = make_inference(dense_net()), random_planes(4, 5, 7, 6)
    logits, values = run(planes)
    kept = logits.copy(), values.copy()
    run(random_planes(4, 5, 7, 6) + 1)
    np.testing.assert_array_equal(logits, kept[0])
    np.testing.assert_array_equal(values, kept[1])
    logits[:] = 0  # may be written


@every_runtime
def test_several_threads_share_a_batch(runtime: Runtime) -> None:
    model = preset_net("resnet-3x12", 5, 9, 9)
    run = make_inference(model, runtime, threads=3)
    for length in (1, 2, 5, 70):
        assert difference(run, model, random_planes(length, 5, 9, 9)) < TOLERANCES[runtime], length


def test_the_number_of_threads_holds_for_the_call_only() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    make_inference(dense_net(), threads=before + 2)(random_planes(2, 5, 7, 6))
    assert torch.get_num_threads() == before
