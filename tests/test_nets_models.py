"""Whole networks: Anaconda, the presets, their files, and that they learn."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nets import anaconda_layout, heads, presets
from nets.blocks import Border, Conv, Linear, Norm, PositionBias, Relu, SymmetricConv
from nets.losses import euclidean, softmax_cross_entropy
from nets.model_file import ModelFileError, model_header, read_model_file, write_model_file
from nets.models import (
    BoardEvaluator,
    BoardEvaluatorSpec,
    ModelSpec,
    PolicyValueNet,
    PolicyValueSpec,
    QNetwork,
    QNetworkSpec,
    load_model,
    num_parameters,
    save_model,
    spec_from_json,
)
from nets.presets import preset
from nets.spec import SpecError, to_json


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(3)


def plain_anaconda(weights: np.ndarray, king_value: float, codes: list[int]) -> float:
    """Evaluate one board by the paper's description, in plain Python, from the flat layout."""
    take = iter(weights.tolist())
    inputs = [{-2: -king_value, -1: -1.0, 0: 0.0, 1: 1.0, 2: king_value}[code] for code in codes]
    playable = {}
    for row in range(8):
        for column in range(8):
            if (row % 2 == 0) == (column % 2 == 1):
                playable[row, column] = len(playable)
    sums = []
    for size in (3, 4, 5, 6, 7, 8):
        for top in range(9 - size):
            for left in range(9 - size):
                cells = [(top + i, left + j) for i in range(size) for j in range(size)]
                sums.append(sum(inputs[playable[cell]] * next(take) for cell in cells if cell in playable))
    units = [float(np.tanh(total + next(take))) for total in sums]
    for count in (40, 10, 1):
        matrix = [[next(take) for _ in range(count)] for _ in units]
        totals = [
            sum(unit * row[j] for unit, row in zip(units, matrix, strict=True)) + next(take) for j in range(count)
        ]
        units = [float(np.tanh(total)) for total in totals] if count > 1 else totals
    assert next(take, None) is None
    return float(np.tanh(units[0] + sum(inputs)))


def test_anaconda_is_the_published_network() -> None:
    assert num_parameters(BoardEvaluator()) == 945 + 3640 + 40 + 400 + 10 + 10 + 1 == 5046
    rng = np.random.default_rng(0)
    weights = rng.uniform(-0.2, 0.2, anaconda_layout.NUM_WEIGHTS).astype(np.float32)
    model = BoardEvaluator.from_flat(weights, 1.7)
    boards = rng.integers(-2, 3, (20, 32)) * (rng.random((20, 32)) < 0.2)
    boards[0] = 0
    values = model(torch.tensor(boards, dtype=torch.float32))
    expected = [plain_anaconda(weights, 1.7, board.tolist()) for board in boards]
    np.testing.assert_allclose(values.detach().numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(model.flat_weights(), weights)
    assert model.flat_weights().dtype == torch.float32


def test_anacondas_file_is_what_the_layout_says(tmp_path: Path) -> None:
    weights = np.linspace(-0.2, 0.2, 5046, dtype=np.float32)
    header = model_header(anaconda_layout.ARCHITECTURE, game="checkers", rules_version=1, training={})
    write_model_file(tmp_path / "numpy", {"weights": weights, "king_value": np.float32(1.3).reshape(())}, header)
    model, read = load_model(tmp_path / "numpy")
    assert isinstance(model, BoardEvaluator)
    assert model.king_value.item() == np.float32(1.3)
    np.testing.assert_array_equal(model.flat_weights(), weights)
    save_model(tmp_path / "torch", model, model.spec, game="checkers", rules_version=1, training={})
    assert (tmp_path / "torch").read_bytes() == (tmp_path / "numpy").read_bytes()
    assert spec_from_json(read["architecture"]) == BoardEvaluatorSpec()


def conv(inputs: int, outputs: int, size: int, bias: int = 1) -> int:
    return inputs * size * size * outputs + outputs * bias


# Counted by hand from the papers' tables. Nature DQN's 1,686,180 for four actions is the number usually quoted.
IMPALA_RESIDUALS = 4 * conv(16, 16, 3) + 8 * conv(32, 32, 3)
PARAMETERS = {
    "anaconda": 5046,  # published
    # K x K filters have 10 (K = 7) or 6 (K = 5) free weights; 16,471 pairs and 55 points on 19x19; 7 + 1 planes.
    "clark-storkey": (8 * 10 + 1) * 64
    + 2 * (64 * 6 + 1) * 64
    + (64 * 6 + 1) * 48
    + (48 * 6 + 1) * 48
    + (48 * 6 + 1) * 32
    + (32 * 6 + 1) * 32
    + 32 * 16471
    + 55,
    "maddison12": 36 * 25 * 128 + 11 * 128 * 9 * 128 + 128 * 9 * 2 + (12 * 128 + 2) * 361,
    "alphago13": conv(48, 192, 5) + 11 * conv(192, 192, 3) + 192 + 361,
    "dqn-2013": conv(4, 16, 8) + conv(16, 32, 4) + (9 * 9 * 32 + 1) * 256 + 257 * 18,
    "nature-dqn": conv(4, 32, 8) + conv(32, 64, 4) + conv(64, 64, 3) + (7 * 7 * 64 + 1) * 512 + 513 * 18,
    "impala": conv(4, 16, 3)
    + conv(16, 32, 3)
    + conv(32, 32, 3)
    + IMPALA_RESIDUALS
    + (11 * 11 * 32 + 1) * 256
    + 257 * 18,
}


@pytest.mark.parametrize("name", [name for name in presets.PRESETS if name != "resnet-BxC"])
def test_presets_have_the_papers_parameters(name: str) -> None:
    assert num_parameters(preset(name).build()) == PARAMETERS[name]


def test_published_totals() -> None:
    maddison = preset("maddison12")
    assert isinstance(maddison, PolicyValueSpec)
    weights = 36 * 25 * 128 + 11 * 128 * 9 * 128 + 128 * 9 * 2
    assert round(PARAMETERS["maddison12"] / 1e6, 1) == 2.3  # section 4: 2.3 million parameters,
    assert round(weights * 361 / 1e7) * 10 == 630  # 630 million connections
    assert abs(12 * 128 * 361 / 550_000 - 1) < 0.01  # and 550,000 hidden units
    assert num_parameters(preset("nature-dqn", num_actions=4).build()) == 1_686_180


def test_a_resnet_is_the_size_that_its_name_says() -> None:
    spec = preset("resnet-6x96", input_shape=(10, 9, 9))
    plain = 2 * conv(96, 96, 3, 0) + 4 * 96  # two convolutions, two norms
    # 32 of the 96 channels are pooled: their norm, 96 -> 64 linear, then 64 go on.
    pooled = conv(96, 96, 3, 0) + 2 * 96 + 2 * 32 + (96 + 1) * 64 + 2 * 64 + conv(64, 96, 3, 0)
    policy = 2 * 96 * 32 + 2 * 32 + 96 * 32 + 2 * 32 + 33 + 97
    value = 96 * 32 + 2 * 32 + 97 * 64 + 2 * 64 + 65
    trunk = conv(10, 96, 3, 0) + 4 * plain + 2 * pooled + 2 * 96
    assert num_parameters(spec.build()) == trunk + policy + value
    assert spec == preset("resnet-6x96", (10, 9, 9)) != preset("resnet-6x64", (10, 9, 9))
    checkers = preset("resnet-2x8", input_shape=(5, 8, 8), num_actions=128)
    assert checkers.build()(torch.rand(2, 5, 8, 8)).policy.shape == (2, 128)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("alphago12",), "'alphago12' (did you mean alphago13?), only anaconda, clark-storkey"),
        (("resnet-0x4", (3, 9, 9)), "no network preset 'resnet-0x4'"),
        (("resnet-6x96",), "needs an input_shape"),
        (("maddison12", None, 3), "num_actions cannot be chosen"),
        (("anaconda", (1, 8, 8)), "nothing can be chosen"),
        (("nature-dqn", (4, 85, 85)), None),
    ],
)
def test_presets_that_do_not_exist_are_refused_in_one_line(arguments: tuple[object, ...], words: str | None) -> None:
    with pytest.raises(SpecError) as refused:
        preset(*arguments).build()  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert (words or "trunk layer 0 (conv): output size (85 - 8 + 2*0)/4 + 1 = 20.25") in str(refused.value)


def test_a_resnet_plays_on_any_board_with_the_same_weights() -> None:
    model = preset("resnet-3x12", input_shape=(4, 19, 19)).build().eval()
    assert isinstance(model, PolicyValueNet)
    assert model.any_size
    for size in (5, 9, 13):
        out = model(torch.rand(2, 4, size, size))
        assert out.policy is not None
        assert out.policy.shape == (2, size * size + 1)
    fixed = preset("maddison12", input_shape=(36, 9, 9)).build()
    assert isinstance(fixed, PolicyValueNet)
    assert not fixed.any_size


def test_a_batch_is_its_samples() -> None:
    model = preset("resnet-3x12", input_shape=(4, 9, 9)).build().eval()
    x = torch.randint(0, 2, (5, 4, 9, 9), dtype=torch.bool)
    whole = model(x)
    for sample in range(5):
        one = model(x[sample : sample + 1])
        torch.testing.assert_close(one.policy[0], whole.policy[sample])
        torch.testing.assert_close(one.value[0], whole.value[sample])


def test_clark_and_storkeys_network_is_symmetric_from_end_to_end() -> None:
    model = preset("clark-storkey", input_shape=(7, 9, 9)).build().double()
    x = torch.randint(0, 2, (2, 7, 9, 9)).double()
    logits = model(x).policy.reshape(2, 9, 9)
    assert logits.std() > 0
    for turns in range(4):
        for mirrored in (False, True):

            def image(y: Tensor, turns: int = turns, mirrored: bool = mirrored) -> Tensor:
                return torch.rot90(y.mT if mirrored else y, turns, (-2, -1))

            torch.testing.assert_close(model(image(x)).policy.reshape(2, 9, 9), image(logits))


@pytest.mark.parametrize("padding", [0, 1])
def test_a_scale_in_the_first_filters_is_a_scale_of_the_inputs(padding: int) -> None:
    trunk = QNetworkSpec((3, 9, 9), (Conv(4, 3, 2, padding), Relu(), Linear(5)), heads.QHeadSpec(3)).build().trunk
    frames = torch.randint(0, 256, (2, 3, 9, 9)).float()
    torch.testing.assert_close(trunk.of_scaled(frames, 1 / 255), trunk(frames / 255))
    dense = QNetworkSpec((3, 9, 9), (Linear(5),), heads.QHeadSpec(3)).build().trunk
    torch.testing.assert_close(dense.of_scaled(frames, 1 / 255), dense(frames / 255))


def test_a_q_network_takes_bytes_and_scales_them() -> None:
    spec = preset("dqn-2013", num_actions=3)
    assert isinstance(spec, QNetworkSpec)
    model = QNetwork(dataclasses.replace(spec, head=dataclasses.replace(spec.head, distribution="quantile")))
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    features = model.trunk(frames.float() / 255)
    torch.testing.assert_close(model.q_values(frames), model.head(features).mean(2))


SPECS: list[ModelSpec] = [
    BoardEvaluatorSpec(),
    preset("clark-storkey", (7, 5, 5)),
    preset("maddison12", (36, 5, 5)),
    preset("resnet-3x6", (4, 5, 5)),
    QNetworkSpec(
        (1, 8, 8), (Conv(2, 3), Norm("layer"), Relu(), Linear(4)), heads.QHeadSpec(3, 4, True, True, "quantile")
    ),
    PolicyValueSpec((2, 5, 6), (Conv(3, 1),), ownership=heads.OwnershipHeadSpec(), score=heads.ScoreHeadSpec()),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_a_saved_model_is_the_same_model(tmp_path: Path, spec: ModelSpec) -> None:
    model = spec.build()
    x = torch.rand(3, *model.trunk.input_shape)
    model.train()(x)  # moves running means
    extras = {"features": "observe", "game": "extras replace nothing"}
    save_model(tmp_path / "m", model, spec, game="go", rules_version=2, training={"lr": 0.1}, extras=extras)
    before = torch.get_rng_state()
    loaded, header = load_model(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.spec == spec
    assert not loaded.training
    assert (header["game"], header["rules_version"], header["training"]) == ("go", 2, {"lr": 0.1})
    assert header["features"] == "observe"
    for ours, theirs in zip(flat_outputs(model.eval()(x)), flat_outputs(loaded(x)), strict=True):
        assert torch.equal(ours, theirs)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    save_model(tmp_path / "again", loaded.state_dict() if spec.kind != "board_evaluator" else loaded, spec,
               game="go", rules_version=2, training={"lr": 0.1}, extras=extras)  # fmt: skip
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def flat_outputs(output: Tensor | tuple[Tensor | None, ...]) -> list[Tensor]:
    return [part for part in (output if isinstance(output, tuple) else (output,)) if part is not None]


def test_tensors_that_do_not_fit_the_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m"
    model = QNetwork(QNetworkSpec((1, 4, 4), (Linear(4),), heads.QHeadSpec(3)))
    save_model(path, model, model.spec, game="pong", rules_version=1, training={})
    tensors, header = read_model_file(path)
    name = "trunk.layers.0.1.weight"
    wrong_head = copy.deepcopy(header)
    wrong_head["architecture"]["head"]["num_actions"] = -1
    for changed, changed_header, words in [
        ({key: value for key, value in tensors.items() if key != name}, header, f"'{name}' is missing"),
        ({**tensors, "extra": tensors[name]}, header, "'extra' is not part of its architecture"),
        ({**tensors, name: tensors[name].T}, header, f"'{name}' is float32 [16, 4], its architecture needs float32 [4"),
        ({**tensors, name: tensors[name].astype("f8")}, header, f"'{name}' is float64 [4, 16]"),
        (tensors, {**header, "architecture": {"kind": "tree"}}, "architecture: kind 'tree' is not known, only "),
        (tensors, wrong_head, "q_head: num_actions must be a whole number of at least 1, not -1"),
        (tensors, {}, "architecture must be q_network or policy_value_net or board_evaluator, not None"),
        (tensors, {**header, "architecture": anaconda_layout.ARCHITECTURE}, "is not part of its architecture"),
    ]:
        write_model_file(path, changed, changed_header)
        with pytest.raises(ModelFileError) as refused:
            load_model(path)
        assert words in str(refused.value)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_model_with_nan_is_not_saved(tmp_path: Path) -> None:
    model = BoardEvaluator()
    with torch.no_grad():
        model.trunk.layers[0].bias[3] = torch.nan
    with pytest.raises(ModelFileError, match="'weights' holds a NaN"):
        save_model(tmp_path / "m", model, model.spec, game="checkers", rules_version=1, training={})


def test_specifications_survive_json() -> None:
    for spec in SPECS:
        assert spec_from_json(to_json(spec)) == spec


SMALL_GO_NETWORKS = [
    preset("resnet-3x12", (4, 5, 5)),
    PolicyValueSpec(
        (4, 5, 5),
        (Conv(16, 5, padding=2, init="he"), PositionBias(), Relu(), Conv(16, 3, padding=1, init="he"), Relu()),
        heads.PointPolicySpec(3, num_outputs=2, position_bias=True),
    ),
    PolicyValueSpec(
        (4, 5, 5),
        (Border(2), SymmetricConv(16, 5), Relu(), SymmetricConv(16, 3, padding=1), Relu()),
        heads.SymmetricPolicySpec(),
    ),
]


@pytest.mark.parametrize("spec", SMALL_GO_NETWORKS)
def test_a_policy_value_network_overfits_eight_samples(spec: PolicyValueSpec) -> None:
    model = spec.build()
    planes = torch.randint(0, 2, (8, 4, 5, 5))
    moves = torch.randint(0, 25, (8,))
    results = torch.where(torch.arange(8) % 2 == 0, 0.9, -0.9)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(100):
        out = model(planes)
        assert out.policy is not None
        logits = out.policy[:, 0] if out.policy.dim() == 3 else out.policy
        losses = softmax_cross_entropy(logits, moves)
        if out.value is not None:
            losses = losses + euclidean(out.value, results)
        optimiser.zero_grad()
        losses.mean().backward()
        optimiser.step()
    assert losses.max().item() < 0.1
    assert logits.argmax(1).equal(moves)


@pytest.mark.parametrize("distribution", ["none", "quantile"])
def test_a_q_network_overfits_eight_samples(distribution: str) -> None:
    spec = preset("dqn-2013", input_shape=(1, 36, 36), num_actions=3)
    assert isinstance(spec, QNetworkSpec)
    head = dataclasses.replace(spec.head, dueling=True, hidden=16, distribution=distribution, num_atoms=5)
    model = QNetwork(dataclasses.replace(spec, head=head))
    frames = torch.randint(0, 256, (8, 1, 36, 36), dtype=torch.uint8)
    targets = torch.randn(8, 3)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(150):
        losses = euclidean(model.q_values(frames), targets)
        optimiser.zero_grad()
        losses.mean().backward()
        optimiser.step()
    assert losses.max().item() < 0.02
