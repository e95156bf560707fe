"""A bare process: makes one call in the place of a program elsewhere, with that one's memory.

An ioctl that no table knows may use any memory, at any address that its argument (or what that
points to) names, or none: the argument may be a plain number. So the pages around those addresses
are put at the *same addresses* of a process that has no other memory, which then makes the call
with the very same argument, and is gone. What the program has not mapped is not there either
(EFAULT, as natively), and nothing of ours can be read or written through a wrong pointer. What
blocks blocks only that process, and an interrupted call ends with it: locks are waited for so, too.

The process is an ELF image of two pages, in a memory file: it executes the records of a script,
seven words each: a call's number and arguments. x86-64 only, as SLIC's tables are.
"""

from __future__ import annotations

import _signal
import _socket
import os
import posix
from fcntl import F_DUPFD_CLOEXEC, fcntl

PAGE = 4096

Pages = list[tuple[int, bytes]]
"""(address, bytes): whole pages, apart from each other."""

_CODE_AT = 0x10000
"""The lowest address that mmap_min_addr usually allows; no program that we know uses it."""
_DATA_AT = _CODE_AT + PAGE
_FREE_FROM = 0x20000
_TOP = 0x7FFFFFFFF000
"""Where user memory ends (47 bits; more has only who asks for it)."""

_TARGET, _SCRIPT, _RESULTS, _MEMORY = 3, 4, 5, 6
"""Descriptors of the bare process."""
_WORDS = 7
_RECORD = 8 * _WORDS
_GO_ON = 1
"""As the last word of a record: an error does not end the script. ioctl(2) has three arguments."""

IOCTL, FCNTL, FLOCK = 16, 72, 73
"""Calls of three arguments that are made this way."""
_PREAD64, _PWRITE64, _MMAP, _PRCTL, _OPENAT, _SENDMSG = 17, 18, 9, 157, 257, 46
_AT_FDCWD = -100
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE = 0x100022
_EFAULT = 14
_ALL_SIGNALS = (*range(1, 32), *range(34, 65))
"""What the keyboard sends our group is not for it (32 and 33 are the C library's)."""

_CODE = bytes.fromhex(
    "b80b000000"  # mov eax, 11                 munmap(_FREE_FROM, _TOP - _FREE_FROM): the
    "bf00000200"  # mov edi, _FREE_FROM         stack and what the kernel put there; a kernel
    "48be00f0fdffff7f0000"  # movabs rsi, ...   that refuses (sealed vdso) keeps little
    "0f05"  # syscall
    # next:                                     read(_SCRIPT, _DATA_AT, _RECORD)
    "31c0"  # xor eax, eax
    "bf04000000"  # mov edi, _SCRIPT
    "be00100100"  # mov esi, _DATA_AT
    "ba38000000"  # mov edx, _RECORD
    "0f05"  # syscall
    "83f838"  # cmp eax, _RECORD
    "756d"  # jne end
    "488b042500100100"  # mov rax, [_DATA_AT]   the call
    "488b3c2508100100"  # mov rdi, [_DATA_AT + 8]
    "488b342510100100"  # mov rsi, [_DATA_AT + 16]
    "488b142518100100"  # mov rdx, [_DATA_AT + 24]
    "4c8b142520100100"  # mov r10, [_DATA_AT + 32]
    "4c8b042528100100"  # mov r8, [_DATA_AT + 40]
    "4c8b0c2530100100"  # mov r9, [_DATA_AT + 48]
    "0f05"  # syscall
    "4889042500100100"  # mov [_DATA_AT], rax   write(_RESULTS, _DATA_AT, 8)
    "4889c3"  # mov rbx, rax
    "b801000000"  # mov eax, 1
    "bf05000000"  # mov edi, _RESULTS
    "be00100100"  # mov esi, _DATA_AT
    "ba08000000"  # mov edx, 8
    "0f05"  # syscall
    "4d85c9"  # test r9, r9                     _GO_ON
    "7588"  # jnz next
    "4881fb01f0ffff"  # cmp rbx, -4095
    "0f827bffffff"  # jb next                   no error
    # end:                                      exit_group(0)
    "b8e7000000"  # mov eax, 231
    "31ff"  # xor edi, edi
    "0f05"  # syscall
)


def _word(value: int, size: int = 8) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _image() -> bytes:
    """elf(5): one page of code, one page of data that is all zero."""
    entry = 64 + 2 * 56
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += _word(2, 2) + _word(62, 2) + _word(1, 4) + _word(_CODE_AT + entry) + _word(64)
    head += _word(0) + _word(0, 4) + _word(64, 2) + _word(56, 2) + _word(2, 2) + bytes(6)
    size = entry + len(_CODE)
    for flags, at, on_disk in ((5, _CODE_AT, size), (6, _DATA_AT, 0)):
        head += _word(1, 4) + _word(flags, 4) + _word(0) + _word(at) + _word(at)
        head += _word(on_disk) + _word(on_disk or PAGE) + _word(PAGE)
    return head + _CODE


def _file(content: bytes) -> int:
    fd = os.memfd_create("glurun", os.MFD_CLOEXEC)
    while content:
        content = content[posix.write(fd, content) :]
    posix.lseek(fd, 0, 0)
    return fd


class _Bare:
    """A bare process that runs a script. OSError: none can be had."""

    def __init__(self, records: list[tuple[int, ...]], fd: int, results: int, memory: int) -> None:
        """`fd` is for the call; `results` and `memory` stay the caller's."""
        padded = ((*record, *(0,) * (_WORDS - len(record))) for record in records)
        script = _file(b"".join(_word(word) for record in padded for word in record))
        image = _file(_image())
        # Numbers above the four, so that putting one in place does not overwrite another.
        sources = (fd, script, results, memory, image)
        *high, program = (fcntl(source, F_DUPFD_CLOEXEC, _MEMORY + 1) for source in sources)
        try:
            self.pid = posix.posix_spawn(
                f"/proc/self/fd/{program}",
                ["glurun"],
                {},
                file_actions=[
                    (posix.POSIX_SPAWN_DUP2, source, number)
                    for source, number in zip(high, range(_TARGET, _MEMORY + 1), strict=True)
                ],
                setsigmask=_ALL_SIGNALS,
            )
            self._pidfd = posix.pidfd_open(self.pid)
        finally:
            for used in (*high, program, script, image):
                posix.close(used)

    def fileno(self) -> int:
        """For poll: readable when the call is over."""
        return self._pidfd

    def _reap(self) -> None:
        try:
            posix.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # the startup's, and we are its child that goes on for it

    def kill(self) -> None:
        """The call is not wanted any more."""
        try:
            _signal.pidfd_send_signal(self._pidfd, _SIGKILL)
        except ProcessLookupError:
            pass  # it has ended
        self._reap()

    def close(self) -> None:
        """After its result or `kill`."""
        posix.close(self._pidfd)


_DIES_WITH_US = (_PRCTL, _PR_SET_PDEATHSIG, _SIGKILL)


def _mapped(address: int, size: int) -> tuple[int, ...]:
    how = (_PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE, -1)
    return (_MMAP, address, size, *how)


class BareCall(_Bare):
    """Call `number`(`fd`, `second`, `third`) with `pages` in place."""

    def __init__(self, number: int, fd: int, second: int, third: int, pages: Pages) -> None:
        self._pages = pages
        self._memory = _file(b"".join(data for _, data in pages))
        self._results = _file(b"")
        records = self._records(number, second, third)
        try:
            super().__init__(records, fd, self._results, self._memory)
        except OSError:
            posix.close(self._memory)
            posix.close(self._results)
            raise

    def _records(self, number: int, second: int, third: int) -> list[tuple[int, ...]]:
        calls: list[tuple[int, ...]] = [_DIES_WITH_US]
        moves = []
        at = 0
        for address, data in self._pages:
            calls.append(_mapped(address, len(data)))
            moves.append((_MEMORY, address, len(data), at))
            at += len(data)
        calls += [(_PREAD64, *move) for move in moves]
        self._before = len(calls)
        calls.append((number, _TARGET, second, third, 0, 0, _GO_ON))
        return calls + [(_PWRITE64, *move) for move in moves]

    def result(self) -> tuple[int, Pages]:
        """(value or -errno, what it changed as runs of bytes). After `fileno` was readable."""
        self._reap()
        results = posix.pread(self._results, 1 << 20, 0)
        at = 8 * self._before
        if len(results) < at + 8:
            return -_EFAULT, []  # pages where the bare process has some: nothing was called
        value = int.from_bytes(results[at : at + 8], "little", signed=True)
        changed: Pages = []
        offset = 0
        for address, before in self._pages:
            changed += differences(address, before, posix.pread(self._memory, len(before), offset))
            offset += len(before)
        return value, changed

    def close(self) -> None:
        """After `result` or `kill`."""
        super().close()
        posix.close(self._results)
        posix.close(self._memory)


_AT, _ROOM = 0x40000, 2 * PAGE
"""Where BareOpen has the name of its pin, and behind it a message with the descriptor."""
_MESSAGE = _AT + PAGE
_SENT = _MEMORY + 1
"""The descriptor that open gives there: the lowest free one."""


class BareOpen(_Bare):
    """open(2) of what `pin` (O_PATH) leads to, which may wait: for the other end of a FIFO
    (fifo(7)). No name of it is looked up: the process has the pin itself."""

    def __init__(self, pin: int, flags: int) -> None:
        self._answers, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        memory = _file((b"/proc/self/fd/%d" % _TARGET).ljust(PAGE, b"\0") + _message_with(_SENT))
        records: list[tuple[int, ...]] = [
            _DIES_WITH_US,
            _mapped(_AT, _ROOM),
            (_PREAD64, _MEMORY, _AT, _ROOM, 0),
            (_OPENAT, _AT_FDCWD, _AT, flags, 0),
            (_SENDMSG, _RESULTS, _MESSAGE, 0),
        ]
        try:
            super().__init__(records, pin, theirs.fileno(), memory)
        except OSError:
            self._answers.close()
            raise
        finally:
            theirs.close()
            posix.close(memory)

    def result(self) -> int:
        """The descriptor; OSError as open says. After `fileno` was readable."""
        self._reap()
        value, found = -_EFAULT, -1
        while True:
            packet, rights, _, _ = self._answers.recvmsg(64, _socket.CMSG_SPACE(4))
            if not packet:
                break
            for _, _, data in rights:
                found = int.from_bytes(data, "little")
            if found < 0:
                value = int.from_bytes(packet, "little", signed=True)
        if found >= 0:
            posix.set_inheritable(found, False)
            return found
        raise OSError(-value, os.strerror(-value))

    def close(self) -> None:
        """After `result` or `kill`."""
        super().close()
        self._answers.close()


def _message_with(fd: int) -> bytes:
    """struct msghdr at _MESSAGE (sendmsg(2), unix(7)): one byte, and SCM_RIGHTS of `fd`."""
    vector, control = _MESSAGE + 64, _MESSAGE + 128
    head = _word(0) + _word(0) + _word(vector) + _word(1) + _word(control) + _word(24) + _word(0)
    rights = _word(20) + _word(1, 4) + _word(1, 4) + _word(fd, 4)  # SOL_SOCKET, SCM_RIGHTS
    return (head.ljust(64, b"\0") + _word(_AT) + _word(1)).ljust(128, b"\0") + rights


_BLOCK = 64


def differences(address: int, before: bytes, after: bytes) -> Pages:
    """The runs of bytes that changed. Nothing else may be written back: the program's other
    threads go on meanwhile, and pages it only reads may be read-only."""
    runs: Pages = []
    begin = -1
    for block in range(0, len(before), _BLOCK):
        if before[block : block + _BLOCK] == after[block : block + _BLOCK]:
            if begin >= 0:
                runs.append((address + begin, after[begin:block]))
                begin = -1
            continue
        for at in range(block, min(block + _BLOCK, len(before))):
            if before[at] != after[at]:
                if begin < 0:
                    begin = at
            elif begin >= 0:
                runs.append((address + begin, after[begin:at]))
                begin = -1
    if begin >= 0:
        runs.append((address + begin, after[begin:]))
    return runs
