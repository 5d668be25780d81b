"""The files inside archives and folders, read in place: nothing is unpacked to the disk, and sizes are capped.

What is damaged is a fault with its name, never an exception: the files before and beside it are read.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, NamedTuple

from games.record_formats import Fault
from games.refusal import RefusedError

MAX_UNPACKED = 8 << 30  # bytes an archive may unpack to; all games of a large server's year are some 3 GB
MAX_HEADER = 1 << 20  # bytes of a tar member's extended header
LOOSE_FILES = 5_000  # that are read and cached together

TAR_SUFFIXES = (".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar.bz2")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip")
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError)


class ArchiveError(RefusedError):
    """A path that holds no records; the message is one line."""


class File(NamedTuple):
    """One file of games, whole."""

    name: str
    content: bytes


class Other(NamedTuple):
    """A file that is neither records nor an archive by its name."""

    name: str


@dataclass(frozen=True)
class Source:
    """An archive, or loose files of one folder: what is read, and cached, in one piece."""

    name: str  # of the archive, or of the folder
    folder: Path
    files: tuple[str, ...]  # the archive, or loose files: paths in the folder
    is_archive: bool
    size: int  # bytes of the files


class Found(NamedTuple):
    """What lies under some paths."""

    sources: list[Source]
    num_others: int  # files and links to folders that are neither archives nor records; of archives see `read_members`


def find_sources(paths: Sequence[Path], suffixes: Collection[str]) -> Found:
    """Return the archives and files of records at or under some paths, in an order that depends on their names alone.

    ArchiveError for a path that does not exist, and for a file that is neither.
    """
    sources: list[Source] = []
    num_others = 0
    for path, *more in _grouped(paths, suffixes):
        if _is_loose(path, suffixes):
            sources += _loose(path.parent, [path, *more])
        elif path.is_dir():
            found = sorted(
                Path(where, name)
                for where, folders, names in os.walk(path)
                for name in [*names, *(folder for folder in folders if Path(where, folder).is_symlink())]
            )
            archives = [file for file in found if _is_archive(file)]
            loose = [file for file in found if not _is_archive(file) and file.suffix.lower() in suffixes]
            num_others += len(found) - len(archives) - len(loose)
            sources += [_archive(file) for file in archives]
            sources += _loose(path, loose)
        elif not path.exists():
            raise ArchiveError(f"there is no file or folder {path}")
        elif _is_archive(path):
            sources.append(_archive(path))
        else:
            allowed = ", ".join((*sorted(suffixes), *ARCHIVE_SUFFIXES))
            raise ArchiveError(f"{path} is no file of records by its name; allowed are folders and {allowed}")
    if not paths:
        raise ArchiveError("no records: name files, archives or folders of them")
    if not sources:
        raise ArchiveError(f"no records in {', '.join(map(str, paths))}: no {', '.join(sorted(suffixes))}, no archive")
    return Found(sources, num_others)


def _is_archive(path: PurePath) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def _archive(path: Path) -> Source:
    return Source(_printable(path.name), path.parent, (path.name,), True, _size(path))


def _grouped(paths: Sequence[Path], suffixes: Collection[str]) -> Iterator[list[Path]]:
    """Yield paths one by one, but files of records that follow each other and lie in one folder together."""

    def folder_of(path: Path) -> Path | None:
        return path.parent if _is_loose(path, suffixes) else None

    for folder, some in itertools.groupby(paths, folder_of):
        if folder is None:
            yield from ([path] for path in some)
        else:
            yield list(some)


def _is_loose(path: Path, suffixes: Collection[str]) -> bool:
    is_record = path.suffix.lower() in suffixes and not _is_archive(path)
    return is_record and path.exists() and not path.is_dir()


def _loose(folder: Path, files: Sequence[Path]) -> Iterator[Source]:
    """Yield the files of a folder in parts that are read and cached together."""
    for first in range(0, len(files), LOOSE_FILES):
        part = files[first : first + LOOSE_FILES]
        names = tuple(file.relative_to(folder).as_posix() for file in part)
        yield Source(_printable(folder.resolve().name), folder, names, False, sum(map(_size, part)))


def _size(path: Path) -> int:
    """Return a file's bytes; 0 for what cannot be read, of which `read_members` tells."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_members(source: Source, suffixes: Collection[str], max_bytes: int) -> Iterator[File | Fault | Other]:
    """Yield the files of records of a source, by their suffixes; a Fault for each that is damaged or larger.

    Links and archives in an archive are not followed: where their names promise records, each is a Fault.
    """
    if not source.is_archive:
        yield from _read_loose(source, max_bytes)
        return
    path = source.folder / source.files[0]
    read = _read_zip if path.name.lower().endswith(".zip") else _read_tar
    num_read = 0
    try:
        _check_regular(path)
        for member in read(path, suffixes, max_bytes):
            num_read += isinstance(member, File)
            yield member
    except DAMAGE as error:
        reason = f"damaged, only the {num_read:,} files before that were read: {_line(error)}"
        yield Fault("", reason, is_archive=True)


def _read_loose(source: Source, max_bytes: int) -> Iterator[File | Fault]:
    for file in source.files:
        path, name = source.folder / file, _printable(file)
        try:
            _check_regular(path)
            size = path.stat().st_size
            yield File(name, path.read_bytes()) if size <= max_bytes else _too_large(name, size, max_bytes)
        except OSError as error:
            yield Fault(name, _line(error))


def _check_regular(path: Path) -> None:
    """Raise OSError for what is no file, such as a pipe, whose end would never come."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("no regular file")


def _read_zip(path: Path, suffixes: Collection[str], max_bytes: int) -> Iterator[File | Fault | Other]:
    total = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            is_plain = not stat.S_ISLNK(member.external_attr >> 16)
            if (unread := _unread(member.filename, suffixes, is_plain)) is not None:
                yield unread
                continue
            if member.file_size > max_bytes:
                yield _too_large(member.filename, member.file_size, max_bytes)
                continue
            total += member.file_size  # zipfile reads no more than this
            if total > MAX_UNPACKED:
                raise ArchiveError(f"it unpacks to more than {MAX_UNPACKED:,} bytes")
            try:
                yield File(member.filename, archive.read(member))
            except DAMAGE as error:
                yield Fault(member.filename, _line(error))


def _read_tar(path: Path, suffixes: Collection[str], max_bytes: int) -> Iterator[File | Fault | Other]:
    with _open_tar(path) as unpacked:
        stream = _Stream(unpacked)
        archive = tarfile.TarFile(fileobj=stream, mode="r")  # type: ignore[arg-type]  # reads, seeks and tells
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep the headers of all
            if member.isdir():
                continue
            name = _printable(member.name)
            is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            if (unread := _unread(name, suffixes, is_plain)) is not None:
                yield unread
                continue
            if member.size > max_bytes:
                yield _too_large(name, member.size, max_bytes)
                continue
            stream.seek(member.offset_data)
            content = stream.read(member.size, max_bytes)
            if len(content) < member.size:
                raise ArchiveError(f"it ends inside {name}")
            yield File(name, content)
        if stream.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes every header that it cannot read for the end
            raise ArchiveError(f"it ends, or has a damaged header, at byte {archive.offset:,}")


def _open_tar(path: Path) -> IO[bytes]:
    """Open a tar file's unpacked bytes."""
    name = path.name.lower()
    if name.endswith("xz"):
        return lzma.open(path)
    if name.endswith("gz"):
        return gzip.open(path)  # type: ignore[return-value]  # reads bytes
    return bz2.open(path) if name.endswith("bz2") else path.open("rb")


class _Stream:
    """Unpacked bytes, read forwards, that refuse to be too many."""

    def __init__(self, unpacked: IO[bytes]) -> None:
        self.unpacked = unpacked
        self.position = 0
        self.last = b""  # what was read last

    def read(self, size: int, limit: int = MAX_HEADER) -> bytes:
        if not 0 <= size <= limit:
            raise ArchiveError(f"a header of {size:,} bytes")
        content = self.unpacked.read(size)
        self.position += len(content)
        if self.position > MAX_UNPACKED:
            raise ArchiveError(f"it unpacks to more than {MAX_UNPACKED:,} bytes")
        self.last = content
        return content

    def seek(self, position: int) -> None:
        if position < self.position:
            raise ArchiveError("its members overlap")
        while self.position < position and self.read(min(position - self.position, MAX_HEADER)):
            pass

    def tell(self) -> int:
        return self.position


def _unread(name: str, suffixes: Collection[str], is_plain: bool) -> Fault | Other | None:
    """Return what a member of an archive counts as that is not read, None for records in a plain file."""
    if _is_archive(PurePosixPath(name)):
        return Fault(name, "an archive in an archive; unpack it and name it by itself")
    if PurePosixPath(name).suffix.lower() not in suffixes:
        return Other(name)
    return None if is_plain else Fault(name, "a link or a device; in archives only plain files are read")


def _printable(name: str) -> str:
    """Return a file's name with U+FFFD in place of bytes that are no text, which Python keeps as surrogates."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", name)


def _too_large(name: str, size: int, max_bytes: int) -> Fault:
    return Fault(name, f"{size:,} bytes; files of at most {max_bytes:,} are read")


def _line(error: BaseException) -> str:
    """Return an error as one line, with its type where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__
