"""Who kills a helper of his own job while it is being made gets no job that waits without end."""

import os
import signal
import time

import pytest

from glunix.msg.job import HomePids, Owner
from glunix.node.processes.namespace import PidSpace, SpaceUnavailable
from glunix.node.processes.namespace_build import Builder

HOME = HomePids(pid=4000, parent=3999, group=4000, session=3998, parent_group=3998)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a PID namespace")
@pytest.mark.parametrize("helper", ["parent", "leader"])
def test_a_helper_that_ends_before_the_signal_proxy_speaks(
    monkeypatch: pytest.MonkeyPatch, helper: str
) -> None:
    """Its end was heard while the program was awaited, and forgotten: `look` never said GONE."""
    made, signal_proxy = Builder._make_program, Builder._signal_proxy

    def dies(self: Builder) -> None:
        made(self)
        os.kill(os.getpid() if helper == "parent" else os.getppid(), signal.SIGKILL)

    def speaks_late(self: Builder) -> None:
        time.sleep(0.3)
        signal_proxy(self)

    monkeypatch.setattr(Builder, "_make_program", dies)
    monkeypatch.setattr(Builder, "_signal_proxy", speaks_late)
    began = time.monotonic()
    with pytest.raises(SpaceUnavailable, match="helper"):
        PidSpace(HOME, None, lambda: os._exit(0), Owner(0, 0, []))
    assert time.monotonic() - began < 3
