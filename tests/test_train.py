"""`train.py`: what the --help of its learners shows."""

from __future__ import annotations

import pytest

import train


@pytest.mark.parametrize("learner", train.LEARNERS)
def test_help_shows_examples_as_they_are_written(learner: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main([learner, "--help"])
    assert caught.value.code == 0
    assert f"\nexamples:\n  train.py {learner} --" in capsys.readouterr().out
