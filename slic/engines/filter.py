"""Compiles a subscription into one BPF program (seccomp(2)). Pure arithmetic, no kernel calls.

The program first looks at the ABI, then at the number, then at arguments where a handler restricts
them. The kernel caches "always allowed" per number when a program decides by number alone, so
uncaught calls pay for no comparison however long the program is.
"""

import errno
from collections.abc import Iterable

from slic.kernel.seccomp import (
    AUDIT_ARCH_X86_64,
    OFFSET_ARCH,
    OFFSET_ARGS,
    OFFSET_NR,
    RET_ALLOW,
    RET_ERRNO,
    Instruction,
)
from slic.policy import Alternative, Subscription, Test
from slic.syscalls import BY_NAME, FIRST_UNKNOWN, X32_BIT

LD_ABS = 0x20
AND = 0x54
JA = 0x05
JEQ = 0x15
JGE = 0x35
RET = 0x06

LOW = (1 << 32) - 1
MAX_INSTRUCTIONS = 4096
DENY = RET_ERRNO | errno.ENOSYS


class _Code:
    """Instructions with labels; every conditional jump is one comparison over one far jump."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._labels: dict[int, int] = {}
        self._far: list[tuple[int, int]] = []

    def emit(self, code: int, k: int, jt: int = 0, jf: int = 0) -> None:
        self.instructions.append(Instruction(code, jt, jf, k))

    def label(self) -> int:
        self._labels[number := len(self._labels)] = -1
        return number

    def place(self, label: int) -> None:
        self._labels[label] = len(self.instructions)

    def jump(self, label: int) -> None:
        self._far.append((len(self.instructions), label))
        self.emit(JA, 0)

    def jump_if_equal(self, k: int, label: int) -> None:
        self.emit(JEQ, k, 0, 1)
        self.jump(label)

    def jump_unless_equal(self, k: int, label: int) -> None:
        self.emit(JEQ, k, 1, 0)
        self.jump(label)

    def finish(self) -> list[Instruction]:
        for at, label in self._far:
            self.instructions[at] = Instruction(JA, 0, 0, self._labels[label] - at - 1)
        return self.instructions


def compile_filter(
    subscription: Subscription, action: int, results: bool = False
) -> list[Instruction]:
    """The program that answers `action` for subscribed calls. ValueError if it gets too long.

    With `results` also for calls whose result alone is subscribed (engines with EXIT).
    A call of the 32-bit ABI, or newer than our table: ENOSYS if the policy confines, else allowed.
    An x32 number: ENOSYS.
    io_uring_setup: ENOSYS if a subscribed call can be made through io_uring.
    """
    code = _Code()
    code.emit(LD_ABS, OFFSET_ARCH)
    code.emit(JEQ, AUDIT_ARCH_X86_64, 1, 0)
    code.emit(RET, DENY if subscription.confines else RET_ALLOW)
    code.emit(LD_ABS, OFFSET_NR)
    # -1 is no call: a tracer's way to skip one, whose result must then stay as it set it.
    code.emit(JEQ, LOW, 0, 1)
    code.emit(RET, RET_ALLOW)
    code.emit(JGE, FIRST_UNKNOWN if subscription.confines else X32_BIT, 0, 1)
    code.emit(RET, DENY)
    if subscription.io_uring_bypasses:
        code.emit(JEQ, BY_NAME["io_uring_setup"].number, 0, 1)
        code.emit(RET, DENY)
    tested = []
    wanted = subscription.results if results else frozenset()
    for number in sorted(subscription.calls.keys() | wanted):
        alternatives = subscription.calls.get(number, frozenset({()}))
        if () in alternatives or number in wanted:
            code.emit(JEQ, number, 0, 1)
            code.emit(RET, action)
        else:
            tested.append((number, alternatives))
    for number, alternatives in tested:
        _tested_call(code, number, alternatives, action)
    code.emit(RET, RET_ALLOW)
    program = code.finish()
    if len(program) > MAX_INSTRUCTIONS:
        raise ValueError(f"the filter has {len(program)} instructions, the kernel takes 4096")
    return program


def _tested_call(
    code: _Code, number: int, alternatives: Iterable[Alternative], action: int
) -> None:
    following = code.label()
    code.jump_unless_equal(number, following)
    for tests in sorted(alternatives, key=repr):  # a stable order, for reproducible programs
        failed = code.label()
        for test in tests:
            _test(code, test, failed)
        code.emit(RET, action)
        code.place(failed)
    code.emit(RET, RET_ALLOW)
    code.place(following)


def _test(code: _Code, test: Test, failed: int) -> None:
    """Fall through if the test holds, else jump to `failed`."""
    mask = test.test.mask & ((1 << test.bits) - 1)
    passed = code.label()
    hit, miss = (failed, passed) if test.test.negate else (passed, failed)
    low_offset = OFFSET_ARGS + 8 * test.register
    values = sorted({value & mask for value in test.test.values})
    if mask >> 32:
        for value in values:
            unlike = code.label()
            _load(code, low_offset + 4, mask >> 32)
            code.jump_unless_equal(value >> 32, unlike)
            _load(code, low_offset, mask & LOW)
            code.jump_if_equal(value & LOW, hit)
            code.place(unlike)
    else:
        _load(code, low_offset, mask)
        for value in values:
            code.jump_if_equal(value, hit)
    code.jump(miss)
    code.place(passed)


def _load(code: _Code, offset: int, mask: int) -> None:
    code.emit(LD_ABS, offset)
    if mask != LOW:
        code.emit(AND, mask)
