"""What has to stay says so by name, before anything is frozen, and runs on."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from migration.engine import Reason
from migration.native.refusal import reasons
from migration.native.survey import Survey
from slic.kernel import ptrace

from .guestrun import Running, running
from .mover import Refusal, mover

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: looks into processes")

HEAD = """
import ctypes, fcntl, mmap, os, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
folder = os.open(".", os.O_RDONLY)
def missing(what):
    print("MISSING", what, "END", flush=True); time.sleep(60)
def syscall(*words):
    got = libc.syscall(*[ctypes.c_long(w) if isinstance(w, int) else w for w in words])
    return got if got >= 0 else missing("errno %d of call %d" % (ctypes.get_errno(), words[0]))
"""
TAIL = """
print("READY 0", flush=True)
while not os.access("gate.0", os.F_OK, dir_fd=folder): time.sleep(0.005)
print("PASS", flush=True)
"""

CASES = {
    "tcp": ("s = socket.create_server(('127.0.0.1', 0))", "a socket of AF_INET"),
    "netlink": ("s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", "AF_NETLINK"),
    "unix listener": (
        "s = socket.socket(socket.AF_UNIX); s.bind('here'); s.listen()",
        "a unix socket that listens",
    ),
    "unix name": (
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('here')",
        "a unix socket with a name",
    ),
    "unix alone": (
        "a, b = socket.socketpair(); b.close()",
        "a unix socket without another end",
    ),
    "descriptors in flight": (
        "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0])",
        "descriptors on their way",
    ),
    "terminal": ("a, b = os.openpty()", "a terminal of this machine"),
    "fifo": ("os.mkfifo('f'); f = os.open('f', os.O_RDWR)", "a named pipe"),
    "packets": ("p = os.pipe2(os.O_DIRECT)", "a pipe of packets"),
    "flock": ("f = open('l', 'w'); fcntl.flock(f, fcntl.LOCK_EX)", "holds a lock (FLOCK WRITE)"),
    "posix lock": ("f = open('l', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)", "a lock (POSIX WRITE)"),
    "renamed over": (
        "f = open('a', 'w'); os.link('a', 'b'); os.unlink('a')",
        "deleted, but it has another name",
    ),
    "replaced": (
        "f = open('a', 'w'); os.rename('a', 'c'); os.link('c', 'd'); os.unlink('c');"
        " open('c', 'w')",
        "another name",
    ),
    "proc": ("f = open('/proc/self/maps')", "a file of /proc that names a process"),
    "async": (
        "p = os.pipe(); fcntl.fcntl(p[0], fcntl.F_SETFL, os.O_ASYNC)",
        "O_ASYNC",
    ),
    "pidfd": ("p = os.pidfd_open(1)", "pidfd"),
    "userfaultfd": ("u = syscall(323, 0)", "[userfaultfd]"),
    "io_uring": ("u = syscall(425, 4, ctypes.create_string_buffer(120))", "[io_uring]"),
    "bpf": (
        "u = syscall(321, 0, ctypes.create_string_buffer("
        "(1).to_bytes(4,'little') + b'\\4\\0\\0\\0\\4\\0\\0\\0\\1\\0\\0\\0', 64), 64)",
        "bpf-map",
    ),
    "secret memory": (
        "f = syscall(447, 0); os.ftruncate(f, 4096);"
        " libc.mmap.restype = ctypes.c_void_p; m = libc.mmap(None, 4096, 3, 1, f, 0)",
        "secret",
    ),
    "aio": ("c = ctypes.c_ulong(); u = syscall(206, 4, ctypes.byref(c))", "io_setup"),
    "System V memory": (
        "i = syscall(29, 0, 4096, 0o1600); libc.shmat.restype = ctypes.c_void_p;"
        " a = libc.shmat(i, None, 0); syscall(31, i, 0, 0)",
        "System V shared memory",
    ),
    "droppable": (
        "libc.mmap.restype = ctypes.c_long; m = libc.mmap(None, 4096, 3, 0x28, -1, 0)\n"
        "if m == -1: missing('MAP_DROPPABLE')",
        "MAP_DROPPABLE",
    ),
    "seccomp": (
        "libc.prctl(38, 1, 0, 0, 0)\n"
        "code = ctypes.create_string_buffer(b'\\6\\0\\0\\0\\0\\0\\xff\\x7f', 8)\n"
        "class P(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('p', ctypes.c_void_p)]\n"
        "syscall(317, 1, 0, ctypes.byref(P(1, ctypes.addressof(code))))",
        "a seccomp filter of its own",
    ),
    "deleted folder": (
        "os.mkdir('x'); os.chdir('x'); os.rmdir('../x')",
        "working folder",
    ),
    "chroot": ("os.chroot('/usr')", "its root is not the machine's"),
    "namespace": ("syscall(272, 0x04000000)", "is in another uts namespace"),
    "shared table": (
        "import threading\n"
        "def f(): syscall(272, 0x400); time.sleep(60)\n"
        "threading.Thread(target=f, daemon=True).start(); time.sleep(0.05)",
        "does not share descriptors",
    ),
    "unread events": (
        "os.mkdir('w'); i = libc.inotify_init1(0); libc.inotify_add_watch(i, b'w', 0x100);"
        " open('w/n', 'w')",
        "events that were not read yet",
    ),
    "epoll of a closed number": (
        "import select\ne = select.epoll(); p = os.pipe(); e.register(p[0]); q = os.dup(p[0]);"
        " os.close(p[0])",
        "no descriptor of the job under its number",
    ),
    "end signal": (
        "pid = syscall(56, 10, 0, 0, 0, 0)\nif pid == 0: time.sleep(60); os._exit(0)",
        "another signal than SIGCHLD",
    ),
}


def start(code: str, folder: Path) -> tuple[list[str], Path]:
    script = folder / "stays.py"
    script.write_text(HEAD + textwrap.dedent(code) + TAIL)
    return [sys.executable, "-S", "-u", str(script)], folder


def ready(program: Running, case: str) -> None:
    while "READY" not in program.output:
        if "MISSING" in program.output and "END" in program.output:
            pytest.skip(f"this kernel refuses {case}: {program.output.strip()}")
        program.await_text("")
        if program.process.poll() is not None:
            raise AssertionError(program.output)


@pytest.mark.parametrize("case", CASES)
def test_it_stays(case: str, tmp_path: Path) -> None:
    code, sentence = CASES[case]
    with running(*start(code, tmp_path)) as program:
        ready(program, case)
        found = reasons(Survey.of(program.process.pid))
        assert any(sentence in str(reason) for reason in found), found
        with mover(program.process.pid) as moving, pytest.raises(Refusal) as refused:
            moving.move()
        assert sentence in str(refused.value)
        Path(tmp_path / "gate.0").touch()
        program.await_text("PASS\n")


def test_nothing_to_say_of_an_ordinary_one(tmp_path: Path) -> None:
    with running(*start("", tmp_path)) as program:
        program.await_ready()
        assert reasons(Survey.of(program.process.pid)) == []


def test_a_pipe_that_leads_outside(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        code = f"os.fstat({writing})"
        words, folder = start(code, tmp_path)
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", f'cd {folder}; exec "$@" >output 2>&1 </dev/null', "sh", *words],
            os.environ,
        )
        try:
            output = folder / "output"
            while not output.exists() or "READY" not in output.read_text():
                assert os.waitpid(pid, os.WNOHANG) == (0, 0)
            # Asked by a mover: a process that asks is not looked at, it has copies of everything.
            with mover(pid) as moving, pytest.raises(Refusal, match="leads out of the job"):
                moving.move()
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    finally:
        os.close(reading)
        os.close(writing)


def test_traced_by_another(tmp_path: Path) -> None:
    with running(*start("", tmp_path)) as program:
        program.await_ready()
        pid = program.process.pid
        ptrace.request(ptrace.SEIZE, pid)
        try:
            with mover(pid) as moving, pytest.raises(Refusal, match="traced by process"):
                moving.move()
        finally:
            ptrace.request(ptrace.INTERRUPT, pid)
            os.waitpid(pid, 0x40000000)
            ptrace.request(ptrace.DETACH, pid)


def test_a_reason_reads_as_a_sentence() -> None:
    assert str(Reason(7, "fd 3 (x)", "a lock")) == "process 7, fd 3 (x): a lock"
    assert str(Reason(7, "", "a vfork", passing=True)) == "process 7: a vfork (may pass)"
