"""Guests as an ordinary user of root's cluster: natively, at user level and under -T.

Short form: those that tell of limits, starts, descriptors and surroundings, where rights count.
GLUNIX_LONG=1: all. They run on a cluster of their own, whose tools every user may start.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.cluster import Cluster, as_user, everybodys_python, make_launchers

from glunix.compare.build import command
from glunix.compare.differences import known
from glunix.compare.guest import Guest
from glunix.compare.launch import Launch, Outcome, launch
from glunix.compare.runner import (
    DEADLINE,
    Wrap,
    compare,
    discover,
    environment,
    native,
    problems,
    started,
    unmet,
    variants,
)
from glunix.compare.ways import REGISTRY, Reach, Subject

from .judge import judge

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")

HERE_RIGHTS_COUNT = ("start_", "descriptor_", "life_", "identity_")
GUESTS = [
    guest
    for guest in variants(discover())
    if os.environ.get("GLUNIX_LONG")
    or (guest.name.startswith(HERE_RIGHTS_COUNT) and not guest.static)
]
NO_NEW_PRIVS = ("life_no_new_privs", "life_prctl", "life_status_file")
"""Set for a user under -T, by design, unless the cluster allows setuid (docs/security.md)."""

_users = itertools.count(31000 + os.getpid() % 1000 * 100)
"""A user for each guest: processes count in the limit of them (ulimit -u)."""


@pytest.fixture(scope="module")
def reach() -> Iterator[Reach]:
    """A cluster of root's."""
    python = everybodys_python()
    if python is None:
        pytest.skip("no interpreter for every user")
    tools = Path(tempfile.mkdtemp(prefix="conformance-users-"))
    tools.chmod(0o755)
    make_launchers(tools, python)
    try:
        with Cluster(tools).guarded() as cluster:
            cluster.up(2)
            yield Reach(str(cluster.folder), str(tools / "glurun"))
    finally:
        shutil.rmtree(tools)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="guest-user-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _run(guest: Guest, wrap: Wrap, place: Path, uid: int) -> Outcome:
    """The user's own run in an empty folder of the same name each time: names are compared."""
    folder = place / "here"
    folder.mkdir()
    os.chown(folder, uid, uid)
    words = command(guest)
    if guest.language == "c":  # the checkout may be root's alone
        words[0] = str(shutil.copy(words[0], place / guest.name))
    argv = [*as_user(uid), *started(guest, wrap(words))]
    plan = Launch(
        argv=argv,
        cwd=folder,
        environment=environment(folder),
        stdin=guest.stdin,
        input=guest.input,
        tty=guest.tty,
        stdout_tty=guest.stdout_tty,
        stderr_tty=guest.stderr_tty,
        steps=guest.steps,
        deadline=DEADLINE * 3,
    )
    try:
        outcome = launch(plan)
    finally:
        shutil.rmtree(folder)
    return replace(outcome, stdout="") if guest.stdout_any else outcome


def _but_for_privileges(outcome: Outcome) -> Outcome:
    """Without the lines that show no_new_privs."""
    lines = outcome.stdout.splitlines(keepends=True)
    shows = re.compile("no_?new_?privs", re.IGNORECASE)
    return replace(outcome, stdout="".join(line for line in lines if not shows.search(line)))


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
def test_same_as_native_for_a_user(guest: Guest, reach: Reach, place: Path) -> None:
    if lacking := unmet(guest):
        pytest.skip(lacking)
    if "root" in guest.needs:
        pytest.skip("needs root")
    uid = next(_users)
    expected = _run(guest, native, place, uid)
    assert not problems(guest, expected), "\n".join(problems(guest, expected))
    for way in ("glurun", "glurun-T"):
        wrap = REGISTRY[way].make(Subject.of(guest), lambda: reach)
        listed = known(way, guest.name)
        if listed is not None and listed.hangs:
            continue
        got = _run(guest, wrap, place, uid)
        differences = compare(expected, got)
        if way == "glurun-T" and guest.name in NO_NEW_PRIVS:
            assert differences, "no longer differs"
            differences = compare(_but_for_privileges(expected), _but_for_privileges(got))
        judge(way, guest.name, differences)
