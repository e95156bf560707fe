"""Images of enemies: damaged, of others, out of range. Each is refused by a sentence."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from migration import image
from migration.image import BadImage
from migration.native.files.pipe import Pipe, PipeEnd
from migration.native.files.regular import Named, Nameless
from migration.native.files.unixsocket import UnixSocketEnd
from migration.native.job import ENGINE, File, Job, decode
from migration.native.model import (
    AltStack,
    Area,
    Backing,
    Credentials,
    Descriptor,
    Machine,
    Memory,
    MemoryLayout,
    Process,
    Run,
    Scheduling,
    Thread,
    Timer,
    Zombie,
    encode,
)

UID = os.geteuid()


def credentials(**changes: Any) -> Credentials:
    whole: dict[str, Any] = {
        "uids": [UID] * 4,
        "gids": [0] * 4,
        "groups": [],
        "inheritable": 0,
        "permitted": 0,
        "effective": 0,
        "bounding": 0,
        "ambient": 0,
        "securebits": 0,
        "no_new_privs": False,
    }
    return Credentials(**whole | changes)


def users(**changes: Any) -> Credentials:
    return credentials(**{"uids": [20001] * 4, "gids": [20001] * 4} | changes)


def thread(**changes: Any) -> Thread:
    registers = [0] * 27
    registers[17] = 0x33
    whole: dict[str, Any] = {
        "tid": 10,
        "registers": registers,
        "extended": bytes(512),
        "mask": 0,
        "pending": [],
        "altstack": AltStack(pointer=0, flags=2, size=0),
        "clear_tid": 0,
        "robust": (0, 0),
        "rseq": (0, 0, 0, 0),
        "name": b"guest",
        "credentials": credentials(),
        "scheduling": Scheduling(policy=0, priority=0, nice=0, processors=[0]),
        "parent_death": 0,
        "timer_slack": 50000,
    }
    return Thread(**whole | changes)


def area(**changes: Any) -> Area:
    whole: dict[str, Any] = {
        "start": 0x10000,
        "end": 0x12000,
        "protection": 3,
        "shared": False,
        "offset": 0,
        "file": -1,
        "memory": -1,
        "special": "",
        "flags": [],
    }
    return Area(**whole | changes)


def process(**changes: Any) -> Process:
    whole: dict[str, Any] = {
        "pid": 10,
        "parent": 0,
        "group": 10,
        "session": 10,
        "threads": [thread()],
        "areas": [area()],
        "pages": [Run(0x10000, 0x11000, 0)],
        "guards": [],
        "layout": MemoryLayout(places=[0] * 11, auxv=bytes(16)),
        "executable": 0,
        "actions": {},
        "pending": [],
        "timers": [],
        "itimers": [bytes(32)] * 3,
        "descriptors": [Descriptor(0, False, 0)],
        "umask": 0o22,
        "cwd": b"/",
        "limits": [(1, 1)] * 16,
        "oom_score_adj": 0,
        "personality": 0,
        "dumpable": 1,
        "subreaper": False,
        "thp_disabled": False,
        "core_filter": 0x33,
        "stopped": 0,
        "stop_reported": True,
    }
    return Process(**whole | changes)


def job(**changes: Any) -> Job:
    machine = Machine(
        kernel="6.18",
        architecture="x86_64",
        boot_id="",
        vdso=bytes(32),
        extended_size=512,
        monotonic=0,
        boottime=0,
    )
    named = File(flags=0, position=0, what=Named(path=b"/dev/null", size=0, directory=False))
    whole: dict[str, Any] = {
        "machine": machine,
        "processes": [process()],
        "zombies": [],
        "files": [named],
        "pipes": [],
        "memories": [],
        "root_parent": 0,
        "backings": [Backing(path=b"/bin/true", size=1, mtime=1, writable=False)],
    }
    return Job(**whole | changes)


def written(folder: Path, record: bytes, engine: str = ENGINE, pages: int = 4096) -> str:
    path = str(folder / "image")
    image.make_folder(path)
    fd = image.create(path, image.PAGES)
    os.write(fd, bytes(pages))
    os.close(fd)
    image.write_job(path, engine, record)
    return path


def read(path: str) -> Job:
    with image.opened(path) as opened:
        return decode(opened)


def test_a_good_one_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read(written(tmp_path, encode(job()))) == job()


def test_it_is_private(tmp_path: Path) -> None:
    path = Path(written(tmp_path, encode(job())))
    assert path.stat().st_mode & 0o777 == 0o700
    assert {p.name: p.stat().st_mode & 0o777 for p in path.iterdir()} == {
        "job": 0o600,
        "pages": 0o600,
    }


@pytest.mark.parametrize("name", ["job", "pages"])
def test_what_others_may_read_is_not_believed(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, encode(job()))
    os.chmod(f"{path}/{name}", 0o640)
    with pytest.raises(BadImage, match="others may use it"):
        read(path)


@pytest.mark.parametrize("name", ["job", "pages"])
def test_neither_links_nor_fifos_nor_nothing(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, encode(job()))
    os.rename(f"{path}/{name}", tmp_path / "moved")
    with pytest.raises(BadImage, match="No such file"):
        read(path)
    os.symlink(tmp_path / "moved", f"{path}/{name}")
    with pytest.raises(BadImage, match="symbolic"):
        read(path)
    os.unlink(f"{path}/{name}")
    os.mkfifo(f"{path}/{name}", 0o600)
    with pytest.raises(BadImage, match="not a regular file"):
        read(path)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, encode(job()))
    whole = Path(f"{path}/job").read_bytes()
    for size in (0, 5, 15, 20, 40, len(whole) - 1):
        Path(f"{path}/job").write_bytes(whole[:size])
        with pytest.raises(BadImage):
            read(path)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, encode(job()))
    whole = bytearray(Path(f"{path}/job").read_bytes())
    for at in range(0, len(whole), 7):
        whole[at] ^= 0x55
        Path(f"{path}/job").write_bytes(whole)
        with pytest.raises(BadImage):
            read(path)
        whole[at] ^= 0x55


def test_another_version_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, encode(job()))
    whole = bytearray(Path(f"{path}/job").read_bytes())
    struct.pack_into("<I", whole, 8, 77)
    Path(f"{path}/job").write_bytes(whole)
    with pytest.raises(BadImage, match="version 77"):
        read(path)


def test_another_engine_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="criu"):
        read(written(tmp_path, encode(job()), engine="criu"))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xc0",
        b"\x81\xa1x" * 2000,
        b"\x91" * 100_000,
        msgspec.msgpack.encode({"machine": 1}),
        msgspec.msgpack.encode({**msgspec.to_builtins(job()), "more": 1}),
    ],
    ids=["nothing", "nil", "nested maps", "nested lists", "wrong type", "a field too many"],
)
def test_what_is_no_job_is_refused(tmp_path: Path, record: bytes) -> None:
    with pytest.raises(BadImage, match="not as an image should be"):
        read(written(tmp_path, record))


def pair(own: int, peer: int, style: int = 1) -> File:
    end = UnixSocketEnd(own=own, peer=peer, style=style, unread=[], options=[])  # type: ignore[arg-type]
    return File(flags=2, position=0, what=end)


MEMORY = Memory(name=b"", size=4096, pages=[], seals=-1, deleted=b"", mode=0o600)
TIMER = Timer(id=0, clock=1, signal=14, value=0, notify=0, tid=0, setting=bytes(32))


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (job(processes=[process(parent=3)]), "without a parent"),
        (job(processes=[process(), process()]), "without a parent"),
        (job(processes=[process(pid=1, threads=[thread(tid=1)])]), "an init"),
        (job(processes=[process(threads=[thread(tid=11)])]), "without its first thread"),
        (job(processes=[process(threads=[thread(), thread()])]), "twice"),
        (
            job(zombies=[Zombie(pid=12, parent=99, group=1, session=1, status=0, name=b"")]),
            "without a parent",
        ),
        (job(processes=[process(areas=[])]), "without memory"),
        (job(processes=[process(areas=[area(end=0x10000)], pages=[])]), "odd mapping"),
        (job(processes=[process(areas=[area(start=0x10001)], pages=[])]), "odd mapping"),
        (job(processes=[process(areas=[area(), area(start=0x11000)])]), "over one another"),
        (job(processes=[process(areas=[area(file=5)])]), "no file"),
        (job(processes=[process(areas=[area(memory=0)])]), "no memory"),
        (job(processes=[process(areas=[area(special="[heap]")], pages=[])]), "unknown mapping"),
        (
            job(processes=[process(areas=[area(shared=True)], pages=[])]),
            "shared mapping of nothing",
        ),
        (job(processes=[process(pages=[Run(0x11000, 0x10000, 0)])]), "before they begin"),
        (job(processes=[process(pages=[Run(0x10000, 0x11000, 1)])]), "beyond the file"),
        (job(processes=[process(pages=[Run(0x12000, 0x13000, 0)])]), "outside their memory"),
        (job(processes=[process(guards=[(0x20000, 0x21000)])]), "outside its memory"),
        (job(processes=[process(guards=[(0x10001, 0x11001)])]), "odd guard"),
        (job(processes=[process(executable=1)]), "without a program"),
        (job(processes=[process(cwd=b"relative")]), "a path that is none"),
        (job(processes=[process(descriptors=[Descriptor(0, False, 9)])]), "of no file"),
        (
            job(processes=[process(descriptors=[Descriptor(0, False, 0)] * 2)]),
            "descriptor twice",
        ),
        (job(processes=[process(timers=[TIMER, TIMER])]), "timer twice"),
        (
            job(processes=[process(timers=[msgspec.structs.replace(TIMER, tid=77)])]),
            "timer of no thread",
        ),
        (
            job(processes=[process(layout=MemoryLayout(places=[0] * 11, auxv=b"12345"))]),
            "odd auxiliary",
        ),
        (job(processes=[process(threads=[thread(registers=[0] * 27)])]), "not a 64-bit"),
        (job(files=[File(flags=0, position=0, what=PipeEnd(pipe=0))]), "pipe that is none"),
        (job(files=[File(flags=0, position=0, what=Nameless(memory=0))]), "memory that is none"),
        (job(files=[pair(1, 2)]), "without its other end"),
        (job(files=[pair(1, 1)]), "without its other end"),
        (job(files=[pair(1, 2), pair(2, 1, 2)]), "without its other end"),
        (job(files=[pair(1, 2), pair(1, 2)]), "a socket twice"),
        (
            job(pipes=[Pipe(data=bytes(5000), capacity=4096, owner=(0, 0), mode=0o600)]),
            "more in a pipe",
        ),
        (
            job(memories=[msgspec.structs.replace(MEMORY, pages=[Run(4096, 8192, 0)])]),
            "outside their memory",
        ),
        (job(memories=[msgspec.structs.replace(MEMORY, name=b"a\0b")]), "zero byte"),
        (
            job(backings=[Backing(path=b"bin/true", size=1, mtime=1, writable=False)]),
            "a path that is none",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_does_not_fit_together_is_named(tmp_path: Path, bad: Job, sentence: str) -> None:
    with pytest.raises(BadImage, match=sentence):
        read(written(tmp_path, encode(bad)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"credentials": credentials(uids=[20001, 0, 20001, 20001])}, "another uid"),
        ({"credentials": credentials(uids=[20001] * 4)}, "a group"),
        ({"credentials": users(groups=[6])}, "a group"),
        ({"credentials": users(permitted=1)}, "capabilities"),
        ({"credentials": users(ambient=1)}, "capabilities"),
        (
            {
                "credentials": users(),
                "scheduling": Scheduling(policy=1, priority=9, nice=0, processors=[0]),
            },
            "real-time",
        ),
        (
            {
                "credentials": users(),
                "scheduling": Scheduling(policy=0, priority=0, nice=-5, processors=[0]),
            },
            "higher priority",
        ),
    ],
)
@pytest.mark.skipif(UID != 0, reason="needs root: gives a file away")
def test_a_users_image_asks_for_nothing_the_user_has_not(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    path = written(tmp_path, encode(job(processes=[process(threads=[thread(**changes)])])))
    for name in (path, f"{path}/job", f"{path}/pages"):
        os.chown(name, 20001, 20001)
    with pytest.raises(BadImage, match=sentence):
        read(path)


@pytest.mark.skipif(UID != 0, reason="needs root: gives a file away")
def test_a_users_image_is_read_when_it_asks_for_what_the_user_has(tmp_path: Path) -> None:
    wanted = job(processes=[process(threads=[thread(credentials=users())])])
    path = written(tmp_path, encode(wanted))
    for name in (path, f"{path}/job", f"{path}/pages"):
        os.chown(name, 20001, 20001)
    assert read(path) == wanted


def test_only_its_owner_s(tmp_path: Path) -> None:
    path = written(tmp_path, encode(job()))
    with pytest.raises(BadImage, match="belongs to uid"), image.opened(path, UID + 1):
        pass
