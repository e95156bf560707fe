"""Many machines: 5 nodes in CI, GLUNIX_LONG=1 makes it 64."""

from __future__ import annotations

import os

import pytest

from .lab import running_lab

NODES = int(os.environ.get("GLUNIX_LAB_NODES", 0)) or (64 if os.environ.get("GLUNIX_LONG") else 5)


@pytest.mark.slow
def test_one_process_on_each(can_lab: None) -> None:
    with running_lab(NODES) as lab:
        home = lab.home
        names = [f"node{n}" for n in range(1, NODES + 1)]
        result = home.run("glurun", "-n", str(NODES), "hostname", timeout=60)
        assert (result.status, sorted(result.text.split())) == (0, sorted(names))
        assert set(home.states()) == {"home", *names}
        fds = home.members()["home"]
        count = len(os.listdir(f"/proc/{home.service('home')}/fd"))
        assert count < NODES + 40, fds  # one link to each node, however many processes
        twice = home.run("glurun", "-n", str(2 * NODES), "hostname", timeout=60)
        assert sorted(twice.text.split()) == sorted(names * 2)
        assert len(os.listdir(f"/proc/{home.service('home')}/fd")) <= count + 2
        home.good("glunix", "revoke", "node1")
        result = home.run("glurun", "-n", str(NODES), "hostname", timeout=60)
        assert result.status == 0 and "node1" not in result.text.split()
