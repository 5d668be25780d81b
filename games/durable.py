"""Files that survive a kill at any moment, and the plain JSON that goes into them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from games.refusal import RefusedError

TEMPORARY = ".tmp-"  # starts the name of whatever is not whole yet, or no longer

Bytes = bytes | memoryview


class PlainError(RefusedError):
    """A value that JSON cannot hold: the message names its place."""


def plain(value: Any, name: str) -> Any:
    """Return a value as plain JSON: tuples become lists, numpy scalars numbers; `name` is for the PlainError.

    Refused are NaN and infinity, keys that are not text, and types that JSON lacks.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise PlainError(f"{name} has the key {key!r}, and keys must be text")
        return {key: plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise PlainError(f"{name} is {value}")
    if value is None or isinstance(value, str | int | float):
        return value
    raise PlainError(f"{name} is of type {type(value).__name__}, which JSON cannot hold")


def json_line(value: Any) -> bytes:
    """Return a plain value as one line of JSON."""
    return json.dumps(value).encode() + b"\n"


def write_file(path: Path, chunks: Iterable[Bytes]) -> str:
    """Write a new file through to the disk and return the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        for chunk in chunks:
            digest.update(chunk)
            write_all(descriptor, chunk)
        flush(descriptor)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def flush(descriptor: int) -> None:
    """Bring what was written to the disk itself; on macOS fsync leaves it in the disk's cache."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # a file system without it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def write_all(descriptor: int, data: Bytes) -> None:
    """Write every byte, in as many pieces as the system takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a new file, which takes the place of `path` in the end: there is the old one or the new one.

    The block writes it, through to the disk. Where it fails, `path` is as it was. Processes that write the same path do
    not meet.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_file(path: Path, *chunks: Bytes) -> None:
    """Put a whole new file in the place of `path`: at any moment there is the old one or the new one."""
    with replacing(path) as temporary:
        write_file(temporary, chunks)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there; one halfway removed no longer has its name."""
    doomed = path.with_name(f"{TEMPORARY}old-{path.name.removeprefix(TEMPORARY)}")
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        path.rename(doomed)
        shutil.rmtree(doomed)


def remove_temporaries(directory: Path) -> None:
    """Remove what a killed process left halfway; precondition: no other process writes in `directory`."""
    for path in directory.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def sync_directory(directory: Path) -> None:
    """Make the names in a directory last, where its file system and its owner let us."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:
        return
    try:
        flush(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
