"""The many-jobs client against a fake daemon: placement, output, credit, input, loss."""

import errno
import time

import pytest
from fakedaemon import FakeDaemon, FakeLink

from glunix.api import Client, Job, job_spec, my_degree, my_npid, my_vnn
from glunix.errors import NotRunning, Refused
from glunix.ids import Why
from glunix.msg import client as wire
from glunix.msg import stream as flow
from glunix.msg.base import Message


def place(link: FakeLink, npid: int = 41, vnns: tuple[int, ...] = (0,)) -> int:
    """Answer the next Submit with one stream (number 2*npid+1); return that number."""
    submit = link.expect(wire.Submit)
    number = 2 * npid + 1
    part = wire.StreamOf(number, "node1", list(vnns))
    link.send(wire.Placed(submit.request, npid, [part]))
    return number


def finish(link: FakeLink, number: int, vnn: int = 0, code: int = 0, signal: int = 0) -> None:
    for fd in (1, 2):
        link.send(flow.Out(vnn, fd, b""), number)
    link.send(flow.Exited(vnn, code, signal), number)


def until_hang_up(link: FakeLink) -> list[Message]:
    seen = []
    while (got := link.receive()) is not None:
        seen.append(got[1])
    return seen


def test_one_job_from_start_to_end(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        number = place(link)
        link.send(flow.Started(0, 99), number)
        assert link.expect(flow.In).data == b""
        link.send(flow.Out(0, 1, b"a\x00b"), number)
        link.send(flow.Out(0, 2, b"err"), number)
        link.send(flow.Out(0, 1, b"c"), number)
        finish(link, number, code=3)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["true"]))
        assert cluster.wait(10) == [job]
        assert job.done and job.error is None
        assert (job.npid, job.status, job.procs[0].pid, job.procs[0].node) == (41, 3, 99, "node1")
        assert (job.output(), job.output(2)) == (b"a\x00bc", b"err")
        assert cluster.unfinished == 0


def test_exit_before_the_end_of_output_keeps_the_output(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        number = place(link)
        link.send(flow.Exited(0, 0, 9), number)
        link.send(flow.Out(0, 1, b"late"), number)
        link.send(flow.Out(0, 1, b""), number)
        link.send(flow.Out(0, 2, b""), number)
        until_hang_up(link)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["true"]))
        cluster.wait(10)
        assert (job.status, job.output()) == (128 + 9, b"late")


def test_parallel_job_has_the_highest_status(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        submit = link.expect(wire.Submit)
        assert (submit.degree, submit.nodes, submit.exclude) == (3, ["node1"], ["node2"])
        parts = [wire.StreamOf(1, "node1", [0, 2]), wire.StreamOf(3, "node2", [1])]
        link.send(wire.Placed(submit.request, 5, parts))
        for number, vnn, code in ((1, 0, 1), (3, 1, 7), (1, 2, 0)):
            link.send(flow.Out(vnn, 1, b"%d" % vnn), number)
            finish(link, number, vnn, code)
        until_hang_up(link)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["true"]), 3, nodes=["node1"], exclude=["node2"])
        assert cluster.wait(10) == [job]
        assert job.status == 7
        assert [job.output(vnn=vnn) for vnn in range(3)] == [b"0", b"1", b"2"]


def test_credit_comes_back_by_half_windows(daemon: FakeDaemon) -> None:
    seen: list[Message] = []
    chunk = b"x" * 200_000

    def script(link: FakeLink) -> None:
        number = place(link)
        for _ in range(6):
            link.send(flow.Out(0, 1, chunk), number)
        finish(link, number)
        seen.extend(until_hang_up(link))

    daemon.script = script
    taken = []
    with Client() as cluster:
        job = cluster.submit(
            job_spec(["true"]), on_output=lambda job, vnn, fd, data: taken.append((vnn, fd, data))
        )
        cluster.wait(10)
        cluster.poll(0)
        assert job.output() == b""
    daemon.thread.join(0)
    assert taken == [(0, 1, chunk)] * 6
    deadline = time.monotonic() + 5
    while len(seen) < 3 and time.monotonic() < deadline:
        daemon.thread.join(0.01)
    assert seen[1:] == [flow.Credit(0, 1, 600_000), flow.Credit(0, 1, 600_000)]


def test_input_keeps_within_its_window(daemon: FakeDaemon) -> None:
    data = bytes(range(256)) * 6000
    got: list[bytes] = []

    def script(link: FakeLink) -> None:
        number = place(link)
        while sum(map(len, got)) < flow.INPUT_WINDOW:
            got.append(link.expect(flow.In).data)
        assert sum(map(len, got)) == flow.INPUT_WINDOW, "more than the window was sent"
        link.send(flow.InCredit(len(data)), number)
        while got[-1]:
            got.append(link.expect(flow.In).data)
        finish(link, number)

    daemon.script = script
    with Client() as cluster:
        cluster.submit(job_spec(["cat"]), stdin=data)
        cluster.wait(10)
    assert b"".join(got) == data


def test_transparent_input_is_served_on_demand(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        number = place(link)
        link.send(flow.Want(1, 0, 2), number)
        assert link.expect(flow.Got) == flow.Got(1, 0, b"ab")
        link.send(flow.Want(2, 0, 9), number)
        assert link.expect(flow.Got) == flow.Got(2, 0, b"c")
        link.send(flow.Want(3, 0, 9), number)
        assert link.expect(flow.Got) == flow.Got(3, 0, b"")
        link.send(flow.Want(4, 5, 9), number)
        assert link.expect(flow.Got) == flow.Got(4, errno.EBADF, b"")
        link.send(flow.Ioctl(5, 0, 0x5401, 0, b""), number)
        assert link.expect(flow.IoctlDone).error == errno.ENOTTY
        finish(link, number)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["cat"], transparent=True), stdin=b"abc")
        cluster.wait(10)
        assert job.status == 0 and job.error is None


@pytest.mark.parametrize(
    ("step", "error", "status"),
    [("exec", errno.ENOENT, 127), ("exec", errno.EACCES, 126), ("chdir", errno.ENOENT, 125)],
)
def test_a_program_that_does_not_start(
    daemon: FakeDaemon, step: str, error: int, status: int
) -> None:
    def script(link: FakeLink) -> None:
        number = place(link)
        link.send(flow.Failed(0, step, error, "no such thing"), number)
        until_hang_up(link)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["nonesuch"]))
        cluster.wait(10)
        assert (job.status, job.procs[0].failure) == (status, "no such thing")


def test_signals_reach_the_right_stream_also_before_placement(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        number = place(link)
        assert link.expect(flow.Signal) == flow.Signal(10, None)
        link.expect(flow.In)
        link.send(flow.Out(0, 1, b"!"), number)
        assert link.expect(flow.Signal) == flow.Signal(15, 0)
        finish(link, number, signal=15)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["sleep", "9"]))
        cluster.signal(job, 10)
        while not job.output():
            cluster.poll(1)
        cluster.signal(job, 15, 0)
        cluster.signal(job, 15, 4)
        cluster.wait(10)
        assert job.status == 143


def test_refused_job_keeps_the_reason(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        link.send(wire.Refused(link.expect(wire.Submit).request, "no-node", "no node is up"))
        finish(link, place(link))
        until_hang_up(link)

    daemon.script = script
    with Client() as cluster:
        refused, fine = cluster.submit(job_spec(["true"])), cluster.submit(job_spec(["true"]))
        assert cluster.wait(10) == [refused, fine]
        assert isinstance(refused.error, Refused) and refused.error.why is Why.NO_NODE
        assert refused.status == 125 and fine.status == 0


def test_lost_node_ends_the_whole_job(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        submit = link.expect(wire.Submit)
        parts = [wire.StreamOf(1, "node1", [0]), wire.StreamOf(3, "node2", [1])]
        link.send(wire.Placed(submit.request, 5, parts))
        finish(link, 3, 1, 4)
        link.send(wire.StreamLost(1, "node1", "node1 is gone"))
        until_hang_up(link)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["true"]), 2)
        cluster.wait(10)
        assert isinstance(job.error, Refused) and job.error.why is Why.NODE_LOST
        assert job.procs[0].failure == "node1 is gone" and job.procs[1].code == 4
        assert job.status == 125


def test_daemon_death_ends_every_job(daemon: FakeDaemon) -> None:
    daemon.script = lambda link: place(link)
    with Client() as cluster:
        placed, waiting = cluster.submit(job_spec(["true"])), cluster.submit(job_spec(["true"]))
        assert set(cluster.wait(10)) == {placed, waiting}
        assert isinstance(placed.error, NotRunning) and isinstance(waiting.error, NotRunning)
        with pytest.raises(NotRunning):
            cluster.submit(job_spec(["true"]))


def test_nonsense_ends_the_link(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        number = place(link)
        link.send(flow.Exited(7, 0, 0), number)
        until_hang_up(link)

    daemon.script = script
    with Client() as cluster:
        job = cluster.submit(job_spec(["true"]))
        cluster.wait(10)
        assert job.error is not None and "VNN 7" in str(job.error)


def test_wait_has_a_deadline(daemon: FakeDaemon) -> None:
    daemon.script = lambda link: until_hang_up(link)
    with Client() as cluster:
        cluster.submit(job_spec(["true"]))
        with pytest.raises(TimeoutError, match="1 jobs"):
            cluster.wait(0.05)


def test_map_keeps_a_bound_in_flight_and_is_fast(daemon: FakeDaemon) -> None:
    most = 0

    def script(link: FakeLink) -> None:
        nonlocal most
        open_jobs: list[tuple[int, int]] = []
        npid = 0
        while (got := link.receive()) is not None:
            message = got[1]
            if isinstance(message, wire.Submit):
                npid += 1
                part = wire.StreamOf(2 * npid + 1, "node1", [0])
                link.send(wire.Placed(message.request, npid, [part]))
                open_jobs.append((2 * npid + 1, npid % 5))
                most = max(most, len(open_jobs))
            elif isinstance(message, flow.In) and open_jobs:
                number, code = open_jobs.pop(0)
                finish(link, number, code=code)

    daemon.script = script
    spec = job_spec(["true"])
    with Client() as cluster:
        ended: list[Job] = []
        ended.extend(cluster.map((spec for _ in range(500)), in_flight=16))
        assert len(ended) == 500 and most <= 16
        assert [job.status for job in ended] == [(n + 1) % 5 for n in range(500)]


def test_oversized_job_is_refused_here(daemon: FakeDaemon) -> None:
    daemon.script = lambda link: until_hang_up(link)
    with Client() as cluster, pytest.raises(Refused, match="too large"):
        cluster.submit(job_spec(["true", "x" * (9 * 1024 * 1024)]))
    with pytest.raises(Refused, match="needs a command"):
        job_spec([])


def test_who_am_i(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NPID", "VNN", "DEGREE"):
        monkeypatch.delenv(f"GLUNIX_{name}", raising=False)
    assert (my_npid(), my_vnn(), my_degree()) == (None, None, None)
    monkeypatch.setenv("GLUNIX_NPID", "12")
    monkeypatch.setenv("GLUNIX_VNN", "0")
    monkeypatch.setenv("GLUNIX_DEGREE", "nonsense")
    assert (my_npid(), my_vnn(), my_degree()) == (12, 0, None)


def test_job_spec_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUNIX_TEST", "1")
    spec = job_spec(["true", b"\xff"], cwd="/tmp")
    assert spec.argv == [b"true", b"\xff"] and spec.cwd == b"/tmp"
    assert spec.env[b"GLUNIX_TEST"] == b"1" and spec.tty is None
    assert [limit.resource for limit in spec.rlimits] == list(range(16))
