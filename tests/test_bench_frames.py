"""`bench.py frames`: the document is whole, a peer that is not there is told, bad options are refused. No times."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.dqn.config import PRESETS
from benchmarks import bench, frames, frames_peers
from benchmarks.peers import PeerMissingError, installed
from benchmarks.timing import Document


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure two games in this process, and peers that take no time."""

    def missing(*arguments: Any) -> Document:
        raise PeerMissingError("not installed: pip install nothing")

    def present(game: str, num_envs: int, cores: int, seconds: float, rate: frames_peers.Rate) -> Document:
        return {"envs": num_envs, "steps_per_second": rate(lambda: 1, 0.01)}

    tiny = {"num_envs": 2, "rollout": 4, "batch_size": 4}
    monkeypatch.setattr(
        frames,
        "PRESETS",
        {"fast": replace(PRESETS["fast"], **tiny), "dqn-2015": replace(PRESETS["dqn-2015"], **tiny, network="small")},
    )
    monkeypatch.setattr(frames, "NUM_ENVS", 2)
    monkeypatch.setattr(frames, "WARMUP_STEPS", 32)
    monkeypatch.setattr(frames, "available_processors", lambda: 0)
    monkeypatch.setattr(frames, "processes", lambda asked, num_envs: 0)
    monkeypatch.setattr(frames_peers, "EMULATORS", {"ale-py": present, "envpool": missing})
    monkeypatch.setattr(frames_peers, "TRAININGS", {"stable-baselines3": missing})


@pytest.mark.usefixtures("small")
def test_frames_measures_emulator_learner_and_training(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["frames", "--game", "Pong", "--presets", "fast", "dqn-2015", "--seconds", "0.05"]
    assert bench.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["game"] == "pong"
    assert [row["name"] for row in found["emulator"]] == ["playfield", "ale-py", "envpool"]
    assert found["emulator"][2]["note"] == "not installed: pip install nothing"
    assert all(row["steps_per_second"] > 0 for row in found["emulator"][:2])
    assert [row["preset"] for row in found["learner"]] == ["fast", "dqn-2015"]
    assert [row["name"] for row in found["training"]] == ["playfield fast", "playfield dqn-2015", "stable-baselines3"]
    assert all(row["steps_per_second"] > 0 for row in found["training"][:2])
    per_update = [row["steps_per_second_at_most"] / row["updates_per_second"] for row in found["learner"]]
    assert per_update == pytest.approx([2, 8])  # 4 samples twice an epoch; 8 steps a rollout

    assert bench.main(arguments) == 0
    assert "not installed: pip install nothing" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--game", "pongg"], "no Atari game 'pongg'"),
        (["--presets", "dqn-1999"], "no preset 'dqn-1999'; there are: fast"),
        (["--seconds", "0"], "--seconds 0: a finite number above 0"),
        (["--seconds", "nan"], "--seconds nan: a finite number above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["frames", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "missing"),
    [("import what_it_needs", "No module named 'what_it_needs'"), ("open('its_data')", "No such file or directory")],
)
def test_a_peer_that_is_not_whole_is_told_as_missing(
    source: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half_a_peer.py").write_text(source)
    (tmp_path / "half_a_peer-1.0.dist-info").mkdir()
    (tmp_path / "half_a_peer-1.0.dist-info" / "METADATA").write_text("Name: half-a-peer\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PeerMissingError, match=f"cannot be imported: .*{missing}"):
        installed("half_a_peer", "half-a-peer")
    with pytest.raises(PeerMissingError, match="not installed: pip install no-such-peer"):
        installed("no_such_peer", "no-such-peer")
