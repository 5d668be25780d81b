"""Records in archives and folders: the same games from each, faults named, sizes capped, an honest cache."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from games.archives import ArchiveError, Loaded, cache, fault_line, load_records, members
from games.archives.__main__ import main

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "go"

FILES = {
    "one/a.sgf": b"(;SZ[9];B[aa];W[bb])",
    "one/b.SGF": b"(;SZ[9];B[cc])(;SZ[9];W[dd];B[ee])",
    "two/bad.sgf": b"(;SZ[9];B[aa];W[aa])",
    "two/empty.sgf": b"",
    "two/notes.txt": b"no record",
    "z.sgf": b"(;SZ[9];B[ff])",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PLAYFIELD_RECORDS", str(folder))
    return folder


def make_folder(path: Path) -> None:
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def make_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)


def make_tar(path: Path) -> None:
    packing = path.suffix[1:] if path.suffix != ".tar" else ""
    with tarfile.open(path, f"w:{packing}") as archive:
        folder = tarfile.TarInfo("one")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in FILES.items():
            add(archive, name, content)


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def games_of(loaded: Loaded) -> list[tuple[str, list[int]]]:
    records = loaded.records
    return [(records.name(i).partition(": ")[2], records.actions(i).tolist()) for i in range(len(records))]


EXPECTED = [("one/a.sgf", [0, 10]), ("one/b.SGF", [20]), ("one/b.SGF#2", [30, 40]), ("z.sgf", [50])]
REASONS = {
    "two/bad.sgf": "move 2, W[aa], is not legal: there is a stone",
    "two/empty.sgf": "not an SGF record: nothing in it starts with (;",
}
MAKERS: dict[str, Callable[[Path], None]] = {
    "kgs": make_folder,
    "kgs.zip": make_zip,
    **dict.fromkeys(("kgs.tar", "kgs.tar.xz", "kgs.tar.gz", "kgs.tar.bz2"), make_tar),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_games_come_from_every_container(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path / name)
    first = load_records([tmp_path / name], "go")
    assert games_of(first) == EXPECTED
    assert {fault.name: fault.reason for fault in first.faults} == {f"{name}: {k}": v for k, v in REASONS.items()}
    assert first.records.archives == (name,) and first.records.collections == ("kgs",)
    assert (first.num_cached, first.num_sources) == (0, 1)
    again = load_records([tmp_path / name], "go")
    assert games_of(again) == EXPECTED and again.faults == first.faults and again.num_cached == 1


def test_a_folder_of_archives_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    make_zip(folder / "kgs-2.zip")
    make_tar(folder / "deep" / "pro-1.tar.xz")
    (folder / "README.md").write_text("about")
    (folder / "c.sgf").write_bytes(b"(;SZ[9];B[ii])")
    loaded = load_records([folder], "go")
    assert loaded.records.archives == ("pro-1.tar.xz", "kgs-2.zip", "data")
    assert games_of(loaded) == [*EXPECTED, *EXPECTED, ("c.sgf", [80])]
    assert loaded.num_others == 3  # and two/notes.txt of either archive
    assert games_of(load_records([folder / "c.sgf", folder / "kgs-2.zip"], "go")) == [("c.sgf", [80]), *EXPECTED]


def test_files_named_one_by_one_are_read_together(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    make_folder(folder)
    games = [tmp_path / f"{number}.sgf" for number in range(5)]
    for number, path in enumerate(games):
        path.write_bytes(b"(;SZ[9];B[a%c])" % (ord("a") + number))
    found = members.find_sources([*games[:3], folder, games[3], folder / "z.sgf", games[4]], {".sgf"})
    inside = ("one/a.sgf", "one/b.SGF", "two/bad.sgf", "two/empty.sgf", "z.sgf")
    expected = [("0.sgf", "1.sgf", "2.sgf"), inside, ("3.sgf",), ("z.sgf",), ("4.sgf",)]
    assert [source.files for source in found.sources] == expected


def test_a_reader_that_dies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.zip", "b.zip"):
        make_zip(tmp_path / name)
    monkeypatch.setattr("games.archives.LEAST_BYTES", 0)
    monkeypatch.setattr("games.archives.end_with", _die)
    with pytest.raises(ArchiveError, match="a process that read records died"):
        load_records([tmp_path], "go", workers=2, keep=False)


def _die(lifeline: object) -> None:
    os._exit(1)


def test_workers_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.tar.xz", "b.zip", "c.tar")]
    for path in paths:
        MAKERS["kgs" + path.name[1:]](path)
    monkeypatch.setattr("games.archives.LEAST_BYTES", 0)
    alone, together = (load_records(paths, "go", workers=workers, keep=False) for workers in (1, 2))
    assert games_of(together) == games_of(alone) == EXPECTED * 3
    assert together.faults == alone.faults


def test_paths_without_records_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.doc").write_text("x")
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "missing", "there is no file or folder"),
        (tmp_path / "x.doc", r"by its name; allowed are folders and .sgf, .tar, .tar.xz"),
        (tmp_path / "empty", "no records in .*: no .sgf, no archive"),
    ):
        with pytest.raises(ArchiveError, match=message):
            load_records([path], "go")


# --- damage ---------------------------------------------------------------------------------------------------------


def only_fault(path: Path) -> str:
    loaded = load_records([path], "go")
    (fault,) = [fault for fault in loaded.faults if fault.name.partition(": ")[2] not in REASONS]
    assert fault.name.partition(": ")[0] == path.name
    return fault.reason


@pytest.mark.parametrize("name", [name for name in MAKERS if ".tar" in name])
def test_of_a_torn_archive_what_comes_before_the_tear_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    packing = path.suffix[1:] if path.suffix != ".tar" else ""
    blocks = {"compresslevel": 1} if packing == "bz2" else {}  # small ones, so that some are whole
    with tarfile.open(path, f"w:{packing}", **blocks) as archive:
        for number in range(40):
            add(archive, f"{number}.sgf", b"(;SZ[9];B[aa]C[" + os.urandom(3000).hex().encode() + b"])")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    loaded = load_records([path], "go")
    (fault,) = loaded.faults
    count = len(loaded.records)
    assert 0 < count < 40 and fault.name == name
    assert fault.reason.startswith(f"damaged, only the {count} files before that were read: ")


@pytest.mark.parametrize("damage", ["header", "end", "cut after a file"])
def test_a_damaged_header_is_not_the_end_of_an_archive(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "kgs.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(4):
            add(archive, f"{number}.sgf", f"(;SZ[9];B[aa]C[{number}])".encode())
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[2 * 512 + 10] ^= 1
    path.write_bytes(content[: {"header": len(content), "end": 4 * 1024, "cut after a file": 2 * 1024}[damage]])
    loaded = load_records([path], "go")
    (fault,) = loaded.faults
    count = {"header": 1, "end": 4, "cut after a file": 2}[damage]
    assert len(loaded.records) == count
    assert fault.reason.startswith(f"damaged, only the {count} files before that were read: it ends, or has a damaged")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are made as Unix has them")
def test_links_to_nothing_and_pipes_are_faults(tmp_path: Path) -> None:
    (tmp_path / "good.sgf").write_bytes(b"(;SZ[9];B[aa];W[bb])")
    (tmp_path / ".#good.sgf").symlink_to("nowhere")
    (tmp_path / "old.zip").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.sgf")
    loaded = load_records([tmp_path], "go")
    assert len(loaded.records) == 1
    assert len(loaded.faults) == 3


@pytest.mark.parametrize("name", ["kgs.zip", "kgs.tar"])
def test_links_and_archives_in_an_archive_are_named_and_the_rest_is_counted(name: str, tmp_path: Path) -> None:
    links = {"link.sgf": "a.sgf", "link.txt": "a.txt"}
    files = {"a.sgf": b"(;SZ[9];B[aa])", "inner.zip": b"PK", "inner.tar.gz": b"", "a.txt": b""}
    if name == "kgs.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            for link, target in links.items():
                info = zipfile.ZipInfo(link)
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                packed.writestr(info, target)
            for file, content in files.items():
                packed.writestr(file, content)
    else:
        with tarfile.open(tmp_path / name, "w") as archive:
            for (link, target), kind in zip(links.items(), (tarfile.LNKTYPE, tarfile.SYMTYPE), strict=True):
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = kind, target
                archive.addfile(entry)
            for file, content in files.items():
                add(archive, file, content)
    for _ in ("read", "cached"):
        loaded = load_records([tmp_path / name], "go")
        assert games_of(loaded) == [("a.sgf", [0])] and loaded.num_others == 2
        reasons = {fault.name.removeprefix(f"{name}: "): fault.reason for fault in loaded.faults}
        assert list(reasons) == ["link.sgf", "inner.zip", "inner.tar.gz"]
        assert "only plain files are read" in reasons["link.sgf"] and "unpack it" in reasons["inner.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="links are made as Unix has them")
def test_links_to_folders_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.sgf").write_bytes(b"(;SZ[9];B[bb])")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.sgf").write_bytes(b"(;SZ[9];B[aa])")
    for name in ("more", "kgs.sgf"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere")
    loaded = load_records([tmp_path / "data"], "go")
    assert games_of(loaded) == [("a.sgf", [0])] and loaded.num_others == 1
    assert [(fault.name, fault.reason) for fault in loaded.faults] == [("data: kgs.sgf", "no regular file")]


@pytest.mark.parametrize("name", [name for name in MAKERS if "." in name])
def test_a_file_that_is_no_archive_at_all(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no archive, only its name " * 50)
    assert only_fault(tmp_path / name).startswith("damaged, only the 0 files before that were read: ")


def test_faults_of_games_and_of_archives_are_counted_apart(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).write_bytes(b"no archive")
    (tmp_path / "c.sgf").write_bytes(b"(;SZ[9];B[zz])")
    hint = " (python -m games.archives --game go PATH ... lists them); the first: "
    archives, games = (load_records([tmp_path / name], "go").faults for name in ("a.zip", "c.sgf"))
    assert fault_line(archives, "go").startswith(f"1 archive damaged{hint}a.zip: damaged, only the 0 files")
    assert fault_line(games, "go").startswith(f"1 game not read{hint}{tmp_path.name}: c.sgf: move 1")
    assert fault_line(load_records([tmp_path], "go").faults, "go").startswith(
        f"1 game not read, 2 archives damaged{hint}"
    )
    assert fault_line(games * 2, "go").startswith("2 games not read (")


def test_a_damaged_member_of_a_zip_file_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "kgs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    path.write_bytes(path.read_bytes().replace(b"(;SZ[9];B[ff])", b"(;SZ[9];B[gg])"))
    loaded = load_records([path], "go")
    assert games_of(loaded) == EXPECTED[:3]
    assert "CRC" in loaded.faults[-1].reason and loaded.faults[-1].name == "kgs.zip: z.sgf"


@pytest.mark.parametrize("name", ["kgs.zip", "kgs.tar.xz", "kgs"])
def test_a_file_too_large_is_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "one/huge.sgf", b"(;C[" + b"x" * (5 << 20) + b"])")
    MAKERS[name](tmp_path / name)
    assert only_fault(tmp_path / name).endswith("bytes; files of at most 4,194,304 are read")
    assert games_of(load_records([tmp_path / name], "go")) == EXPECTED


@pytest.mark.parametrize("name", ["kgs.zip", "kgs.tar.xz", "kgs.tar"])
def test_an_archive_that_unpacks_to_too_much_is_left(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MAX_UNPACKED", 30)
    MAKERS[name](tmp_path / name)
    assert "unpacks to more than 30 bytes" in only_fault(tmp_path / name)


def test_a_header_that_asks_for_much_memory_is_left(tmp_path: Path) -> None:
    path = tmp_path / "kgs.tar"
    with path.open("wb") as file:
        info = tarfile.TarInfo("././@PaxHeader")
        info.type, info.size = tarfile.XHDTYPE, 1 << 40
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(b"\0" * 2048)
    assert "a header of" in only_fault(path)


# --- the cache ------------------------------------------------------------------------------------------------------


def entry(folder: Path) -> Path:
    (path,) = folder.glob("*.npz")
    return path


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    make_folder(tmp_path / "kgs")
    load_records([tmp_path / "kgs"], "go")
    (tmp_path / "kgs/z.sgf").write_bytes(b"(;SZ[9];B[gg])")
    loaded = load_records([tmp_path / "kgs"], "go")
    assert games_of(loaded)[-1] == ("z.sgf", [60]) and loaded.num_cached == 0


def test_changed_readers_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_zip(tmp_path / "kgs.zip")
    load_records([tmp_path / "kgs.zip"], "go")
    monkeypatch.setattr(cache, "_readers_digest", lambda: b"other sources")
    assert load_records([tmp_path / "kgs.zip"], "go").num_cached == 0


def test_a_damaged_entry_is_made_anew(tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_zip(tmp_path / "kgs.zip")
    load_records([tmp_path / "kgs.zip"], "go")
    whole = entry(own_cache).read_bytes()
    place = whole.index(b"moves.npy") + 200  # in the array itself
    for damaged in (b"", whole[:1000], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
        entry(own_cache).write_bytes(damaged)
        loaded = load_records([tmp_path / "kgs.zip"], "go")
        assert games_of(loaded) == EXPECTED and loaded.num_cached == 0
        assert "reading the games anew" in capsys.readouterr().err
        assert entry(own_cache).read_bytes() == whole or load_records([tmp_path / "kgs.zip"], "go").num_cached == 1


def test_where_nothing_can_be_kept_that_is_said(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_cache.write_text("a file in place of the folder")
    make_zip(tmp_path / "kgs.zip")
    assert games_of(load_records([tmp_path / "kgs.zip"], "go")) == EXPECTED
    assert "cannot keep the games that were read" in capsys.readouterr().err


def test_nothing_is_kept_unless_asked_and_old_entries_go(tmp_path: Path, own_cache: Path) -> None:
    make_zip(tmp_path / "kgs.zip")
    load_records([tmp_path / "kgs.zip"], "go", keep=False)
    assert not own_cache.exists()
    own_cache.mkdir()
    names = {
        f"go-{'0' * 32}.npz": False,
        f"{cache.TEMPORARY}1-go-{'0' * 32}.npz": False,
        "my own games.npz": True,
        ".tmp-x": True,
    }
    for name in names:
        (own_cache / name).write_bytes(b"")
        os.utime(own_cache / name, (0, 0))
    load_records([tmp_path / "kgs.zip"], "go")
    assert {name: (own_cache / name).exists() for name in names} == names
    assert len([*own_cache.iterdir()]) == 3


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_counts_and_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_zip(tmp_path / "kgs.zip")
    assert main([str(tmp_path / "kgs.zip"), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "4 games, 6 moves; 2 could not be read; 1 other file;" in printed
    assert "kgs.zip: two/bad.sgf: move 2, W[aa], is not legal: there is a stone" in printed
    assert main([str(tmp_path / "kgs.zip"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["games"], report["from_cache"], len(report["faults"])) == (4, 1, 2)
    assert report["archives"]["kgs.zip"]["unknown"] == 4


@pytest.mark.skipif(sys.platform != "linux", reason="names of other bytes than UTF-8 are Linux's")
def test_names_that_are_no_utf8_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.sgf").write_bytes(b"no record")
    with tarfile.open(tmp_path / name / f"{name}.tar", "w") as archive:
        add(archive, f"{name}.sgf", b"no record")
    assert main([str(tmp_path / name), "--fresh"]) == 0
    printed = capsys.readouterr()
    for text in ("  caf\ufffd: caf\ufffd.sgf: not an", "  caf\ufffd.tar: caf\ufffd.sgf: not an", "\ncaf\ufffd.tar "):
        assert text in printed.out
    assert "%  caf\ufffd" in printed.err


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "games.archives", str(tmp_path / "missing")], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert result.stderr == f"python -m games.archives: there is no file or folder {tmp_path / 'missing'}\n"


@pytest.mark.skipif(not DATA.is_dir(), reason="the game records are not on this machine")
def test_professional_games_on_9x9_are_all_read() -> None:
    loaded = load_records([DATA / "9x9-pro.tar.xz"], "go")
    assert (len(loaded.records), loaded.records.moves.size, loaded.faults) == (415, 18_948, [])
    assert loaded.records.of_board(9, 9).all() and (loaded.records.result != 2).all()
