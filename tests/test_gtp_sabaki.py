"""Our GTP engine driven by @sabaki/gtp, the npm package of the Sabaki board editor; skipped where it cannot be had."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "tests" / "sabaki_client.js"
PACKAGE = "@sabaki/gtp@3.0.0"


@pytest.fixture(scope="module")
def sabaki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package is installed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("sabaki")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {PACKAGE} within a minute")
    if done.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def test_sabaki_drives_our_engine(sabaki: Path) -> None:
    engine = [sys.executable, str(ROOT / "play.py"), "go", "--gtp", "--bot", "rollouts:visits=50", "--size", "9"]
    driver = sabaki / DRIVER.name
    shutil.copy(DRIVER, driver)  # node looks for packages beside the script
    done = subprocess.run(
        ["node", str(driver), *engine], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout)
    assert heard["name"] == "Playfield"
    assert {"genmove", "undo", "lz-analyze", "kata-genmove_analyze"} <= set(heard["commands"])
    assert set(heard["black"].split()) == {"C3", "G7", "D4"}
    assert set(heard["afterUndo"].split()) == {"C3", "G7", "F6"}, "what differs is taken back"
    assert heard["komi"] == "6.5"
    assert heard["analysis"][0].startswith("=")
    assert any(line.startswith("info move ") for line in heard["analysis"]) and heard["analysis"][-1] == ""
    assert heard["stopped"] == "2"
    assert heard["history"][-1] == {"name": "play", "args": ["W", heard["move"].upper()]}
    assert heard["illegal"] == "? illegal move" and heard["unknown"] == "? unknown command"
    assert heard["size"] == "? unacceptable size"
    assert heard["legal"] > 50
