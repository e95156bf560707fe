"""The bucket, and a log that nobody outside can fill."""

from glunix.comm.logline import PERIOD, Sparse
from glunix.rate import Bucket


def test_bursts_pass_and_the_rate_behind_them_is_bounded() -> None:
    bucket = Bucket(10.0, 40.0, 100.0)
    assert sum(bucket.take(100.0) for _ in range(100)) == 40
    assert not bucket.full(100.0)
    assert sum(bucket.take(101.0) for _ in range(100)) == 10
    assert not bucket.take(101.05) and bucket.take(101.11)
    assert bucket.take(110.0, 40.0) is True  # full again, and not fuller
    assert not bucket.take(110.0, 0.5)
    assert bucket.full(114.0)


def test_what_is_owed_takes_its_time() -> None:
    bucket = Bucket(8.0, 40.0, 0.0)
    assert bucket.owe(0.0, 40.0) == 0.0
    assert bucket.owe(0.0, 4.0) == 0.5
    assert bucket.owe(0.0, 4.0) == 1.0
    assert not bucket.take(0.875)
    assert bucket.owe(1.125, 0.0) == 0.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(10.0, 1.0, 50.0)
    assert bucket.take(50.0)
    assert not bucket.take(10.0)


def test_what_others_say_forges_no_entry() -> None:
    lines: list[str] = []
    Sparse(lines.append)("x", "a job of \x1b[2J\n12:00:00 all is well\r\0 é")
    assert lines == ["a job of \\x1b[2J\\n12:00:00 all is well\\r\\x00 é"]


def test_a_log_that_nobody_fills() -> None:
    lines: list[str] = []
    clock = [0.0]
    told = Sparse(lines.append, each=3, now=lambda: clock[0])
    for n in range(1000):
        told("uid 7", f"refused {n}")
    told("uid 8", "refused once")
    assert lines == ["refused 0", "refused 1", "refused 2", "refused once"]
    clock[0] = PERIOD + 1
    told("uid 7", "refused again")
    assert lines[4:] == ["997 more entries about uid 7 in 61 s", "refused again"]
