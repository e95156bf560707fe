"""What a submitter may not have: read from the kernel, and the strictest when it cannot be read."""

import os
import socket
import struct
import subprocess
import sys

import pytest

from glunix.daemon.submitter import STRICTEST, Restrictions, parse_status, restricted
from glunix.msg.job import CAPS_ALL, Owner
from slic.kernel import capabilities

STATUS = "Name:\tx\nUid:\t7\t8\t9\t7\nCapBnd:\t{}\nNoNewPrivs:\t{}\nSeccomp:\t0\n"
KNOWN = (1 << 41) - 1


@pytest.mark.parametrize(
    ("bounding", "flag", "found"),
    [
        ("000001ffffffffff", "0", Restrictions(False, CAPS_ALL)),
        ("0000000000000000", "1", Restrictions(True, CAPS_ALL & ~KNOWN)),
        ("0000000000000020", "0", Restrictions(False, CAPS_ALL & ~KNOWN | 0x20)),
    ],
)
def test_the_lines_of_status(bounding: str, flag: str, found: Restrictions) -> None:
    assert parse_status(STATUS.format(bounding, flag), KNOWN) == ({7, 8, 9}, found)


@pytest.mark.parametrize("missing", ["Uid", "CapBnd", "NoNewPrivs"])
def test_a_status_without_a_line_is_not_believed(missing: str) -> None:
    lines = STATUS.format("0", "0").splitlines(keepends=True)
    with pytest.raises(ValueError, match=missing):
        parse_status("".join(line for line in lines if not line.startswith(missing)), KNOWN)


def peer(sock: socket.socket) -> tuple[int, Owner]:
    pid, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, Owner(uid, gid, [])


def test_our_own_restrictions_are_found() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        owner = restricted(ours, *peer(ours))
    assert owner.no_new_privs == capabilities.no_new_privs()
    assert owner.bounding & capabilities.known() == capabilities.bounding()


def test_who_is_gone_gets_the_strictest() -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listening:
        listening.bind("")
        listening.listen()
        name = listening.getsockname()
        connect = f"import os, socket; s = socket.socket(socket.AF_UNIX); s.connect({name!r})"
        subprocess.run([sys.executable, "-c", connect], check=True, timeout=20)
        connection, _ = listening.accept()
        with connection:
            owner = restricted(connection, *peer(connection))
    assert (owner.no_new_privs, owner.bounding) == STRICTEST


def test_no_process_of_our_namespace_gets_the_strictest() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        owner = restricted(ours, 0, Owner(os.geteuid(), os.getegid(), []))
    assert (owner.no_new_privs, owner.bounding) == STRICTEST
