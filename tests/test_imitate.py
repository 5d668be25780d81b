"""Imitation: losses over legal moves, samples that depend on nothing but their number, steps that resume exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.imitation.config import PRESETS, ImitateConfig, ImitateError
from agents.imitation.data import Samples, SampleStream, Split, choose_games, split_records
from agents.imitation.learner import (
    Learner,
    adapted,
    budget_spent,
    make_optimiser,
    mover_logits,
    policy_terms,
    rate_factor,
    train,
    value_terms,
)
from agents.imitation.run import fingerprint
from games.archives import load_records
from games.catalogue import find_game
from games.record_batches import PositionReader
from games.record_formats import GameRecord
from games.records import Positions, RecordsError, pack
from nets.models import PolicyValueNet, PolicyValueOutput, PolicyValueSpec
from nets.presets import preset
from tests.recorded_games import write_games

CPU = torch.device("cpu")
TINY = ImitateConfig(network="resnet-1x8", positions=320, batch_size=16, precision="float32")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = write_games(tmp_path_factory.mktemp("games"), 60)
    return split_records(load_records([folder], "go", keep=False).records, find_game("go-5x5"), 0.2)


@pytest.fixture
def stream(split: Split) -> SampleStream:
    return SampleStream(PositionReader(split.training), TINY.batch_size, seed=1, augment=True)


def network(name: str = "resnet-1x8", size: int = 5) -> PolicyValueNet:
    torch.manual_seed(0)
    model = preset(name, (16, size, size)).build()
    assert isinstance(model, PolicyValueNet)
    return model


def samples(actions: list[int], legal: list[list[int]]) -> Samples:
    """Return a batch with these moves and these legal ones, of three actions, the last the pass."""
    count = len(actions)
    mask = torch.zeros(count, 3, dtype=torch.bool)
    for row, columns in enumerate(legal):
        mask[row, columns] = True
    return Samples(
        planes=torch.zeros(count, 1, 1, 2),
        actions=torch.tensor(actions),
        legal=mask,
        movers=torch.zeros(count, dtype=torch.int64),
        outcomes=torch.zeros(count),
        outcome_weights=torch.ones(count),
    )


# --- losses -----------------------------------------------------------------------------------------------------------


def test_illegal_moves_take_no_part_in_the_loss() -> None:
    logits = torch.tensor([[1.0, 50.0, 0.0]], requires_grad=True)
    losses, hits, counts = policy_terms(logits, samples([0], [[0, 2]]))
    assert losses.item() == pytest.approx(np.log(1 + np.exp(-1.0)))
    assert (hits.item(), counts.item()) == (1.0, 1.0)
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert logits.grad[0, 0] < 0 < logits.grad[0, 2]


def test_a_network_without_a_pass_learns_nothing_where_the_expert_passed() -> None:
    logits = torch.randn(3, 2, requires_grad=True)
    batch = samples([2, 0, 2], [[0, 1, 2], [0, 1, 2], [2]])
    losses, hits, counts = policy_terms(logits, batch)
    assert counts.tolist() == [0, 1, 0]
    assert losses[[0, 2]].tolist() == [0, 0]
    assert hits[[0, 2]].tolist() == [0, 0]
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[[0, 2]].abs().sum() == 0


def test_of_two_policies_the_movers_is_meant() -> None:
    logits = torch.arange(12.0).reshape(2, 2, 3)
    output = PolicyValueOutput(logits, None, None, None)
    assert torch.equal(mover_logits(output, torch.tensor([1, 0])), torch.stack([logits[0, 1], logits[1, 0]]))


def test_values_are_learnt_only_from_outcomes_that_are_known_and_fair() -> None:
    batch = samples([0, 0], [[0], [0]])._replace(
        outcomes=torch.tensor([1.0, 1.0]), outcome_weights=torch.tensor([1.0, 0.0])
    )
    assert value_terms(torch.tensor([0.5, 0.5]), batch).tolist() == [0.25, 0.0]


# --- samples ----------------------------------------------------------------------------------------------------------


def test_no_game_is_on_both_sides(split: Split) -> None:
    training, apart = set(split.training.games.tolist()), set(split.validation.games.tolist())
    assert not training & apart
    assert len(training) + len(apart) == 60
    assert apart
    hashes = split.training.records.hashes
    assert not set(hashes[list(training)]) & set(hashes[list(apart)])


def test_games_that_begin_alike_come_in_an_order_that_no_file_decides() -> None:
    starts_and_ends = [("(;SZ[9]KM[7.5])", 70), ("(;SZ[9]KM[7.5])", 71), ("(;SZ[9]KM[6.5])", 70), ("(;SZ[9])", 72)]
    twins = [
        GameRecord("", start, np.array([*range(60), end], np.int16), 0, (0, 0), 0) for start, end in starts_and_ends
    ]

    def split_of(*order: int) -> Split:
        records = pack("go", "", [twins[index] for index in order])
        assert len(set(records.hashes.tolist())) == 1
        return Split(*[choose_games(records, find_game("go-9x9"), np.ones(len(order), np.bool_), "learn from")] * 2)

    def seen(split: Split) -> list[tuple[str, list[int]]]:
        records, games = split.training.records, split.training.games
        return [(records.starts[records.start[game]], records.actions(game).tolist()) for game in games]

    one, other = split_of(0, 1, 2, 3), split_of(3, 1, 0, 2)
    assert seen(one) == seen(other) and fingerprint(one) == fingerprint(other)
    assert len({fingerprint(split_of(index))["sha256"] for index in range(4)}) == 4


def alike(one: Samples, other: Samples) -> bool:
    """Say whether two batches of recorded positions are the same, of which nobody knows whose the points will be."""
    assert one.owners is None and other.leads is None
    return all(torch.equal(ours, theirs) for ours, theirs in zip(one[:6], other[:6], strict=True))


def test_neither_names_nor_order_of_files_matter(tmp_path: Path, split: Split, stream: SampleStream) -> None:
    renamed = write_games(tmp_path / "b", 60, names="z{}-tom.sgf")
    for index, path in enumerate(sorted(renamed.iterdir())):
        path.rename(renamed / f"{(index * 7919) % 1000:03d}.sgf")
    other = split_records(load_records([renamed], "go", keep=False).records, find_game("go-5x5"), 0.2)
    assert not np.array_equal(other.training.games, split.training.games)
    same = SampleStream(PositionReader(other.training), TINY.batch_size, seed=1, augment=True)
    for number in (0, 5):
        assert alike(stream.batch(number), same.batch(number))


def test_batches_are_the_same_from_any_start_and_with_any_number_of_threads(stream: SampleStream) -> None:
    expected = [stream.batch(number) for number in range(6)]
    for first, threads in ((0, 1), (2, 3)):
        for number, found in enumerate(itertools.islice(stream.batches(first, threads), 3), start=first):
            assert alike(expected[number], found)
    assert not torch.equal(expected[0].planes, expected[1].planes)


def test_samples_are_true_under_their_symmetries(stream: SampleStream) -> None:
    """The same positions with and without symmetries: as many stones, the action turned with the board."""
    plain = SampleStream(stream.reader, TINY.batch_size, seed=1, augment=False)
    turned = 0
    for number in range(4):
        ours, theirs = stream.batch(number), plain.batch(number)
        assert ours.legal[torch.arange(16), ours.actions].all()
        assert torch.equal(ours.planes.sum((2, 3)), theirs.planes.sum((2, 3)))
        assert torch.equal(ours.legal.sum(1), theirs.legal.sum(1))
        assert torch.equal(ours.outcomes, theirs.outcomes)
        stones = ours.planes[:, :2].sum(1).flatten(1)
        moved = ours.actions < 25
        assert (stones[moved, ours.actions[moved]] == 0).all()
        turned += int((ours.actions != theirs.actions).sum())
    assert turned > 30


def test_games_that_komi_decides_teach_no_values(tmp_path: Path) -> None:
    write_games(tmp_path, 10)
    for path in tmp_path.iterdir():
        if int(path.stem[4:]) % 2:
            path.write_bytes(path.read_bytes().replace(b"KM[6.5]", b"KM[0.5]"))
    records = load_records([tmp_path], "go", keep=False).records
    stream = SampleStream(PositionReader(Positions(records)), 64, seed=0, augment=False)
    weights = stream.batch(0).outcome_weights
    assert {0.0, 1.0} == set(weights.tolist())


def test_a_side_without_games_is_told(split: Split) -> None:
    with pytest.raises(RecordsError, match=r"learn from: 0 of 60 games are of go-9x9 .*; most are of go-5x5"):
        split_records(split.training.records, find_game("go-9x9"), 0.2)
    with pytest.raises(RecordsError, match="no positions to validate with: 60 of 60 games"):
        split_records(split.training.records, find_game("go-5x5"), 0.0)


def test_positions_without_moves_are_told(tmp_path: Path) -> None:
    (tmp_path / "ballots.pdn").write_text('[FEN "B:W21,22:B1,2"] *\n\n[FEN "B:W21,23:B1,2"] *\n')
    records = load_records([tmp_path], "checkers", keep=False).records
    with pytest.raises(RecordsError, match="2 of 2 games are of checkers, none of them with a move"):
        split_records(records, find_game("checkers"), 0.2)


# --- learning ---------------------------------------------------------------------------------------------------------


def test_it_overfits_eight_samples(split: Split) -> None:
    batch = SampleStream(PositionReader(split.training), 8, seed=3, augment=False).batch(0)
    learner = Learner(replace(TINY, batch_size=8), network("resnet-1x16"), CPU)
    for _ in range(120):
        learner.step(batch, 1.0)
    learner.forget_sums()
    learner.step(batch, 0.0)
    means = learner.means()
    assert means["top1"] == 1.0
    assert means["loss"] < 0.1
    assert means["value_error"] < 0.1


def weights_of(learner: Learner) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in learner.get_arrays().items() if name != "clock"}


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, optimiser="sgd", learning_rate=0.05, average=0.9, l2=1e-4, l1=1e-5, max_norm=1.0),
        replace(TINY, optimiser="muon", learning_rate=0.01),
        replace(TINY, precision="bfloat16", schedule="cosine"),
    ],
    ids=["adamw", "sgd", "muon", "bfloat16"],
)
def test_a_learner_that_resumes_ends_with_the_same_bits(stream: SampleStream, config: ImitateConfig) -> None:
    whole = Learner(config, network(), CPU)
    assert len(list(train(config, whole, stream, 1))) == 20
    half = Learner(config, network(), CPU)
    for _ in itertools.islice(train(config, half, stream, 2), 9):
        pass
    saved = {name: array.copy() for name, array in half.get_arrays().items()}
    torch.manual_seed(99)
    again = Learner(config, preset("resnet-1x8", (16, 5, 5)).build(), CPU)  # type: ignore[arg-type]
    again.set_arrays(saved)
    assert again.positions == 9 * 16
    for _ in train(config, again, stream, 1):
        pass
    assert weights_of(again) == weights_of(whole)
    assert again.kept is (again.average if config.average else again.model)


@pytest.mark.parametrize("optimiser", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("name", ["maddison12", "alphago13", "clark-storkey", "resnet-2x8"])
def test_only_weights_decay_or_become_orthogonal(name: str, optimiser: Literal["adamw", "muon", "sgd"]) -> None:
    config, model = ImitateConfig(optimiser=optimiser, weight_decay=0.1), network(name)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = make_optimiser(config, model, torch.float32).param_groups
    decaying, others = ([names[id(parameter)] for parameter in group["params"]] for group in groups)
    assert len(decaying) + len(others) == len(names) and decaying
    assert not [name for name in decaying if not name.endswith("weight")]
    assert [name for name in others if not name.endswith("bias")] == [
        name for name, parameter in model.named_parameters() if name.endswith("weight") and parameter.dim() == 1
    ], "the scales of norms"
    assert [(group["weight_decay"], group.get("orthogonal", False)) for group in groups] == [
        (0.1, optimiser == "muon"),
        (0.0, False),
    ]


def test_the_average_lies_between_old_and_new_weights(stream: SampleStream) -> None:
    learner = Learner(replace(TINY, average=0.5), network(), CPU)
    before = learner.kept.trunk.layers[0].weight.clone()  # type: ignore[operator,union-attr]
    learner.step(stream.batch(0), 1.0)
    now = learner.model.trunk.layers[0].weight
    decay = 2 / 11  # young averages move faster
    assert torch.allclose(learner.kept.trunk.layers[0].weight, before * decay + now * (1 - decay), atol=1e-6)  # type: ignore[operator]


def test_a_loss_that_is_no_number_is_told(stream: SampleStream) -> None:
    learner = Learner(TINY, network(), CPU)
    with torch.no_grad():
        next(learner.model.parameters()).fill_(torch.nan)
    with pytest.raises(ImitateError, match=r"not finite after .* positions: .*--learning-rate than 0.003"):
        for number in range(60):
            learner.step(stream.batch(number), 1.0)


def test_the_rate_rises_then_falls_to_nothing_with_the_budget() -> None:
    config = replace(TINY, warmup=0.1)
    assert [rate_factor(config, spent) for spent in (0.0, 0.05, 0.1, 0.5, 1.0)] == pytest.approx(
        [0, 0.475, 0.9, 0.5, 0]
    )
    assert rate_factor(replace(config, schedule="constant"), 0.9) == 1
    assert rate_factor(replace(config, schedule="cosine"), 0.5) == pytest.approx(0.5)


def test_the_nearer_of_two_limits_ends_the_training() -> None:
    assert budget_spent(replace(TINY, positions=100, minutes=1), 50, 45) == 0.75
    assert budget_spent(replace(TINY, positions=100, minutes=0), 50, 1e9) == 0.5
    assert budget_spent(replace(TINY, positions=0, minutes=1), 10**9, 30) == 0.5
    assert budget_spent(replace(TINY, positions=100, minutes=1), 200, 0) == 1


def test_fully_convolutional_networks_go_on_on_another_board() -> None:
    model = network(size=19)
    small = adapted(model, (16, 9, 9), with_value=True)
    assert small.spec.input_shape == (16, 9, 9)
    planes = torch.rand(2, 16, 9, 9)
    before, after = (each.eval()(planes).policy for each in (model, small))
    assert isinstance(before, Tensor)
    assert torch.equal(before, after)
    assert adapted(model, (16, 19, 19), with_value=True) is model
    policy = adapted(model, (16, 19, 19))
    assert policy.spec.value is None, "a value head that learns nothing would only mislead"
    assert torch.equal(before, policy.eval()(planes).policy)
    with pytest.raises(ImitateError, match=r"for planes \(16, 19, 19\) cannot go on with planes \(20, 9, 9\)"):
        adapted(model, (20, 9, 9))
    with pytest.raises(ImitateError, match="cannot go on"):
        adapted(network("clark-storkey", 9), (16, 5, 5))


def test_a_policy_without_a_value_head_is_given_one() -> None:
    model = replace(network(size=9).spec, value=None).build()
    planes = torch.rand(2, 16, 9, 9)
    assert adapted(model, (16, 9, 9)) is model
    whole = adapted(model, (16, 9, 9), with_value=True)
    assert adapted(whole, (16, 9, 9), with_value=True) is whole
    before, after = model.eval()(planes), whole.eval()(planes)
    assert torch.equal(before.policy, after.policy)
    assert before.value is None and after.value.shape == (2,)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name: str) -> None:
    config = PRESETS[name]
    with torch.device("meta"):
        model = preset(config.network, (16, 19, 19)).build()
    assert isinstance(model, PolicyValueNet)
    assert model.policy is not None
    assert config.positions or config.minutes


@pytest.mark.parametrize("name", ["clark-storkey", "maddison12", "alphago13"])
def test_published_networks_learn_from_their_own_planes(split: Split, name: str) -> None:
    """The planes are those of the paper's network, by number at least; a step changes the loss of its own batch."""
    config = replace(PRESETS[name], batch_size=2, precision="float32")
    reader = PositionReader(split.training, config.features, np.uint8)
    published = preset(config.network)
    assert isinstance(published, PolicyValueSpec)
    assert reader.planes_shape == (published.input_shape[0], 5, 5)
    torch.manual_seed(0)
    model = preset(config.network, reader.planes_shape).build()
    assert isinstance(model, PolicyValueNet)
    learner = Learner(config, model, CPU)
    batch = SampleStream(reader, 2, seed=0, augment=config.augment).batch(0)
    losses = []
    for factor in (0.1, 0.0):
        learner.forget_sums()
        learner.step(batch, factor)
        losses.append(learner.means()["loss"])
    assert losses[1] < losses[0]
