"""Videos: MP4 files through ffmpeg, which the package imageio-ffmpeg brings along (extra `[video]`)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agents.atari.pixels import Picture
from games.atari import AtariError

QUALITY = 7  # of 10


@contextlib.contextmanager
def video_writer(path: Path, frames_per_second: int) -> Iterator[Callable[[Picture], None]]:
    """Open a video; the block calls what it gets with each picture, all of one size that is even both ways.

    Left early, the video holds what was written. AtariError where imageio-ffmpeg is missing or cannot write.
    """
    try:
        import imageio_ffmpeg
    except ImportError:
        raise AtariError("--video needs imageio-ffmpeg: pip install -e '.[video]'") from None
    writer: Any = None

    def write(picture: Picture) -> None:
        nonlocal writer
        if writer is None:
            height, width = picture.shape[:2]
            writer = imageio_ffmpeg.write_frames(
                str(path), (width, height), fps=frames_per_second, quality=QUALITY, macro_block_size=2
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(picture))

    try:
        yield write
    except OSError as error:
        raise AtariError(f"--video {path}: ffmpeg cannot write it ({str(error).splitlines()[0]})") from None
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        reader = imageio_ffmpeg.read_frames(str(path))
        try:
            next(reader)  # of a disk that was full at the last flush ffmpeg tells nobody
        except (OSError, RuntimeError, StopIteration):
            raise AtariError(f"--video {path}: ffmpeg left no video that can be read; is the disk full?") from None
        finally:
            reader.close()
