"""Questions of the client library against a daemon that answers, refuses, lies and dies."""

import socket
from pathlib import Path

import pytest
from fakedaemon import FakeDaemon, FakeLink

from glunix import api
from glunix.errors import FrameError, NotRunning, Refused
from glunix.ids import Why
from glunix.msg import client as wire
from glunix.msg import stream as flow
from glunix.msg.job import JobRow, NodeRow

ROW = JobRow(7, 1000, "home", "sleep 9", 1, False, "running", 1.0, 0.0, "", [])
NODE = NodeRow("node1", "up", True, 2, 0.5, 100, 50, 1, 1.0, 2.0, ["uts"])


def test_jobs_and_nodes(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        got = link.receive()
        assert got is not None
        if isinstance(got[1], wire.ListJobs):
            assert got[1].everything
            link.send(wire.Jobs(got[1].request, [ROW]))
        else:
            assert isinstance(got[1], wire.ListNodes)
            link.send(wire.Nodes(got[1].request, [NODE]))

    daemon.script = script
    assert api.jobs(everything=True) == [ROW]
    assert api.nodes() == [NODE]


def test_kill_counts_processes(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        order = link.expect(wire.KillJob)
        assert (order.npid, order.vnn, order.signal) == (7, 2, 15)
        link.send(wire.Done(order.request, 1))

    daemon.script = script
    assert api.kill(7, 15, vnn=2) == 1


@pytest.mark.parametrize(
    ("word", "why"), [("not-yours", Why.NOT_YOURS), ("from-the-future", Why.INTERNAL)]
)
def test_refusal_keeps_its_reason(daemon: FakeDaemon, word: str, why: Why) -> None:
    def script(link: FakeLink) -> None:
        order = link.expect(wire.KillJob)
        link.send(wire.Refused(order.request, word, "job 7 is not yours"))

    daemon.script = script
    with pytest.raises(Refused, match="not yours") as caught:
        api.kill(7, 15)
    assert caught.value.why is why


def test_no_daemon_names_the_folder(folder: Path) -> None:
    with pytest.raises(NotRunning, match=str(folder)):
        api.nodes()


def test_stale_socket_is_no_daemon(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "home.sock"))
    with pytest.raises(NotRunning, match="glunix up"):
        api.nodes()


def test_silent_daemon_has_a_deadline(daemon: FakeDaemon) -> None:
    daemon.script = lambda link: (link.receive(), link.receive())
    with pytest.raises(NotRunning, match=r"within 0\.2 s"):
        api.nodes(timeout=0.2)


def test_hang_up_and_nonsense(daemon: FakeDaemon) -> None:
    daemon.script = lambda link: link.receive()
    with pytest.raises(NotRunning, match="without an answer"):
        api.nodes()
    daemon.script = lambda link: (link.receive(), link.conn.sendall(b"\xa3abc"))
    with pytest.raises(FrameError):
        api.nodes()
    daemon.script = lambda link: (link.receive(), link.send(flow.Exited(0, 0, 0), 1))
    with pytest.raises(FrameError, match="stream 1"):
        api.nodes()
    daemon.script = lambda link: (link.receive(), link.send(wire.Jobs(1, [])))
    with pytest.raises(FrameError, match="Jobs"):
        api.nodes()


def test_socket_path_over_107_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("GLUNIX_DIR", str(deep))
    fake = FakeDaemon(deep)
    fake.script = lambda link: link.send(wire.Nodes(link.expect(wire.ListNodes).request, [NODE]))
    try:
        assert api.nodes() == [NODE]
    finally:
        fake.close()


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = api.nonesuch
