"""`bench.py scores`: curves of runs, when they reached the published scores, a picture, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench, scores


def make_run(directory: Path, lines: list[tuple[int, float | None]], **config: object) -> Path:
    """Write what a run leaves: a line every 10 seconds, of which an evaluation took one."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"learner": "dqn", "game": "pong", "seed": 3, **config}))
    metrics = [{"step": step} | ({} if score is None else {"score": score}) for step, score in lines]
    timing = [{"step": step, "seconds": 9.0, "cpu_seconds": 12.0, "evaluation_seconds": 1.0} for step, _ in lines]
    for name, rows in (("metrics", metrics), ("timing", timing)):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def test_a_curve_says_when_scores_were_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", [(100, None), (200, -20.5), (300, -17.0), (400, 10.0), (500, 9.0)])
    assert bench.main(["scores", str(run), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["levels"] == [-17.7, -5.7, 9.3, 18.9]
    [made] = document["curves"]
    assert made["points"][0] == {"step": 200, "seconds": 20.0, "score": -20.5}
    assert list(made["reached"].values()) == [30.0, 40.0, 40.0, None]
    assert bench.main(["scores", str(run)]) == 0
    assert "10.0" in capsys.readouterr().out


def test_evaluations_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", [(100, -20.0), (200, -17.0)])
    metrics = (run / "metrics.jsonl").read_text().splitlines()
    metrics[0] = json.dumps({**json.loads(metrics[0]), "evaluation": 12.0})
    (run / "metrics.jsonl").write_text("\n".join(metrics) + "\n")
    assert bench.main(["scores", str(run), "--json"]) == 0
    [made] = json.loads(capsys.readouterr().out)["curves"]
    assert list(made["reached"].values()) == [20.0, None, None, None]
    assert list(made["reached_in_evaluations"].values()) == [10.0, 10.0, 10.0, None]
    assert bench.main(["scores", str(run)]) == 0
    assert "in evaluations" in capsys.readouterr().out


def test_curves_become_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    runs = [make_run(tmp_path / name, [(100, -20.0), (200, 3.0)]) for name in ("one", "two")]
    assert bench.main(["scores", *map(str, runs), "--png", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_curve_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pong = make_run(tmp_path / "pong", [(100, -20.0)])
    other = make_run(tmp_path / "breakout", [(100, 1.0)], game="breakout")
    foreign = make_run(tmp_path / "foreign", [(100, 1.0)], learner="evolve")
    for arguments, said in (
        ([], "name at least one directory of a run"),
        (["--peer-seconds", "5"], "name at least one directory of a run"),
        ([tmp_path / "nothing"], "no config.json"),
        ([foreign], "a run of train.py evolve"),
        ([pong, other], "different games: breakout, pong"),
        ([pong, "--peer-seconds", "-1"], "--peer-seconds -1: a finite number, at least 0"),
        ([pong, "--peer-seconds", "nan"], "--peer-seconds nan: a finite number, at least 0"),
    ):
        assert bench.main(["scores", *map(str, arguments)]) == 2
        assert said in capsys.readouterr().err


def test_a_missing_peer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(module: str, package: str) -> None:
        raise scores.PeerMissingError(f"not installed: pip install {package}")

    monkeypatch.setattr(scores, "installed", missing)
    run = make_run(tmp_path / "run", [(100, -20.0)])
    assert bench.main(["scores", str(run), "--peer-seconds", "1", "--json"]) == 0
    assert "not installed" in json.loads(capsys.readouterr().out)["curves"][1]["note"]
    assert bench.main(["scores", str(run), "--peer-seconds", "1"]) == 0
    assert "stable-baselines3: not installed: pip install stable-baselines3" in " ".join(
        capsys.readouterr().out.split()
    )
