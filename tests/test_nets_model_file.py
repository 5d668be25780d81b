"""The model file: round trips, determinism, and refusal of every kind of damage."""

import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from nets import anaconda_layout
from nets.model_file import ModelFileError, model_header, read_header, read_model_file, write_model_file

TENSORS = {
    "weights": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "king_value": np.array(2.0, dtype=np.float32),
    "moves": np.arange(-3, 3, dtype=np.int8),
}
HEADER = model_header({"kind": "x", "filters": 3}, game="checkers", rules_version=1, training={"name": 'é "quoted"\n'})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    write_model_file(file, TENSORS, HEADER)
    return file


def refusal(path: Path) -> str:
    """Return the message with which a file is refused, by both doors alike."""
    with pytest.raises(ModelFileError) as refused:
        read_model_file(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def with_right_hash(data: bytes) -> bytes:
    """Return a file's bytes with the hash made anew, from the description of the format alone."""
    length = struct.unpack("<Q", data[:8])[0]
    digest = json.loads(data[8 : 8 + length])["__metadata__"]["sha256"].encode()
    zeroed = data.replace(digest, b"0" * 64)
    return zeroed.replace(b"0" * 64, hashlib.sha256(zeroed).hexdigest().encode())


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return a file's bytes with text of its header replaced by text as long, and the right hash."""
    assert len(old) == len(new)
    assert data.count(old) == 1
    return with_right_hash(data.replace(old, new))


def test_a_file_comes_back_as_it_was_written(path: Path) -> None:
    tensors, header = read_model_file(path)
    assert header == {**HEADER, "format_version": 1}
    assert read_header(path) == header
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(tensors[name], tensor)
        assert tensors[name].flags.writeable


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ">f4", ">i2"])
def test_every_type_and_layout_of_array_survives(tmp_path: Path, dtype: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype).transpose(2, 0, 1)[::2]
    write_model_file(tmp_path / "m", {"a": array, "none": np.zeros((0, 3), dtype)}, {})
    tensors, _ = read_model_file(tmp_path / "m")
    assert tensors["a"].dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(tensors["a"], array)
    assert tensors["none"].shape == (0, 3)


def test_equal_contents_give_equal_bytes_in_any_order(path: Path) -> None:
    before = path.read_bytes()
    write_model_file(path, dict(reversed(TENSORS.items())), dict(reversed(HEADER.items())))
    assert path.read_bytes() == before
    tensors, header = read_model_file(path)
    write_model_file(path, tensors, header)
    assert path.read_bytes() == before


def test_the_safetensors_library_reads_the_file(path: Path) -> None:
    tensors = safetensors.numpy.load_file(path)
    assert tensors.keys() == TENSORS.keys()
    np.testing.assert_array_equal(tensors["weights"], TENSORS["weights"])


def test_the_hash_is_the_one_described(path: Path) -> None:
    data = path.read_bytes()
    assert with_right_hash(data) == data


def test_any_flipped_byte_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for place in range(len(data)):
        for flip in (1 << place % 8, 0x20):  # 0x20 turns a letter's case, in the hash too
            damaged = bytearray(data)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            refusal(path)


def test_any_truncation_and_any_addition_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        refusal(path)
    for addition in (b"\0", b" ", data):
        path.write_bytes(data + addition)
        refusal(path)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path, path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere")
    assert "directory" in refusal(tmp_path).lower()
    safetensors.numpy.save_file(TENSORS, path)
    assert "no readable model header" in refusal(path)
    path.write_text("weights = [1, 2, 3]  # " + "not a model " * 50)
    assert "not a model file" in refusal(path)


def test_what_is_wrong_with_a_file_can_be_sent_from_a_worker(tmp_path: Path) -> None:
    error = ModelFileError(tmp_path / "model.safetensors", "it is none")
    assert str(error) == f"model file {tmp_path}/model.safetensors: it is none"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_consistent_file_of_another_version_or_form_is_refused(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(replaced(data, rb"\"format_version\":1", rb"\"format_version\":2"))
    assert "format version 2" in refusal(path)
    path.write_bytes(replaced(data, rb"\"format_version\":1", rb"\"format_verzion\":1"))
    assert "format_version" in refusal(path)
    path.write_bytes(replaced(data, b'"dtype":"I8"', b'"dtype":"I9"'))
    assert "table of tensors" in refusal(path)
    path.write_bytes(replaced(data, b'"shape":[3,4]', b'"shape":[3,5]'))
    assert "table of tensors" in refusal(path)


def test_what_the_format_cannot_hold_is_refused_and_nothing_is_lost(path: Path) -> None:
    before = path.read_bytes()
    for tensors, header, words in [
        ({"a": np.array([1.0, np.nan])}, {}, "'a' holds a NaN"),
        ({"a": np.array([1j])}, {}, "'a' of type complex128"),
        ({"a": np.array(["x"], dtype=object)}, {}, "'a' of type object"),
        ({"__metadata__": np.zeros(1)}, {}, "__metadata__"),
        ({}, {"a": float("nan")}, "not JSON"),
        ({}, {"a": np.zeros(1)}, "not JSON"),
        ({}, {"format_version": 9}, "format version 9"),
    ]:
        with pytest.raises(ModelFileError, match=words) as refused:
            write_model_file(path, tensors, header)
        assert "\n" not in str(refused.value)
        assert path.read_bytes() == before


def test_a_reader_of_the_old_file_is_not_disturbed_by_a_write(path: Path) -> None:
    before = path.read_bytes()
    with path.open("rb") as old:
        write_model_file(path, {}, {})
        assert old.read() == before
    assert path.read_bytes() != before


def test_a_failed_write_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_model_file(path, {}, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_files_and_layout_need_no_torch() -> None:
    code = "import sys, nets.model_file, nets.anaconda_layout; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_anacondas_layout_has_the_published_numbers() -> None:
    windows = anaconda_layout.windows()
    assert len(windows) == 91
    squares, starts = anaconda_layout.connections()
    assert (len(squares), starts[-1], anaconda_layout.NUM_WEIGHTS) == (854, 854, 5046)
    assert anaconda_layout.HIDDEN_2_WEIGHTS.start == 854 + 91 == 945
    assert windows[0].tolist() == [0, 4, 5, 8]  # rows 0-2, columns 0-2: squares 1, 5, 6, 9
    assert windows[1].tolist() == [0, 1, 5, 8, 9]  # rows 0-2, columns 1-3
    assert windows[90].tolist() == list(range(32))
    for number, window in enumerate(windows):
        assert squares[starts[number] : starts[number + 1]].tolist() == window.tolist() == sorted(window.tolist())
