"""Accuracy on recorded games: ranks by a plain count, passes left out, positions parted by phase and by source."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from agents.imitation.accuracy import (
    PHASES,
    by_phase,
    by_source,
    choose,
    has_moves,
    phase_bounds,
    predict_all,
    summary,
    table,
)
from games.archives import load_records
from games.catalogue import find_game
from games.compiled import NDArray
from games.record_batches import Batch, PositionReader
from games.records import Positions
from nets.blocks import Conv
from nets.heads import PointPolicySpec
from nets.models import PolicyValueSpec, save_model
from tests.recorded_games import write_games


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PositionReader:
    folders = [
        write_games(tmp_path_factory.mktemp("a") / name, 6, seed=seed) for seed, name in enumerate(("kgs-1", "pro"))
    ]
    return PositionReader(Positions(load_records(folders, "go", keep=False).records))


def random_answers(batch: Batch) -> tuple[NDArray, NDArray]:
    """Answer by numbers that depend on the position alone, without a pass."""
    rngs = [np.random.default_rng((int(game), int(ply))) for game, ply in zip(batch.games, batch.plies, strict=True)]
    logits = np.array([rng.normal(size=25) for rng in rngs], np.float32)
    return logits, np.array([rng.uniform(-1, 1) for rng in rngs], np.float32)


def test_ranks_and_losses_agree_with_a_plain_count(reader: PositionReader) -> None:
    numbers = np.arange(len(reader.positions))
    found = predict_all(random_answers, reader, numbers)
    batch = reader.read(numbers)
    logits, values = random_answers(batch)
    place = 0
    for row in numbers:
        action = int(batch.actions[row])
        if action == 25:
            continue
        legal = [a for a in range(25) if batch.legal[row, a]]
        better = [a for a in legal if logits[row, a] > logits[row, action]]
        total = sum(math.exp(float(logits[row, a])) for a in legal)
        assert found.ranks[place] == len(better)
        assert found.losses[place] == pytest.approx(math.log(total) - float(logits[row, action]))
        if batch.has_outcome[row]:
            assert found.value_errors[place] == pytest.approx((float(values[row]) - float(batch.outcomes[row])) ** 2)
        place += 1
    assert place == len(found.ranks) < len(numbers) + 1
    whole = summary(found)
    assert whole["top1"] == pytest.approx(float(np.mean(found.ranks == 0)))
    assert whole["top5"] == pytest.approx(float(np.mean(found.ranks < 5)))
    assert 0 < whole["top1"] < whole["top5"] < 1


def test_phases_and_sources_part_the_positions(reader: PositionReader) -> None:
    found = predict_all(random_answers, reader, np.arange(len(reader.positions)))
    phases, sources = by_phase(found, 5, 5), by_source(found, reader)
    assert tuple(phases) == PHASES
    assert tuple(sources) == ("kgs", "pro")
    for parts in (phases, sources):
        assert sum(part["positions"] for part in parts.values()) == len(found.ranks)
        hits = sum(part["top1"] * part["positions"] for part in parts.values())
        assert hits == pytest.approx(float(np.sum(found.ranks == 0)))
    assert phases["opening"]["positions"] == int((found.plies < 4).sum())
    assert phase_bounds(19, 19) == (60, 180)
    assert table({**summary(found), "by_phase": phases, "by_source": sources}, "moves").row_count == 6


def test_a_choice_of_positions_is_fixed_and_without_repetition(reader: PositionReader) -> None:
    chosen = choose(reader, 50, seed=1)
    assert np.array_equal(chosen, choose(reader, 50, seed=1))
    assert np.unique(chosen).size == 50
    assert not np.array_equal(chosen, choose(reader, 50, seed=2))
    assert choose(reader, 10**9, seed=1).tolist() == list(range(len(reader.positions)))


def test_an_accuracy_of_nothing_is_not_certain(reader: PositionReader) -> None:
    found = predict_all(random_answers, reader, np.arange(20))
    rows = found.ranks > 0
    count = int(rows.sum())
    row = summary(found, rows)
    assert row["top1"] == 0 and row["top1_margin"] == pytest.approx(1.959964**2 / (count + 1.959964**2))


def test_no_positions_have_no_accuracy(reader: PositionReader) -> None:
    found = predict_all(random_answers, reader, np.arange(20))
    assert summary(found, np.zeros(len(found.ranks), np.bool_)) == {"positions": 0}


def test_the_benchmark_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import bench

    assert bench.main(["accuracy", str(tmp_path / "none"), str(tmp_path)]) == 2
    assert "no model file or folder" in capsys.readouterr().err
    game = find_game("go-7x7")
    spec = PolicyValueSpec(game.planes_shape, (Conv(2, 3, padding=1),), policy=PointPolicySpec(position_bias=True))
    save_model(tmp_path / "m", spec.build(), spec, game="go", rules_version=game.version, training={})
    assert bench.main(["accuracy", str(tmp_path / "m"), str(tmp_path / "no records"), "--game", "go-9x9"]) == 2
    assert "the network plays on 7x7 only, and this is go-9x9" in capsys.readouterr().err


def test_positions_where_everybody_passed_hold_no_moves(tmp_path: Path) -> None:
    (tmp_path / "game.sgf").write_text("(;GM[1]SZ[5];B[aa];W[];B[bb];W[])")
    reader = PositionReader(Positions(load_records([tmp_path], "go", keep=False).records))
    assert len(reader.positions) == 4
    assert not has_moves(reader, np.array([1, 3]))
    assert has_moves(reader, np.array([1, 2]))
