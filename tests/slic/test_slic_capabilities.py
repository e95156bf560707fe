"""The bindings of capabilities(7) say what /proc says, and what is given up stays given up."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slic.kernel import capabilities as caps

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root's capabilities to drop some")


def in_child(body: Callable[[], object]) -> None:
    """Run `body` in a child: what is dropped there is still ours."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def said(name: str) -> int:
    """A line of /proc/thread-self/status with a mask or a number."""
    text = Path("/proc/thread-self/status").read_text()
    word = next(line.split()[1] for line in text.splitlines() if line.startswith(name + ":"))
    return int(word, 16)


def agrees_with_proc() -> bool:
    now = caps.get()
    return (
        now == (said("CapEff"), said("CapPrm"), said("CapInh"))
        and caps.bounding() == said("CapBnd")
        and caps.no_new_privs() == bool(said("NoNewPrivs"))
    )


def test_what_is_read_is_what_proc_says() -> None:
    assert agrees_with_proc()
    assert caps.known() & caps.ALL == caps.known()
    assert caps.known().bit_length() == caps.last() + 1


def test_no_new_privs_and_dumpable() -> None:
    def body() -> None:
        caps.set_no_new_privs()
        assert caps.no_new_privs()
        caps.set_dumpable(caps.NOT_DUMPABLE)
        assert caps.dumpable() == 0
        caps.set_dumpable(caps.DUMPABLE)
        assert caps.dumpable() == 1
        caps.clear_ambient()

    in_child(body)


def test_a_new_session_keyring_is_another_one() -> None:
    def body() -> None:
        assert caps.join_new_session_keyring() != caps.join_new_session_keyring()

    in_child(body)


@pytest.mark.root
@needs_root
def test_what_is_dropped_does_not_come_back() -> None:
    def body() -> None:
        kept = caps.CAP_KILL | caps.CAP_CHECKPOINT_RESTORE
        caps.drop_bounding(caps.ALL & ~kept)
        caps.drop_bounding(caps.ALL & ~kept)  # again: needs nothing any more
        assert caps.bounding() == kept & caps.known()
        caps.set(caps.Caps(caps.CAP_KILL, kept, kept))
        caps.raise_ambient(caps.CAP_KILL)
        assert said("CapAmb") == caps.CAP_KILL
        assert agrees_with_proc()
        caps.clear_ambient()
        assert said("CapAmb") == 0
        with pytest.raises(PermissionError):
            caps.set(caps.Caps(caps.CAP_CHOWN, caps.CAP_CHOWN, 0))
        with pytest.raises(PermissionError):
            caps.drop_bounding(caps.CAP_KILL)

    in_child(body)


@pytest.mark.root
@needs_root
def test_kept_capabilities_outlive_root() -> None:
    def body() -> None:
        caps.set_keep_caps(True)
        caps.set_securebits(caps.securebits() & ~1)
        os.setresuid(20001, 20001, 20001)
        assert caps.get().permitted and not caps.get().effective
        caps.set(caps.Caps(caps.CAP_SYS_PTRACE, caps.CAP_SYS_PTRACE, 0))
        assert caps.get() == (caps.CAP_SYS_PTRACE, caps.CAP_SYS_PTRACE, 0)

    in_child(body)
