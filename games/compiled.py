"""njit with a cache that notices every edit, and the bit operations that kernels share.

numba stamps a cached kernel with the file of its caller only: edit a rule in `games/checkers.py` and a cached search in
`agents/alphabeta.py` would silently go on playing the old rule. So this module points numba's cache, before the first
kernel is declared, at a folder named by a hash of every kernel source; an edit anywhere starts a new folder.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import cgutils, event, types
from numba.extending import intrinsic, overload

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
KERNEL_PACKAGES = ("games", "agents", "nets")  # nets for the numbers that kernels take from there
KERNELS = "PLAYFIELD_KERNELS"  # where a parent with a read-only home keeps its kernels, for its children
FOLDERS_KEPT = 8  # newest cache folders that pruning leaves alone
PRUNE_AGE = 86_400.0  # seconds a folder lies unused before it may be pruned


def kernel_sources(root: Path) -> list[Path]:
    """Return the sources under root that speak of compiled kernels: they declare them, or hold numbers for them."""
    sources = sorted(path for package in KERNEL_PACKAGES for path in (root / package).rglob("*.py"))
    return [path for path in sources if b"compiled" in path.read_bytes()]


def source_hash(root: Path) -> str:
    """Return a short hash of every kernel source under root, with the versions that shape machine code."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version}".encode())
    for path in kernel_sources(root):
        digest.update(f"\0{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_home() -> Path:
    """Return the folder of this user for what can be made again ($PLAYFIELD_CACHE, else in the user's cache folder)."""
    chosen = os.environ.get("PLAYFIELD_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "playfield"


def _open_cache() -> Path:
    """Create and return this source's cache folder, and remove folders that no run has used for long."""
    made = os.environ.get(KERNELS)
    home = Path(made) if made else cache_home() / "kernels"
    folder = home / source_hash(PACKAGE_ROOT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:  # a read-only home: compile into a folder of this process, which its children share
        home = Path(tempfile.mkdtemp(prefix="playfield-kernels-"))
        os.environ[KERNELS] = str(home)
        atexit.register(_remove, home, os.getpid())
        return _open_cache()
    ours = (path for path in home.iterdir() if re.fullmatch("[0-9a-f]{16}", path.name))
    for stale in sorted(ours, key=_last_used, reverse=True)[FOLDERS_KEPT:]:
        if time.time() - _last_used(stale) > PRUNE_AGE:
            shutil.rmtree(stale, ignore_errors=True)
    return folder


def _remove(home: Path, owner: int) -> None:
    """Remove a cache folder at the end of the process that made it, not at that of a forked child."""
    if os.getpid() == owner:
        shutil.rmtree(home, ignore_errors=True)


def _last_used(folder: Path) -> float:
    """Return when a cache folder was last opened, in seconds; 0 where another process has just pruned it."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


CACHE_FOLDER = _open_cache()
numba.config.CACHE_DIR = str(CACHE_FOLDER)  # type: ignore[attr-defined]  # set by numba at run time


NDArray = np.ndarray[Any, Any]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def njit(function: Kernel) -> Kernel:
    """Compile a kernel: nopython, cached on disk, releasing the GIL so that games run in parallel threads."""
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled  # type: ignore[no-any-return]


class _Announcer(event.Listener):
    """Says once, on stderr, that kernels are being compiled; a cached kernel triggers nothing."""

    def __init__(self) -> None:
        self.announced = False
        self.compiling = 0  # kernels, one for the sake of another

    def on_start(self, event: Any) -> None:
        self.compiling += 1
        if not self.announced:
            self.announced = True
            print("compiling kernels, which are kept: this takes up to a minute ...", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        self.compiling -= 1


_ANNOUNCER = _Announcer()


@functools.cache
def announce_compilation() -> None:
    """From now on say so, on stderr, when the first kernel of this process has to be compiled."""
    event.register("numba:compile", _ANNOUNCER)


def is_compiling() -> bool:
    """Say whether a kernel is being compiled, since `announce_compilation`."""
    return _ANNOUNCER.compiling > 0


# --- bit operations -------------------------------------------------------------------------------------------------


@intrinsic
def _popcount(typing_context: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), codegen


@intrinsic
def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


def count_bits(word: Any) -> int:
    """Return how many bits of a uint64 are set."""
    return int(word).bit_count()


def lowest_bit(word: Any) -> int:
    """Return the index of the lowest set bit of a uint64; precondition: word is not 0."""
    return (int(word) & -int(word)).bit_length() - 1


# numba compares the argument names of an overload with its implementation's, annotations included: none here.
overload(count_bits)(lambda word: lambda word: np.int64(_popcount(np.uint64(word))))  # type: ignore[call-arg]
overload(lowest_bit)(lambda word: lambda word: np.int64(_trailing_zeros(np.uint64(word))))  # type: ignore[call-arg]
