"""Checkpoints: folders `step-N` that are whole or are not there, with a hash over every byte.

A folder holds arrays.safetensors, state.json and, written last, manifest.json, which has the hashes of the two and
ends in its own. It is written under a temporary name, every file flushed to the disk, and renamed into place.
What is read back is checked first, and never unpickled or evaluated.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from games.durable import TEMPORARY, Bytes, json_line, plain, remove_folder, sync_directory, write_file
from games.refusal import RefusedError

FORMAT_VERSION = 1

Arrays = dict[str, NDArray[Any]]
Manifest = dict[str, Any]

_ARRAYS = "arrays.safetensors"
_STATE = "state.json"
_MANIFEST = "manifest.json"


class CheckpointError(RefusedError):
    """Contents that no checkpoint can hold, or a checkpoint that cannot be read: one line."""


class DamageError(CheckpointError):
    """A checkpoint that is not as it was written; the message says how that shows."""


@dataclass(frozen=True)
class Checkpoint:
    """What a learner needs to go on after a step, as it was given to `Run.save_checkpoint`."""

    step: int
    arrays: Arrays  # writable
    state: dict[str, Any]  # JSON: tuples come back as lists


def write_checkpoint(
    folder: Path, step: int, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any], metrics_sha256: str
) -> None:
    """Write `folder/step-N`; where that fails, nothing in `folder` has changed and the call may be repeated.

    Arrays are of bool, integers or floats of up to 64 bits. Raises CheckpointError or PlainError for NaN, infinity
    and what the files cannot hold, OSError for a disk that refuses.
    """
    contents: dict[str, list[Bytes]] = {_ARRAYS: _array_chunks(arrays), _STATE: [json_line(plain(state, "state"))]}
    target = folder / f"step-{step}"
    temporary = folder / f"{TEMPORARY}step-{step}"
    try:
        remove_folder(temporary)
        temporary.mkdir()
        files = {name: write_file(temporary / name, chunks) for name, chunks in contents.items()}
        manifest = {"format_version": FORMAT_VERSION, "step": step, "files": files, "metrics_sha256": metrics_sha256}
        write_file(temporary / _MANIFEST, [_manifest_bytes(manifest)])
        sync_directory(temporary)
        remove_folder(target)  # there only where an earlier try failed after its renaming
        temporary.rename(target)
        sync_directory(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_checkpoint(folder: Path, step: int) -> Checkpoint:
    """Return a checkpoint, verified; raises CheckpointError."""
    path = folder / f"step-{step}"
    verified_manifest(folder, step)
    try:
        return Checkpoint(step, load_file(path / _ARRAYS), json.loads((path / _STATE).read_bytes()))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: {' '.join(str(error).split())}") from error


def newest_whole(folder: Path) -> tuple[Manifest | None, dict[int, str]]:
    """Return the manifest of the newest whole checkpoint and, by step, what ails those after it.

    The manifest is None where there is no checkpoint; where there are some but none is whole, CheckpointError.
    """
    damage: dict[int, str] = {}
    for step in saved_steps(folder):
        try:
            return verified_manifest(folder, step), damage
        except DamageError as error:
            damage[step] = str(error)
    if damage:
        raise CheckpointError("no checkpoint is whole: " + "; ".join(damage.values()))
    return None, damage


def saved_steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in place, newest first."""
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return sorted((int(name[5:]) for name in names if re.fullmatch("step-(0|[1-9][0-9]*)", name)), reverse=True)


def set_aside(folder: Path, step: int) -> str:
    """Rename a damaged checkpoint, so that the run can save that step again; return its new name."""
    aside = folder / f"damaged-step-{step}"
    remove_folder(aside)
    (folder / f"step-{step}").rename(aside)
    return aside.name


def verified_manifest(folder: Path, step: int) -> Manifest:
    """Return a checkpoint's manifest once every byte of every file is known to be as written."""
    name, path = f"step-{step}", folder / f"step-{step}"
    try:
        data = (path / _MANIFEST).read_bytes()
        manifest: Manifest = json.loads(data)
        if data != _manifest_bytes({key: value for key, value in manifest.items() if key != "sha256"}):
            raise DamageError(f"{name}/{_MANIFEST} does not match its hash")
        if manifest["format_version"] != FORMAT_VERSION:
            version = manifest["format_version"]
            raise CheckpointError(f"{name} has format version {version!r}, and only {FORMAT_VERSION} is known here")
        if manifest["step"] != step:
            raise DamageError(f"{name} is a renamed step-{manifest['step']}")
        for file_name in (_ARRAYS, _STATE):
            with (path / file_name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != manifest["files"][file_name]:
                raise DamageError(f"{name}/{file_name} does not match its hash")
    except OSError as error:
        raise DamageError(f"{name}/{Path(error.filename or _MANIFEST).name}: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError, RecursionError):
        raise DamageError(f"{name}/{_MANIFEST} is cut short or unreadable") from None
    return manifest


def _manifest_bytes(manifest: Manifest) -> bytes:
    """Return the one text of a manifest, ending in its own hash."""
    digest = hashlib.sha256(json_line(manifest)).hexdigest()
    return json.dumps({**manifest, "sha256": digest}, indent=2).encode() + b"\n"


def _array_chunks(arrays: Mapping[str, NDArray[Any]]) -> list[Bytes]:
    """Return the bytes of a safetensors file in pieces that share the arrays' memory, however large they are."""
    header: dict[str, Any] = {}
    blocks: list[Bytes] = []
    end = 0
    # Wide types first, so that every array lies at a multiple of its item size, as readers expect.
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
        if kind not in "biuf" or bits > 64 or name == "__metadata__":
            raise CheckpointError(f"array {name!r} of type {array.dtype} cannot be stored")
        if kind == "f" and not np.isfinite(array).all():
            place = np.argwhere(~np.isfinite(array))[0].tolist()
            raise CheckpointError(f"array {name!r} holds {array[tuple(place)]} at {place}")
        block = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        header[name] = {
            "dtype": "BOOL" if kind == "b" else f"{kind.upper()}{bits}",
            "shape": list(array.shape),
            "data_offsets": [end, end + block.nbytes],
        }
        blocks.append(block.reshape(-1).view(np.uint8).data)
        end += block.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *blocks]
