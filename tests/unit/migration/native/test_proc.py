"""migration.native.proc: what /proc says, taken apart; and the code that batches are run by."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from migration.native import proc
from migration.native.inject import CODE, SYSCALL

SMAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 1234                       /bin/a b (deleted)
Size:                  4 kB
VmFlags: rd mr mw me sd
7f0000000000-7f0000002000 rw-s 00001000 00:01 77                         /memfd:x (deleted)
VmFlags: rd wr sh mr mw me ms gd
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
VmFlags: rd wr mr mw me gd ac
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
VmFlags: ex
"""


def test_maps() -> None:
    first, second, stack = proc.parse_maps(SMAPS.splitlines())
    assert (first.start, first.end, first.protection, first.shared) == (
        *(0x55D0C0000000, 0x55D0C0001000, 1, False),
    )
    assert first.name == "/bin/a b (deleted)" and first.path == "/bin/a b" and first.deleted
    assert (second.shared, second.offset, second.inode, second.device) == (True, 0x1000, 77, (0, 1))
    assert {"gd", "ac"} <= stack.flags and str(stack) == "7ffd00000000-7ffd00021000"


def test_our_own_maps_with_and_without_flags() -> None:
    plain = {(m.start, m.end, m.name) for m in proc.maps_without_flags(os.getpid())}
    flagged = proc.maps(os.getpid())
    assert len(plain & {(m.start, m.end, m.name) for m in flagged}) > len(plain) // 2
    assert all(m.flags for m in flagged)


def test_timers() -> None:
    text = """\
ID: 7
signal: 34/00007ffd0000abcd
notify: signal/pid.4711
ClockID: 1
ID: 9
signal: 14/0000000000000000
notify: thread/tid.4712
ClockID: -2
"""
    one, two = proc.parse_timers(text.splitlines())
    assert (one.id, one.signal, one.value, one.notify, one.tid, one.clock) == (
        *(7, 34, 0x7FFD0000ABCD, "signal", 0, 1),
    )
    assert (two.id, two.notify, two.tid, two.clock) == (9, "thread", 4712, -2)


def test_a_name_with_parentheses_does_not_confuse() -> None:
    child = os.fork()
    if child == 0:
        Path("/proc/self/comm").write_text("a) S 1 (b")
        os.kill(os.getpid(), 19)
        os._exit(0)
    try:
        os.waitpid(child, os.WUNTRACED)
        found = proc.stat(child)
        assert found[3] == "T" and found[4] == str(os.getpid())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_nobody_has_no_files() -> None:
    with pytest.raises(ProcessLookupError):
        proc.status(99_999_999)
    with pytest.raises(ProcessLookupError):
        proc.threads(99_999_999)


def test_the_code_of_batches_jumps_where_its_comments_say(tmp_path: Path) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("objdump is missing")
    (tmp_path / "code").write_bytes(CODE)
    words = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", str(tmp_path / "code")]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    code = dict(re.findall(r"^ +([0-9a-f]+):\t[^\t]*\t(.*?) *$", listed, re.MULTILINE))
    end = f"0x{max(int(at, 16) for at in code):x}"
    assert code[end[2:]] == "int3"
    assert [line.split() for line in code.values() if line[0] == "j"] == [
        *(["je", end], ["jge", "0x0"], ["je", "0x0"]),
    ]
    assert CODE.count(SYSCALL) == 1
