"""ioctls of home descriptors: what is asked, what is not, and which memory goes along."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

from slic_fake import FakeTracee, call

from slic.interposers.home.descriptors import HomeFds, IoctlHome, PagesHome, StandIn
from slic.interposers.home.ioctls import (
    PAGE,
    PAGES_MAX,
    TERMINAL_IOCTLS,
    ProgramPages,
    encoded_size,
)
from slic.policy import Decision, Policy
from slic.verdict import Continue, Fail, Return, Verdict

BASE = 0x100000
FIONREAD, TIOCGWINSZ, FIOCLEX, FICLONE, FIOQSIZE = 0x541B, 0x5413, 0x5451, 0x40049409, 0x5460
UNKNOWN = 0x12345678


def tracee_of(kind: str, pages: int = 4) -> tuple[FakeTracee, Policy]:
    """A caller whose descriptor 0 is a stand-in of this kind."""
    tracee = FakeTracee(bytes(range(256)) * 16 * pages, BASE)
    tracee.stats[0] = os.stat_result((0o20620, 7, 5, 1, 0, 0, 0, 0, 0, 0))
    tracee.stats[1] = os.stat_result((0o10600, 8, 5, 1, 0, 0, 0, 0, 0, 0))
    return tracee, Policy([HomeFds([StandIn(0, kind, 5, 7)] if kind != "tty" else [])])


def asked(policy: Policy, tracee: FakeTracee, *args: int) -> tuple[Any, Any]:
    """(generator, its first question), or (None, verdict)."""
    decided = policy.decide(call("ioctl", *args), tracee)
    if isinstance(decided, Decision):
        return None, decided.verdict
    return decided, next(decided)


def answer(asking: Any, value: object) -> Verdict:
    try:
        question = asking.send(value)
    except StopIteration as stop:
        verdict: Verdict = stop.value.verdict
        return verdict
    raise AssertionError(f"it asks again: {question}")


def test_table_is_sorted_by_kind_and_sizes_agree_with_the_encoding() -> None:
    for number, how in TERMINAL_IOCTLS.items():
        if number >> 30:
            assert encoded_size(number) == max(how.reads, how.writes), how.name
    legacy = [number for number in TERMINAL_IOCTLS if not number >> 30]
    assert legacy == sorted(legacy)


def test_what_is_this_nodes_is_not_asked() -> None:
    for kind in ("pipe", "file", "socket", "out"):
        tracee, policy = tracee_of(kind)
        assert isinstance(asked(policy, tracee, 0, FIOCLEX, 0)[1], Continue)
        assert isinstance(asked(policy, tracee, 1, UNKNOWN, 0)[1], Continue)
        assert isinstance(asked(policy, tracee, 0, TIOCGWINSZ, BASE)[1], Continue)
        assert isinstance(asked(policy, tracee, 9, UNKNOWN, 0)[1], Continue)


def test_what_leads_elsewhere_is_refused() -> None:
    tracee, policy = tracee_of("file")
    assert asked(policy, tracee, 0, FICLONE, 3)[1] == Fail(errno.EXDEV)


def test_known_ones_carry_their_few_bytes() -> None:
    tracee, policy = tracee_of("pipe")
    asking, question = asked(policy, tracee, 0, FIONREAD, BASE + 8)
    assert question == IoctlHome(0, FIONREAD, 0, bytes(4))
    assert answer(asking, (0, b"\5\0\0\0")) == Return(0)
    assert tracee.read(BASE + 8, 4) == b"\5\0\0\0"


def test_unknown_ones_carry_the_page_and_only_changes_come_back() -> None:
    tracee, policy = tracee_of("file")
    before = bytes(tracee.memory)
    asking, question = asked(policy, tracee, 0, UNKNOWN, BASE + 100)
    assert question == PagesHome(0, UNKNOWN, BASE + 100, [(BASE, before[:PAGE])])
    assert answer(asking, (7, [(BASE + 100, b"changed")])) == Return(7)
    assert tracee.memory == before[:100] + b"changed" + before[107:]


def test_an_error_is_the_errno_and_may_change_memory_too() -> None:
    tracee, policy = tracee_of("file")
    asking, _ = asked(policy, tracee, 0, UNKNOWN, BASE)
    assert answer(asking, (-errno.ENOTTY, [(BASE, b"x")])) == Fail(errno.ENOTTY)
    assert tracee.read(BASE, 1) == b"x"


def test_a_number_is_passed_as_it_is() -> None:
    tracee, policy = tracee_of("file")
    _, question = asked(policy, tracee, 0, UNKNOWN, 5)
    assert question == PagesHome(0, UNKNOWN, 5, [])
    asking, question = asked(policy, tracee, 0, UNKNOWN, (1 << 64) - 1)
    assert question.argument == (1 << 64) - 1
    assert answer(asking, (-errno.EFAULT, [])) == Fail(errno.EFAULT)


def test_more_is_pulled_when_home_misses_it() -> None:
    tracee, policy = tracee_of("file", pages=8)
    asking, question = asked(policy, tracee, 0, UNKNOWN, BASE + 8)
    sizes = [len(question.pages[0][1])]
    for _ in range(3):
        sizes.append(len(asking.send((-errno.EFAULT, [])).pages[0][1]))
    assert answer(asking, (-errno.EFAULT, [])) == Fail(errno.EFAULT)
    assert sizes == [PAGE, 2 * PAGE, 4 * PAGE, 8 * PAGE]


def test_what_words_lead_to_goes_along_and_one_level_deeper_on_demand() -> None:
    tracee = FakeTracee(bytes(16 * PAGE), BASE)
    tracee.write(BASE + 16, struct.pack("Q", BASE + 4 * PAGE))
    tracee.write(BASE + 4 * PAGE, struct.pack("Q", BASE + 9 * PAGE + 8))
    pages = ProgramPages(tracee, UNKNOWN, BASE)
    assert [at for at, _ in pages.pieces()] == [BASE, BASE + 4 * PAGE]
    assert pages.grow()
    assert BASE + 9 * PAGE in [at for at, _ in pages.pieces()]


def test_what_travels_is_bounded() -> None:
    tracee = FakeTracee(bytes(4 * PAGES_MAX * PAGE), BASE)
    pages = ProgramPages(tracee, UNKNOWN, BASE)
    while pages.grow():
        pass
    assert sum(len(data) for _, data in pages.pieces()) == PAGES_MAX * PAGE
