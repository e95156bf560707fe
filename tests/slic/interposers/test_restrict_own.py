"""restrict around names that are each process's own: they mean the caller's, and no more."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slic_harness import result_of

from slic.engine import Engine
from slic.interposers.restrict import Restrict, Rules

PROGRAM = r"""
import os, sys, threading
def shown(path, size=20):
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        return error.strerror
    try:
        return os.read(fd, size).split(b"\0")[0]
    finally:
        os.close(fd)

def main():
    me = os.getpid()
    print("number", shown(f"/proc/{me}/comm"), shown(f"/proc/{me}/task/{me}/comm"))
    for path in ("/proc/self/comm", "/proc/thread-self/comm", "/proc/self/cmdline", "/etc/mtab",
                 "/proc/mounts", "/dev/stdin", "/dev/fd/0", "link/comm", "comm", "in", "fds/0"):
        print(path, shown(path))
    for place, path in (("/proc", "self/comm"), ("/dev", "stdin"), ("/proc/self", "comm"),
                        ("/proc/self/fd", "0"), ("/dev", "fd/0")):
        os.chdir(place)
        print(place, path, shown(path))
    with open("/proc/self/comm", "w") as mine:
        mine.write("renamed")
    print("written", shown("/proc/self/comm"))
    name = "/proc/thread-self/comm"
    thread = threading.Thread(target=lambda: print("thread", shown(name)))
    thread.start()
    thread.join()
    print(len(os.listdir("/proc/self/fd")) == len(os.listdir("/dev/fd")))

if sys.argv[1:]:
    for path in sys.argv[1:]:
        print(path, shown(path))
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
        try:
            os.open("/dev/stdin", flags)
            print("more than the descriptor has")
        except PermissionError:
            print("no more")
else:
    main()
"""
POLICY = """
[files]
read = ["/usr", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "{folder}/own.py",
        "{folder}/input", "/proc/self", "/proc/thread-self", "/dev/fd", "/dev/stdin", "/etc/mtab"]
write = ["/proc/self"]
execute = ["/usr/bin"]
"""


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """The program natively and under the policy: status and both outputs."""
    for name, target in (
        ("link", "/proc/self"),
        ("comm", "/proc/self/comm"),
        ("in", "/dev/stdin"),
        ("fds", "/dev/fd"),
        ("here", "/proc/self/cwd"),
    ):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "input").write_text("what stdin leads to")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "own.py").write_text(PROGRAM)

    def run(*arguments: str) -> tuple[int, str, str]:
        words = " ".join(arguments)
        script = f"cd {tmp_path} && exec /usr/bin/python3 own.py {words} < input"
        argv = ["/bin/sh", "-c", script]
        native = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        restrict = Restrict(Rules.load(POLICY.format(folder=tmp_path)))
        return *result_of(engine, [restrict], argv), native

    return run


def test_they_mean_the_callers(run: Callable[..., tuple[int, str, str]]) -> None:
    status, output, native = run()
    assert (status, output.splitlines()) == (0, native.splitlines())
    assert "denied" not in output
    assert output.count("what stdin leads to") == 7


def test_they_open_nothing_else(run: Callable[..., tuple[int, str, str]]) -> None:
    others = [
        f"/proc/{os.getppid()}/comm",
        "/proc/1/comm",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd/secret",
        "here/secret",
        "/proc/self/../1/comm",
        "link/../1/comm",
    ]
    status, output, _ = run(*others)
    assert status == 0
    assert output.splitlines() == [f"{path} Permission denied" for path in others] + 3 * ["no more"]
