"""What a client says of its limits and priority can only lower them: the kernel knows them."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import ROOT, Cluster, as_user, everybodys_python

from glunix.daemon.submitter import RESOURCES, Limits, limits_of, parse_limits, within
from glunix.msg.job import JobSpec, Rlimit

from .rooted import MALLORY, needs_root, rooted

LIAR = """
import os, posix, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (150, 200))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.nice(5)
if sys.argv[1] == "lies":
    resource.getrlimit = lambda number: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    os.getpriority = posix.getpriority = lambda which, who: 0
sys.argv = ["glurun", *sys.argv[2:]]
from glunix.cli.glurun import main
sys.exit(main())
"""
HAS = "ulimit -Hn; ulimit -Sn; ulimit -Hc; nice"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with rooted() as made:
        yield made


@needs_root
@pytest.mark.parametrize("level", [(), ("-T",)])
@pytest.mark.parametrize("uid", [0, MALLORY])
def test_words_do_not_raise_limits(cluster: Cluster, level: tuple[str, ...], uid: int) -> None:
    words = (everybodys_python() or "python3", "-c", LIAR)
    user = as_user(uid) if uid else []
    env = {"PYTHONPATH": str(ROOT)}
    told = cluster.run(*user, *words, "honest", *level, "-w", "node1", "sh", "-c", HAS, env=env)
    assert told.text.split() == ["200", "150", "0", "5"], told
    told = cluster.run(*user, *words, "lies", *level, "-w", "node1", "sh", "-c", HAS, env=env)
    hard, soft, core, nice = told.text.split()
    assert (hard, core, nice) == ("200", "0", "5"), told
    assert int(soft) <= 200


def spec(*limits: Rlimit, nice: int = 0) -> JobSpec:
    return JobSpec([b"x"], {}, b"/", 0o22, nice, list(limits), None)


def test_the_lower_of_both() -> None:
    has = Limits({7: (10, 20), 4: (-1, -1)}, 3)
    for said, found in (
        (Rlimit(7, -1, -1), Rlimit(7, 20, 20)),
        (Rlimit(7, 5, 50), Rlimit(7, 5, 20)),
        (Rlimit(7, 15, 15), Rlimit(7, 15, 15)),
    ):
        job = within(spec(said, nice=-5), has)
        assert job.rlimits == [found, Rlimit(4, -1, -1)], "what is not said is what it has"
        assert job.nice == 3
    assert within(spec(Rlimit(9, 1, 2), nice=7), has).nice == 7
    assert within(spec(Rlimit(9, 1, 2)), has).rlimits[-1] == Rlimit(9, 1, 2)


def test_the_table_is_what_the_calls_say() -> None:
    text = Path("/proc/self/limits").read_text()
    calls = {number: resource.getrlimit(number) for number in range(RESOURCES)}
    assert parse_limits(text) == calls
    with pytest.raises(ValueError):
        parse_limits("Limit\nMax cpu time              7\n")


def test_who_is_gone_has_none() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        own = limits_of(ours, os.getpid())
        assert own is not None and own.nice == os.getpriority(os.PRIO_PROCESS, 0)
        assert limits_of(ours, 0) is None
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")
        listening.listen()
        pid = os.fork()
        if pid == 0:
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(listening.getsockname())
            os._exit(0)
        os.waitpid(pid, 0)
        connection, _ = listening.accept()
        with connection:
            assert limits_of(connection, pid) is None
