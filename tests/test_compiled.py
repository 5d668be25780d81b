"""The kernel cache: it follows every edit of a rule, compiles nothing twice, tidies up, and can be switched off."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from games import compiled
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.rules import Game, apply, hash_key, is_over, is_quiet, legal_mask, observe, returns, to_play
from tests import reference
from tests.tic_tac_toe import TIC_TAC_TOE

ROOT = Path(__file__).resolve().parent.parent

READ_ONLY_HOME = """
import subprocess, sys
from games import compiled
child = [sys.executable, "-c", "from games import compiled; print(compiled.CACHE_FOLDER)"]
print(compiled.CACHE_FOLDER, compiled.CACHE_FOLDER.is_dir())
print(subprocess.run(child, capture_output=True, text=True).stdout.strip())
"""

# A search in the small: it stands in agents/, calls generic names only, and is the caller whose cache could go stale.
AGENT = """
import numpy as np
from games.compiled import njit
from games.rules import apply, init, legal_mask

@njit
def moves_after(state, mask, action):
    init(state)
    apply(state, action)
    legal_mask(state, mask)
    return mask[0], mask[1]
"""
PROGRAM = """
import numpy as np
from games.compiled import announce_compilation
announce_compilation()
from games.checkers import CHECKERS
from games.perft import perft
from agents.little_search import moves_after
start = CHECKERS.new(1)[0]
print(*(perft(start, depth) for depth in (1, 2, 3)), *moves_after(start.copy(), np.zeros(2, np.uint64), 8))
"""


def run_python(program: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    return result


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} no longer says {old!r} once: adapt this test"
    path.write_text(text.replace(old, new))


def expected_output(diagram: str) -> str:
    """Return what PROGRAM prints when checkers starts from a diagram, by the slow reference."""
    counts = [reference.perft(reference.Checkers("wcdf", diagram), depth) for depth in (1, 2, 3)]
    after = reference.Checkers("wcdf", diagram)
    after.play(8)
    bits = sum(1 << action for action in after.legal_actions())
    return " ".join(map(str, (*counts, bits % 2**64, bits >> 64)))


def test_a_cached_kernel_follows_an_edit_of_the_rules_it_calls(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "games", tmp_path / "games", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    (tmp_path / "agents" / "little_search.py").write_text(AGENT)
    cache = tmp_path / "cache"

    def run() -> tuple[str, bool]:
        result = run_python(PROGRAM, tmp_path, PLAYFIELD_CACHE=str(cache))
        return result.stdout.strip(), "compiling kernels" in result.stderr

    before = expected_output(reference.START)
    assert run() == (before, True)
    assert run() == (before, False), "the second run compiles nothing"
    assert len(list((cache / "kernels").iterdir())) == 1

    edit(
        tmp_path / "games" / "checkers.py", "START_WHITE = np.uint32(0xFFF00000)", "START_WHITE = np.uint32(0xFF700000)"
    )
    edited = expected_output(reference.START.replace("w . w . w . w .", "w . w . w . . .", 1))
    assert edited != before
    assert run() == (edited, True), "kernels in other files play by the edited rule"
    assert len(list((cache / "kernels").iterdir())) == 2


def test_every_kernel_source_counts_for_the_cache_and_other_files_do_not(tmp_path: Path) -> None:
    for name in ("games/rules.py", "games/deeper/go.py", "agents/search.py", "agents/player.py", "nets/layout.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if "player" in name else "from games.compiled import njit\n")
    before = compiled.source_hash(tmp_path)
    for name, counts in {"games/deeper/go.py": True, "nets/layout.py": True, "agents/player.py": False}.items():
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text + "x = 1\n")
        assert (compiled.source_hash(tmp_path) != before) == counts, name
        (tmp_path / name).write_text(text)
        assert compiled.source_hash(tmp_path) == before
    (tmp_path / "games/rules.py").rename(tmp_path / "games/other.py")
    assert compiled.source_hash(tmp_path) != before


def make_folders(home: Path, names: str, age: float) -> list[Path]:
    """Make cache folders last used this many seconds ago, one for each hexadecimal digit in names."""
    folders = [home / (16 * name) for name in names]
    for folder in folders:
        (folder / "inner").mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    return folders


def test_old_cache_folders_are_pruned_but_no_recent_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYFIELD_CACHE", str(tmp_path))
    recent = make_folders(tmp_path / "kernels", "0123456789"[: compiled.FOLDERS_KEPT + 1], 60.0)
    old = make_folders(tmp_path / "kernels", "abc", 2 * compiled.PRUNE_AGE)
    opened = compiled._open_cache()
    assert sorted((tmp_path / "kernels").iterdir()) == sorted([opened, *recent])
    assert not any(folder.exists() for folder in old)


def test_a_few_old_cache_folders_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYFIELD_CACHE", str(tmp_path))
    old = make_folders(tmp_path / "kernels", "0123456789"[: compiled.FOLDERS_KEPT - 1], 2 * compiled.PRUNE_AGE)
    assert sorted([compiled._open_cache(), *old]) == sorted((tmp_path / "kernels").iterdir())


def test_pruning_touches_no_folder_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever points PLAYFIELD_CACHE at a folder with other things in it keeps these."""
    monkeypatch.setenv("PLAYFIELD_CACHE", str(tmp_path))
    make_folders(tmp_path / "kernels", "0123456789", 2 * compiled.PRUNE_AGE)
    thesis = tmp_path / "kernels" / "thesis"
    thesis.mkdir()
    os.utime(thesis, (0, 0))
    compiled._open_cache()
    assert thesis.exists()
    assert len(list((tmp_path / "kernels").iterdir())) == compiled.FOLDERS_KEPT + 1


def test_two_processes_may_prune_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYFIELD_CACHE", str(tmp_path))
    folders = make_folders(tmp_path / "kernels", "0123456789abcdef", 2 * compiled.PRUNE_AGE)
    remove = shutil.rmtree

    def remove_them_all(stale: Path, **options: bool) -> None:
        for folder in folders:
            remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", remove_them_all)
    opened = compiled._open_cache()
    assert list((tmp_path / "kernels").iterdir()) == [opened]


def test_a_cache_home_that_cannot_be_written_gives_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PLAYFIELD_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv(compiled.KERNELS, "")  # what is set here does not outlast this test
    folder = compiled._open_cache()
    try:
        assert folder.is_dir()
        assert folder.parent.name.startswith("playfield-kernels-")
    finally:
        shutil.rmtree(folder.parent)


def test_the_cache_home_is_the_users_own_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAYFIELD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert compiled.cache_home() == Path("/caches/playfield")
    monkeypatch.setenv("PLAYFIELD_CACHE", "/chosen")
    assert compiled.cache_home() == Path("/chosen")


# --- the same answers without the compiler ----------------------------------------------------------------------------


def digest_of_random_games(game: Game, games: int) -> str:
    """Play random games by the generic functions and hash everything these say."""
    generator = np.random.default_rng(9)
    mask, planes = np.zeros(game.mask_words, np.uint64), np.zeros(game.planes_shape, np.float32)
    digest = hashlib.sha256()
    for _ in range(games):
        state = game.new(1)[0]
        while True:
            legal_mask(state, mask)
            observe(state, planes)
            facts = (hash_key(state), to_play(state), is_quiet(state), is_over(state))
            digest.update(state.tobytes() + mask.tobytes() + planes.tobytes() + repr(facts).encode())
            if is_over(state):
                break
            apply(state, int(generator.choice(game.legal_actions(state))))
        digest.update(repr(returns(state)).encode())
    return digest.hexdigest()


NO_JIT_PROGRAM = """
import warnings
warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # hashes overflow on purpose
import numba
assert numba.config.DISABLE_JIT
from tests.test_compiled import *
for game in (CHECKERS, CONNECT_FOUR, TIC_TAC_TOE):
    print(digest_of_random_games(game, 2))
"""


def test_kernels_run_as_plain_python_with_the_same_results() -> None:
    digests = run_python(NO_JIT_PROGRAM, ROOT, NUMBA_DISABLE_JIT="1").stdout.split()
    assert digests == [digest_of_random_games(game, 2) for game in (CHECKERS, CONNECT_FOUR, TIC_TAC_TOE)]


def test_bit_counts_agree_with_and_without_the_compiler() -> None:
    @compiled.njit
    def count_and_lowest(words, results):
        for i in range(words.size):
            results[i, 0] = compiled.count_bits(words[i])
            results[i, 1] = compiled.lowest_bit(words[i])

    words = np.random.default_rng(10).integers(1, 2**64, 500, np.uint64, endpoint=False)
    words[:4] = (1, 1 << 63, 2**64 - 1, 1 << 32)
    results = np.zeros((words.size, 2), np.int64)
    count_and_lowest(words, results)
    for word, (count, lowest) in zip(words.tolist(), results.tolist(), strict=True):
        assert count == compiled.count_bits(word) == bin(word).count("1")
        assert lowest == compiled.lowest_bit(word) == len(bin(word)) - 1 - bin(word).rindex("1")


def test_where_no_folder_can_be_made_children_share_their_parents_until_it_ends() -> None:
    environment = {**os.environ, "PLAYFIELD_CACHE": os.devnull, compiled.KERNELS: ""}
    command = [sys.executable, "-c", READ_ONLY_HOME]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    folder, was_there, childs = said.split()
    assert was_there == "True" and childs == folder and not Path(folder).exists()
