"""Random events, legal and not, at a Master: it never raises, and its books always agree."""

from hypothesis import given, settings
from hypothesis import strategies as st

from glunix.msg.base import Message, encode
from glunix.msg.job import RunningProc
from glunix.msg.master import (
    Goodbye,
    HomeJob,
    JobOver,
    JobsQuery,
    KillDone,
    KillOrder,
    KillRequest,
    LoadReport,
    NodeHello,
    NodeLost,
    NodesQuery,
    Place,
    ProcExited,
    ProcStarted,
    ProcStopped,
    daemon_to_master,
    master_to_daemon,
)
from glunix.state.events import (
    Close,
    Effect,
    ForgetJob,
    LinkId,
    PeerDown,
    PeerUp,
    Received,
    SaveJob,
    Send,
    Tick,
)
from glunix.state.master import Master

NAMES = ["home", "node1", "node2", "node3"]
npids = st.integers(1, 6)
vnns = st.integers(0, 3)
degrees = st.integers(1, 4)
uids = st.sampled_from([0, 1000, 1001])
names = st.sampled_from(NAMES)
some_names = st.lists(st.sampled_from([*NAMES, "nowhere"]), max_size=2)
signals = st.sampled_from([0, 2, 9, 18, 19])
boots = st.sampled_from(["a", "a", "a", "b", ""])

running = st.builds(
    RunningProc,
    npid=npids,
    vnn=vnns,
    pid=st.integers(1, 3),
    uid=uids,
    home=st.sampled_from([*NAMES, "-bad-"]),
    command=st.just("cmd"),
    degree=degrees,
    transparent=st.just(False),
    started=st.just(0.0),
    stopped=st.booleans(),
)
homes = st.builds(HomeJob, npids, uids, st.just("cmd"), degrees, st.just(False))
ended = st.one_of(
    st.builds(ProcExited, npids, vnns, st.integers(0, 2), signals, st.just("")),
    st.builds(JobOver, npids, st.sampled_from(["", "startup died"])),
)
hellos = st.builds(
    NodeHello,
    major=st.sampled_from([1, 1, 1, 1, 2]),
    minor=st.just(0),
    node=st.sampled_from([*NAMES, *NAMES, "-bad-"]),
    boot=boots,
    address=st.just("unix:x"),
    accepts_jobs=st.booleans(),
    cpus=st.just(1),
    memory_total=st.just(0),
    isolated=st.just([]),
    running=st.lists(running, max_size=3),
    homes=st.lists(homes, max_size=2),
    unsent=st.lists(ended, max_size=2),
)
places = st.builds(
    Place, st.just(1), uids, st.just("cmd"), degrees, some_names, some_names, st.booleans()
)
reports = st.one_of(
    st.builds(ProcStarted, npids, vnns, st.integers(1, 3)),
    st.builds(ProcStopped, npids, vnns, signals),
    st.builds(
        ProcExited, npids, vnns, st.integers(0, 2), signals, st.sampled_from(["", "no exec"])
    ),
)
others = st.one_of(
    st.builds(LoadReport, st.floats(0, 9), st.just(0)),
    st.builds(JobOver, npids, st.sampled_from(["", "startup died"])),
    st.builds(KillRequest, st.just(2), uids, npids, st.none() | vnns, signals),
    st.builds(JobsQuery, st.just(3), uids, st.booleans()),
    st.builds(NodesQuery, st.just(4)),
    st.sampled_from([Goodbye("x"), NodeLost("node1", "x")]),
)
messages = st.one_of(hellos, places, reports, reports, others)


class Run:
    """A master with a loop as strict as the real one: link numbers are new, time goes on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.last_link = 0
        self.open: set[LinkId] = set()
        self.journal: dict[int, object] = {}
        self.master = Master("test", 2.0, 6.0)

    def do(self, effects: list[Effect]) -> None:
        self.master.check()
        for effect in effects:
            match effect:
                case Send(link, message):
                    assert link in self.open, "a message to a closed link"
                    assert master_to_daemon.decode(encode(message)) == message
                case Close(link, _):
                    self.open.remove(link)
                case SaveJob(row):
                    self.journal[row.npid] = row
                case ForgetJob(npid):
                    del self.journal[npid]
                case _:
                    pass
        pdb = self.master.core.pdb
        assert self.journal.keys() == pdb.jobs.keys() | pdb.ended.keys()
        for npid, job in pdb.jobs.items():
            assert npid in pdb.unsaved or self.journal[npid] == job.as_row()

    def up(self) -> LinkId:
        self.last_link += 1
        link = LinkId(self.last_link)
        self.open.add(link)
        self.do(self.master.handle(PeerUp(link), self.now))
        return link

    def down(self, link: LinkId) -> None:
        self.open.discard(link)
        self.do(self.master.handle(PeerDown(link, "gone"), self.now))

    def says(self, link: LinkId, message: Message) -> None:
        self.do(self.master.handle(Received(link, message), self.now))

    def tick(self, exact: bool, jump: float) -> None:
        deadline = self.master.next_deadline()
        self.now = deadline if exact and deadline is not None else self.now + jump
        self.do(self.master.handle(Tick(), self.now))

    def restart(self) -> None:
        rows = list(self.journal.values())
        self.open.clear()
        self.master = Master("test", 2.0, 6.0)
        self.do(self.master.restore(rows, self.now))  # type: ignore[arg-type]


steps = st.one_of(
    st.tuples(st.just("says"), st.integers(0, 4), messages),
    st.tuples(st.just("says"), st.integers(0, 4), messages),
    st.tuples(st.just("says"), st.integers(0, 4), messages),
    st.tuples(st.just("up"), st.none(), st.none()),
    st.tuples(st.just("down"), st.integers(0, 4), st.none()),
    st.tuples(st.just("tick"), st.booleans(), st.floats(0.1, 20)),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


@settings(max_examples=3 * settings.default.max_examples)
@given(st.lists(steps, min_size=10, max_size=60))
def test_any_events(plan: list) -> None:
    run = Run()
    for name in NAMES:
        run.says(run.up(), hello_of(name))
    for what, first, second in plan:
        links = sorted(run.open)
        if what in ("says", "down") and not links:
            continue
        if what == "says":
            run.says(links[first % len(links)], second)
        elif what == "down":
            run.down(links[first % len(links)])
        elif what == "up":
            run.up()
        elif what == "tick":
            run.tick(first, second)
        else:
            run.restart()
    settle(run)


def hello_of(name: str) -> NodeHello:
    return NodeHello(1, 0, name, "a", "unix:x", name != "home", 1, 0, [], [], [])


def settle(run: Run) -> None:
    """With every link gone and every deadline over, no job is left running."""
    for link in sorted(run.open):
        run.down(link)
    for _ in range(1000):
        if run.master.next_deadline() is None:
            break
        run.tick(True, 0.0)
    assert run.master.next_deadline() is None
    assert run.master.core.pdb.jobs == {}
    assert run.open == set()


@given(messages)
def test_messages_are_what_the_wire_can_carry(message: Message) -> None:
    if isinstance(message, Goodbye | NodeLost):
        return
    assert daemon_to_master.decode(encode(message)) == message


def test_settled_really_looks() -> None:
    run = Run()
    home, node = run.up(), run.up()
    run.says(home, hello_of("home"))
    run.says(node, hello_of("node1"))
    run.says(home, Place(1, 1000, "cmd", 1, [], [], False))
    assert run.master.core.pdb.jobs
    run.says(home, KillRequest(2, 1000, 1, None, 9))
    effects = run.master.handle(Received(node, ProcStarted(1, 0, 7)), run.now)
    assert Send(node, KillOrder(1, [0], 9)) in effects
    assert not any(isinstance(e, Send) and isinstance(e.message, KillDone) for e in effects)
    settle(run)
