"""The model file: one safetensors file with a JSON header and a hash over every byte; numpy only, no torch.

Layout: a little-endian uint64, the length of the safetensors header; the header, JSON padded with spaces to a
multiple of eight; the tensors, end to end. The header's `__metadata__` holds two strings: `playfield`, the
JSON text of the model's own header, and `sha256`, the hash of the whole file with the 64 digits of that field
read as zeros. So any changed byte is noticed, and any safetensors reader can open the file. Equal tensors and
headers give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from games.durable import replace_file
from games.refusal import RefusedError

FORMAT_VERSION = 1

Tensors = dict[str, NDArray[Any]]
Header = dict[str, Any]

_METADATA = "__metadata__"
_HEADER_KEY = "playfield"
_HASH_KEY = "sha256"
_NO_HASH = "0" * 64
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library
_DTYPE_NAMES = {
    np.dtype(dtype): name
    for name, dtype in {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "i1",
        "U64": "<u8",
        "U32": "<u4",
        "U16": "<u2",
        "U8": "u1",
        "BOOL": "?",
    }.items()
}
_DTYPES = {name: dtype for dtype, name in _DTYPE_NAMES.items()}


class ModelFileError(RefusedError):
    """A model file that cannot be used: the message is one line that names the file and what is wrong."""

    def __init__(self, path: str | os.PathLike[str], problem: str) -> None:
        super().__init__(os.fspath(path), problem)  # both, or it could not be sent from one process to another

    def __str__(self) -> str:
        return "model file {}: {}".format(*self.args)


def model_header(
    architecture: Mapping[str, Any],
    *,
    game: str,
    rules_version: int | str,
    training: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
) -> Header:
    """Return the header that every model file of ours carries.

    `architecture` is the JSON form of the network's specification, `training` the configuration it was made
    with. `extras` are further fields that one game's players need, such as the set of planes.
    """
    return {
        **(extras or {}),
        "architecture": dict(architecture),
        "game": game,
        "rules_version": rules_version,
        "training": dict(training),
    }


def write_model_file(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]
) -> None:
    """Write a model file atomically: at any moment `path` is the old file, whole, or the new one, whole.

    `header` must be JSON; `format_version` is added to it. Raises ModelFileError for what the format cannot
    hold and OSError where the disk refuses; either way `path` is left as it was.
    """
    path = Path(path)
    data = _encode(path, tensors, header)
    replace_file(path, data)


def read_model_file(path: str | os.PathLike[str]) -> tuple[Tensors, Header]:
    """Return the tensors (writable copies) and the header of a model file, both verified.

    Raises ModelFileError for a missing, damaged, truncated or foreign file.
    """
    data, header = _read_verified(path)
    try:
        entries = safetensors.deserialize(data)
        tensors = {
            name: np.frombuffer(bytearray(entry["data"]), _DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in entries
        }
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ModelFileError(path, f"its table of tensors is invalid ({_one_line(error)})") from None
    _check_finite(path, tensors)
    return tensors, header


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return the header of a model file; the whole file is verified, as by `read_model_file`."""
    return _read_verified(path)[1]


def _encode(path: Path, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> bytes:
    """Return the bytes of the file."""
    _check_finite(path, tensors)
    if header.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        version = header["format_version"]
        raise ModelFileError(path, f"format version {version!r} cannot be written, only {FORMAT_VERSION}")
    try:
        header_json = _dumps({**header, "format_version": FORMAT_VERSION})
    except (TypeError, ValueError) as error:
        raise ModelFileError(path, f"its header is not JSON ({_one_line(error)})") from None

    table: dict[str, Any] = {_METADATA: {_HEADER_KEY: header_json, _HASH_KEY: _NO_HASH}}
    blocks = []
    end = 0
    # Wide types first keeps every tensor aligned to its item size, as the safetensors library does.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        dtype = tensor.dtype.newbyteorder("<")
        if dtype not in _DTYPE_NAMES or name == _METADATA:
            raise ModelFileError(path, f"tensor {name!r} of type {tensor.dtype} cannot be stored")
        block = tensor.astype(dtype, order="C", copy=False).tobytes()
        table[name] = {
            "dtype": _DTYPE_NAMES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(block)],
        }
        blocks.append(block)
        end += len(block)

    text = _dumps(table).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join([struct.pack("<Q", len(text)), text, *blocks])
    digest = hashlib.sha256(data).hexdigest()
    return _with_hash(data, _NO_HASH, digest)


def _read_verified(path: str | os.PathLike[str]) -> tuple[bytes, Header]:
    """Return the bytes of the file and the model's header, once the hash is known to be right."""
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
                raise ModelFileError(path, f"not a model file, or damaged or cut short ({size} bytes)")
            data = start + file.read()
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error.strerror})") from None

    try:
        metadata = json.loads(data[8 : 8 + length].decode())[_METADATA]
        header_json, digest = metadata[_HEADER_KEY], metadata[_HASH_KEY]
        unhashed = _with_hash(data, digest, _NO_HASH)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelFileError(path, "no readable model header (damaged, or no file of Playfield's)") from None
    if hashlib.sha256(unhashed).hexdigest() != digest:
        raise ModelFileError(path, "its contents do not match its hash (damaged or cut short)")

    try:
        header = json.loads(header_json)
        version = header["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelFileError(path, "its model header is not a JSON object with a format_version") from None
    if version != FORMAT_VERSION:
        raise ModelFileError(path, f"format version {version!r} is not known here, only {FORMAT_VERSION}")
    return data, header


def _with_hash(data: bytes, old: str, new: str) -> bytes:
    """Return the bytes with the digits of the hash field replaced; ValueError where it is not `old`."""
    # Quotes inside JSON strings are escaped, so neither a name nor the model's header can imitate the field.
    header_end = 8 + int(struct.unpack("<Q", data[:8])[0])
    field = f'"{_HASH_KEY}":"{old}"'.encode()
    before, *after = data[:header_end].split(field)
    if len(old) != len(new) or len(after) != 1:
        raise ValueError("no hash field")
    return b"".join([before, f'"{_HASH_KEY}":"{new}"'.encode(), after[0], data[header_end:]])


def _check_finite(path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise ModelFileError(path, f"tensor {name!r} holds a NaN or an infinity")


def _dumps(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
