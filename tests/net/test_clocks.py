"""Machines whose clocks differ: what docs/cluster.md promises, with clocks that are really wrong.

The C library's clocks of a tool and all that it starts are moved by a preloaded library, so OpenSSL
and Python are deceived alike.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, until

from .loopback import Loopback, free_ports

SHIFT = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void)
{
    const char *text = getenv("CLOCK_SHIFT");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int status = syscall(SYS_clock_gettime, clock, now);
    if (!status && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return status;
}

time_t time(time_t *where)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict where, void *restrict zone)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    where->tv_sec = now.tv_sec;
    where->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Loopback]:
    """A master and a home; nodes join in the tests."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    made = Loopback()
    try:
        made.init()
        source, library = made.folder / "shift.c", made.folder / "shift.so"
        source.write_text(SHIFT)
        words = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)]
        subprocess.run(words, check=True, timeout=60)
        assert made.home.run("glunix", "up", timeout=40).status == 0
        yield made
    finally:
        made.close()


def environment(home: Loopback, seconds: int) -> dict[str, str]:
    return {"LD_PRELOAD": str(home.folder / "shift.so"), "CLOCK_SHIFT": str(seconds)}


@pytest.mark.parametrize(
    ("seconds", "note"),
    [
        (-1800, "this machine's clock is 1800 s behind the master's"),
        (7200, "this machine's clock is 7200 s ahead of the master's"),
        (10, ""),
    ],
)
def test_a_clock_that_is_good_enough(home: Loopback, seconds: int, note: str) -> None:
    """An hour behind, or any time ahead within the certificate's life: a word, and all works."""
    name = f"node{abs(seconds)}"
    (port,) = free_ports(1)
    node = Cluster(home.home.bin, home.folder / name)
    shifted = environment(home, seconds)
    token = home.home.run("glunix", "invite").text
    joined = node.run("glunix", "join", "--name", name, "--listen", f"127.0.0.1:{port}", "--",
                      home.master, token, env=shifted, timeout=40)  # fmt: skip
    try:
        assert joined.status == 0, joined
        told = joined.complaint.replace("1799 s", "1800 s").replace("7199 s", "7200 s")
        assert told == (f"glunix: note: {note}" if note else "")
        assert home.home.glurun("-w", name, "sh", "-c", "exit 5").status == 5
    finally:
        node.run("glunix", "leave", "--force", env=shifted, timeout=40)
    until(lambda: home.home.states().get(name) != "up", "it has left")


def test_a_clock_that_is_too_far_behind(home: Loopback) -> None:
    """Refused at the join, in one line that says which clock and by how much; nothing is kept."""
    node = Cluster(home.home.bin, home.folder / "late")
    token = home.home.run("glunix", "invite").text
    refused = node.run("glunix", "join", "--name", "late", "--", home.master, token,
                       env=environment(home, -7200), timeout=40)  # fmt: skip
    assert refused.status == 1 and refused.err.count(b"\n") == 1, refused
    assert (
        "not valid now" in refused.complaint and "behind the master's: set it" in refused.complaint
    )
    assert not list(Path(node.folder, "private").glob("node.*"))
    assert home.home.run("glunix", "revoke", "late").status == 0
