"""trace against strace: the same program, the same calls, results, errors, flags, structures."""

import difflib
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import strace_oracle as oracle
from trace_guest import SOURCE

from slic.decoding import text
from slic.decoding.calls import CALLS, ORDER
from slic.decoding.decoders import DECODERS
from slic.decoding.flags import FLAGS
from slic.registry import engines
from slic.syscalls import BY_NAME

SHOWING = [e for e in ("ptrace-seccomp", "ptrace") if engines()[e].unavailable() is None]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing")
PROGRAMS = {
    "cat": ["/bin/cat", "-", "/etc/hostname", "/nope"],
    "ls": ["/bin/ls", "-la", "/etc"],
    "cp": ["/bin/cp", "-a", "/etc/passwd", "copy"],
    "dd": ["/bin/dd", "if=/dev/zero", "of=x", "bs=1k", "count=3", "status=none"],
    "find": ["/usr/bin/find", "/etc/ssl", "-maxdepth", "1"],
    "id": ["/usr/bin/id"],
    "mkdir": ["/bin/mkdir", "-p", "a/b/c"],
    "mv": ["/bin/mv", "/nope", "there"],
    "rm": ["/bin/rm", "-f", "/nope"],
    "shell": ["/bin/sh", "-c", "echo x > f; read a < f; echo $a; cd /; exec true"],
    "sleep": ["/bin/sleep", "0.01"],
    "stat": ["/usr/bin/stat", "/dev/null"],
    "tar": ["/bin/tar", "cf", "x.tar", "/etc/passwd"],
    "touch": ["/usr/bin/touch", "-d", "@5", "f"],
    "xargs": ["/usr/bin/xargs", "-n2", "echo"],
}


def compared(argv: list[str], folder: Path, engine: str) -> None:
    """The processes' lines are equal; signals, which come at any time, as often."""
    ours = oracle.processes(oracle.by_slic(argv, folder, engine))
    theirs = oracle.processes(oracle.by_strace(argv, folder))

    def calls(own: list[list[str]]) -> list[list[str]]:
        return [[line for line in lines if not line.startswith("---")] for lines in own]

    def signals(own: list[list[str]]) -> list[list[str]]:
        return [sorted(line for line in lines if line.startswith("---")) for lines in own]

    assert sum(map(len, theirs)) > 20, theirs
    # Line by line: a difference shows as itself.
    for own, native in zip(calls(ours), calls(theirs), strict=True):
        different = difflib.unified_diff(native, own, "strace", "trace", lineterm="", n=1)
        assert not list(different)
    assert signals(ours) == signals(theirs)


@needs_strace
@pytest.mark.parametrize("engine", SHOWING)
def test_every_call_as_strace_shows_it(
    engine: str, guest: Callable[..., str], tmp_path: Path
) -> None:
    compared([guest("traced", SOURCE, "-w")], tmp_path, engine)


@needs_strace
@pytest.mark.parametrize("name", PROGRAMS)
def test_common_programs(name: str, tmp_path: Path) -> None:
    compared(PROGRAMS[name], tmp_path, "ptrace-seccomp")


@needs_strace
def test_without_results_the_same_calls_are_shown(
    guest: Callable[..., str], tmp_path: Path
) -> None:
    def called(text: str) -> list[set[str]]:
        names = [
            {line.partition("(")[0] for line in lines if re.match(r"\w+\(", line)}
            for lines in oracle.processes(text)
        ]
        return [own - {"rt_sigreturn"} for own in names]

    argv = [guest("traced", SOURCE, "-w")]
    shown = oracle.by_slic(argv, tmp_path, "unotify")
    assert called(shown) == called(oracle.by_strace(argv, tmp_path))
    assert '"f", O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0640)\n' in shown


# -- the tables ----------------------------------------------------------------------------------
def test_tables_are_sorted() -> None:
    assert list(FLAGS) == sorted(FLAGS)
    for name, table in FLAGS.items():
        values = list(table.values())
        assert values == sorted(values), name
        assert len(set(values)) == len(values), name
    assert list(CALLS) == sorted(CALLS)


def test_every_word_of_the_calls_is_known_and_used() -> None:
    words = {word for line in CALLS.values() for word in line.split()}
    bare = {word.rpartition(":")[2].lstrip(">") for word in words}
    assert {word[1:] for word in bare if word[0] in "|="} <= set(FLAGS)
    assert {word for word in bare if word[0] not in "|="} <= set(DECODERS)
    for name, line in CALLS.items():
        shown, known = len(line.split()), len(BY_NAME[name].arguments)
        assert shown <= 6, name
        if name not in ORDER and known:
            assert shown <= max(known, 1) or name in {"restart_syscall", "rt_sigreturn"}, name


HEADERS = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <linux/close_range.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <asm/prctl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
"""
# Enumerations of the headers: no macros, so the preprocessor does not know whether they are there.
ENUMERATED = (
    "P_ALL",
    "P_PID",
    "P_PGID",
    "RUSAGE_",
    "ITIMER_",
    "RLIMIT_",
    "SHUT_",
    "MNT_",
    "SIGEV_",
)
ENUMERATED += ("IPPROTO_", "SOCK_", "PRIO_", "UMOUNT_")
KERNELS_OWN = {"O_LARGEFILE"}  # glibc says 0: it is always set
ALL_32_BITS = (1 << 32) - 1


def test_values_are_those_of_the_systems_headers(tmp_path: Path) -> None:
    names = sorted({name for table in FLAGS.values() for name in table} - KERNELS_OWN)
    lines = []
    for name in names:
        line = f'printf("{name} %lld\\n", (long long){name});'
        known = name.startswith(ENUMERATED)
        lines.append(line if known else f"#ifdef {name}\n{line}\n#endif")
    (tmp_path / "t.c").write_text(f"{HEADERS}int main(void) {{\n" + "\n".join(lines) + "\n}\n")
    subprocess.run(["gcc", "-w", "-o", tmp_path / "t", tmp_path / "t.c"], check=True)
    told = subprocess.run([tmp_path / "t"], capture_output=True, text=True, check=True).stdout
    system = {name: int(value) for name, value in map(str.split, told.splitlines())}
    assert len(system) > 0.95 * len(names), sorted(set(names) - set(system))
    wrong = {
        name: (value, system[name])
        for table in FLAGS.values()
        for name, value in table.items()
        if name in system and (value ^ system[name]) & ALL_32_BITS
    }
    assert not wrong


# -- notation ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.quoted(b'a"\\\n\t\x01\x019\x017\xff'), r'"a\"\\\n\t\1\19\0017\377"'),
        (text.quoted(b"x" * 33), '"' + "x" * 32 + '"...'),
        (text.quoted(b"x" * 33, None), '"' + "x" * 33 + '"'),
        (text.flags(0, "PROT"), "PROT_NONE"),
        (text.flags(3, "PROT"), "PROT_READ|PROT_WRITE"),
        (text.flags(0x101, "FD"), "FD_CLOEXEC|0x100"),
        (text.open_flags(0o4010001), "O_WRONLY|O_SYNC"),
        (text.open_flags(0o20200002), "O_RDWR|O_TMPFILE"),
        (text.one(77, "FCNTL"), "0x4d /* F_??? */"),
        (text.octal(0o644), "0644"),
        (text.octal(0), "000"),
        (text.file_mode(0o104755), "S_IFREG|S_ISUID|0755"),
        (text.signal_set(0), "[]"),
        (text.signal_set(1 << 1 | 1 << 31 | 1 << 32), "[INT RTMIN RT_1]"),
        (text.signal_set((1 << 64) - 1 ^ 1 << 8), "~[KILL]"),
        (text.error(-2), "-1 ENOENT (No such file or directory)"),
        (text.error(-11), "-1 EAGAIN (Resource temporarily unavailable)"),
        (text.error(-512), "? ERESTARTSYS (To be restarted if SA_RESTART is set)"),
    ],
)
def test_notation(shown: str, expected: str) -> None:
    assert shown == expected
