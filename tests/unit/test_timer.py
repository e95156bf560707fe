"""Deadlines: compared with the plainest thing that could work."""

from hypothesis import given
from hypothesis import strategies as st

from glunix.timer import Timer


def test_earliest_first_and_only_once() -> None:
    timer: Timer[str] = Timer()
    timer.set("late", 3.0)
    timer.set("early", 1.0)
    timer.set("middle", 2.0)
    assert timer.next() == 1.0
    assert timer.due(0.9) == []
    assert timer.due(2.0) == ["early", "middle"]
    assert timer.next() == 3.0
    assert timer.due(9.0) == ["late"]
    assert timer.next() is None
    assert len(timer) == 0


def test_set_again_and_cancel() -> None:
    timer: Timer[str] = Timer()
    timer.set("a", 1.0)
    timer.set("a", 5.0)
    assert timer.due(4.9) == []
    timer.set("a", 2.0)
    assert timer.next() == 2.0
    timer.cancel("a")
    timer.cancel("never set")
    assert timer.next() is None
    assert "a" not in timer
    timer.set("a", 7.0)
    assert timer.due(7.0) == ["a"]


def test_a_heartbeat_leaves_no_garbage() -> None:
    timer: Timer[str] = Timer()
    for beat in range(10_000):
        timer.set("node1", beat + 6.0)
        timer.due(float(beat))
    assert len(timer._heap) <= 2
    assert timer.next() == 10_005.0


keys = st.sampled_from("abcd")
times = st.integers(0, 20).map(float)
steps = st.one_of(
    st.tuples(st.just("set"), keys, times),
    st.tuples(st.just("cancel"), keys, times),
    st.tuples(st.just("due"), keys, times),
    st.tuples(st.just("postpone"), keys, times),
)


@given(st.lists(steps, max_size=40))
def test_like_a_dictionary(plan: list[tuple[str, str, float]]) -> None:
    timer: Timer[str] = Timer()
    plain: dict[str, float] = {}
    for what, key, time in plan:
        if what == "set":
            timer.set(key, time)
            plain[key] = time
        elif what == "cancel":
            timer.cancel(key)
            plain.pop(key, None)
        elif what == "postpone":
            timer.postpone(time)
            plain = {k: at + time for k, at in plain.items()}
        else:
            due = timer.due(time)
            assert sorted(due) == sorted(k for k, at in plain.items() if at <= time)
            assert [plain[k] for k in due] == sorted(plain[k] for k in due)
            plain = {k: at for k, at in plain.items() if at > time}
        assert timer.next() == min(plain.values(), default=None)
        assert {k: timer.at(k) for k in timer.keys()} == plain  # noqa: SIM118
        assert len(timer) == len(plain)
