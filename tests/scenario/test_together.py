"""Master and daemons together under any order of messages, crashes and restarts.

Whatever happened, once it is calm the master's books say what the daemons have, and once every
program has ended nothing is left anywhere (paper 4.2.3).
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from glunix.msg import client
from scenario.world import World

NAMES = ["home", "node1", "node2", "node3"]
numbers = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("deliver"), numbers),
    st.tuples(st.just("deliver"), numbers),
    st.tuples(st.just("deliver"), numbers),
    st.tuples(st.just("submit"), numbers),
    st.tuples(st.just("start"), numbers),
    st.tuples(st.just("start"), numbers),
    st.tuples(st.just("end"), numbers),
    st.tuples(st.just("client gone"), numbers),
    st.tuples(st.just("cut"), numbers),
    st.tuples(st.just("crash"), numbers),
    st.tuples(st.just("boot"), numbers),
    st.tuples(st.just("connect"), numbers),
    st.tuples(st.just("tick"), numbers),
    st.tuples(st.just("master"), numbers),
)


def step(world: World, what: str, number: int) -> None:
    alive = world.alive()
    if what == "deliver":
        world.deliver(number)
    elif what == "tick":
        world.heartbeat()
        world.tick()
    elif what == "master":
        if world.master is None:
            world.restart_master()
        elif number == 0:
            world.crash_master()
    elif what == "boot":
        dead = [name for name, daemon in world.daemons.items() if daemon is None]
        if dead:
            world.boot(dead[number % len(dead)])
    elif alive:
        daemon = alive[number % len(alive)]
        if what == "submit":
            daemon.submit(1 + number % 4)
        elif what == "client gone" and daemon.clients:
            daemon.client_gone(sorted(daemon.clients)[number % len(daemon.clients)])
        elif what == "cut":
            daemon.cut()
        elif what == "crash" and number < 8:
            world.crash(daemon.name)
        elif what == "connect" and daemon.uplink is None and world.master is not None:
            daemon.connect()
        elif what in ("start", "end"):
            act(world, what, number)


def act(world: World, what: str, number: int) -> None:
    """A process somewhere starts or ends; a killed one ends."""
    wanted = ("waiting",) if what == "start" else ("running", "killed")
    found = [
        (daemon, stream, vnn)
        for daemon in world.alive()
        for stream in daemon.streams
        for vnn, state in stream.procs.items()
        if state in wanted
    ]
    if found:
        daemon, stream, vnn = found[number % len(found)]
        (daemon.starts if what == "start" else daemon.ends)(stream, vnn)


def deliver_all(world: World) -> None:
    while world.deliver(0):
        pass


def reconnect(world: World) -> None:
    for daemon in world.alive():
        if daemon.uplink is None:
            daemon.connect()
    deliver_all(world)


def reap(world: World) -> None:
    """What was killed ends; what waits starts, as it would in no time."""
    for daemon in world.alive():
        for stream in list(daemon.streams):
            for vnn, state in list(stream.procs.items()):
                if state == "waiting":
                    daemon.starts(stream, vnn)
                elif state == "killed":
                    daemon.ends(stream, vnn)


def calm(world: World) -> None:
    """Every daemon connected, every message delivered, every deadline of a job over."""
    if world.master is None:
        world.restart_master()
    for _ in range(40):
        deliver_all(world)
        reconnect(world)
        reap(world)
        deliver_all(world)
        world.heartbeat()
        deliver_all(world)
        world.tick()
    deliver_all(world)


def live_on_nodes(world: World) -> set[tuple[int, int, str]]:
    return {
        (stream.npid, vnn, daemon.name)
        for daemon in world.alive()
        for stream in daemon.streams
        for vnn in stream.procs
    }


def live_in_books(world: World) -> set[tuple[int, int, str]]:
    assert world.master is not None
    return {
        (proc.npid, proc.vnn, proc.node)
        for job in world.master.core.pdb.jobs.values()
        for proc in job.live_procs()
    }


def homes(world: World) -> set[tuple[int, str]]:
    return {(job.npid, daemon.name) for daemon in world.alive() for job in daemon.home.running()}


def began(names: list[str]) -> World:
    world = World(names)
    reconnect(world)
    return world


def finish(world: World) -> None:
    """Every program ends: nothing is left in the books, at home or on the nodes."""
    for daemon in world.alive():
        for stream in list(daemon.streams):
            for vnn in list(stream.procs):
                daemon.ends(stream, vnn)
    calm(world)
    assert live_on_nodes(world) == set()
    assert homes(world) == set()
    assert world.master is not None
    assert world.master.core.pdb.jobs == {}
    for daemon in world.alive():
        assert daemon.home._requests == {}
        for messages in daemon.clients.values():
            assert messages, "a client without an answer"


@settings(max_examples=2 * settings.default.max_examples)
@given(st.lists(steps, min_size=5, max_size=80))
def test_books_and_nodes_agree_in_the_end(plan: list[tuple[str, int]]) -> None:
    world = began(NAMES)
    for what, number in plan:
        step(world, what, number)
    calm(world)
    assert live_on_nodes(world) == live_in_books(world)
    assert world.master is not None
    assert homes(world) == {(j.npid, j.home) for j in world.master.core.pdb.jobs.values()}
    finish(world)


def test_jobs_really_run_in_this_world() -> None:
    world = began(NAMES)
    assert world.daemons["home"] is not None
    link = world.daemons["home"].submit(3)
    calm(world)
    assert len(live_on_nodes(world)) == 3
    assert live_on_nodes(world) == live_in_books(world)
    assert type(world.daemons["home"].clients[link][0]) is client.Placed
    world.crash("node2")
    calm(world)
    assert live_on_nodes(world) == set()
    finish(world)


def test_a_job_outlives_its_master() -> None:
    world = began(NAMES)
    assert world.daemons["home"] is not None
    world.daemons["home"].submit(3)
    calm(world)
    before = live_on_nodes(world)
    world.crash_master()
    world.restart_master()
    calm(world)
    assert live_on_nodes(world) == before == live_in_books(world)
    finish(world)


def test_a_job_outlives_its_master_and_its_journal() -> None:
    world = began(NAMES)
    assert world.daemons["home"] is not None
    world.daemons["home"].submit(3)
    calm(world)
    before = live_on_nodes(world)
    world.crash_master()
    world.journal.clear()
    world.restart_master()
    calm(world)
    assert live_on_nodes(world) == before == live_in_books(world)
    finish(world)


def test_what_ends_between_hello_and_welcome_is_told() -> None:
    """The link keeps order, so that a daemon need not wait for Welcome before it reports."""
    world = began(NAMES)
    assert world.daemons["home"] is not None
    world.daemons["home"].submit(2)
    calm(world)
    daemon = next(daemon for daemon in world.alive() if daemon.streams)
    daemon.cut()
    daemon.connect()
    daemon.ends(daemon.streams[0], next(iter(daemon.streams[0].procs)))
    assert not daemon.home.master_up
    for _ in ("up", "hello", "exited"):
        world.deliver(1)  # the end of the old link is seen last
    assert len(live_on_nodes(world)) == 1
    calm(world)
    assert live_on_nodes(world) == live_in_books(world)
    finish(world)
