"""libbpf through ctypes: an object file's programs and maps. OSError on every failure.

Only bindings. Everything is held by file descriptors of this process (close-on-exec) and by nothing
else: no pin, no file. What the process had loaded is gone when its last copy of them is, however it
ends. libbpf's and the verifier's words of a failure are in the OSError's text.
"""

import ctypes
import errno
import os
import re
import struct
from collections.abc import Collection, Iterator
from functools import cache
from types import TracebackType
from typing import Any, Self

LIBRARY = "libbpf.so.1"
_BPF_MAP_LOOKUP, _BPF_MAP_UPDATE, _BPF_MAP_DELETE = 1, 2, 3
_BPF_PROG_NEXT, _BPF_MAP_NEXT, _BPF_LINK_NEXT = 11, 12, 31
_BPF_OBJ_GET_INFO_BY_FD = 15
_SYS_BPF = 321
_PROG_INFO_SIZE, _RECURSION_MISSES = 216, 208
"""Bytes of struct bpf_prog_info up to, and offset of, recursion_misses (5.12)."""
_WORDS = 1 << 16
_said: list[str] = []

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_Print = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def _say(level: int, form: bytes, arguments: int) -> int:
    if level <= 1:  # LIBBPF_WARN, LIBBPF_INFO
        text = ctypes.create_string_buffer(_WORDS)
        _libc.vsnprintf(text, ctypes.c_size_t(_WORDS), form, ctypes.c_void_p(arguments))
        _said.append(text.value.decode(errors="replace"))
    return 0


_say_it = _Print(_say)  # kept: libbpf calls it as long as the process lives
_POINTERS = (
    "bpf_object__find_map_by_name",
    "bpf_object__find_program_by_name",
    "bpf_object__next_map",
    "bpf_object__next_program",
    "bpf_object__open_file",
    "bpf_program__attach",
    "bpf_program__name",
)


@cache
def library() -> Any:
    """The shared library; OSError ENOENT without it."""
    try:
        found = ctypes.CDLL(LIBRARY, use_errno=True)
        for name in _POINTERS:
            getattr(found, name).restype = ctypes.c_void_p
    except (OSError, AttributeError):
        raise OSError(errno.ENOENT, f"{LIBRARY} is missing (Debian: libbpf1)") from None
    found.libbpf_set_print(_say_it)
    return found


def _failed(code: int, what: str) -> OSError:
    """An error with the kernel's words: the last of the verifier's, or else libbpf's first."""
    lines = [line.strip() for text in _said for line in text.splitlines() if line.strip()]
    _said.clear()
    return OSError(code, reason(code, what, lines))


def reason(code: int, what: str, lines: Collection[str]) -> str:
    """One line of what libbpf and the verifier said.

    The verifier's log stands between two marks; its last words but the statistics are its reason.
    """
    text = list(lines)
    begins = [i for i, line in enumerate(text) if "BEGIN PROG LOAD LOG" in line]
    if begins:
        rest = text[begins[-1] + 1 :]
        ends = [i for i, line in enumerate(rest) if "END PROG LOAD LOG" in line]
        log = [x for x in rest[: ends[0] if ends else None] if not x.startswith("processed ")]
        if log:
            return f"{what}: {os.strerror(code)}: {log[-1]}"
    said = [re.sub(r"^libbpf: ", "", line) for line in text]
    said = [x for x in said if "failed to load object" not in x and "set-up" not in x]
    return f"{what}: {os.strerror(code)}" + (f": {said[0]}" if said else "")


class Object:
    """An open object file: choose programs and sizes, then `load`, then `attach`. Close it."""

    def __init__(self, path: str) -> None:
        """OSError if libbpf is missing, or the file is no object of BPF programs."""
        self._library = library()
        _said.clear()
        found = self._library.bpf_object__open_file(os.fsencode(path), None)
        if not found:
            raise _failed(ctypes.get_errno() or errno.ENOEXEC, path)
        self._object: ctypes.c_void_p | None = ctypes.c_void_p(found)
        self._links: list[ctypes.c_void_p] = []

    def programs(self) -> list[str]:
        """The names of the programs in the file."""
        return [self._name(each) for each in self._each_program()]

    def _each_program(self) -> Iterator[ctypes.c_void_p]:
        at = None
        while at := self._library.bpf_object__next_program(
            self._object, at and ctypes.c_void_p(at)
        ):
            yield ctypes.c_void_p(at)

    def _name(self, program: ctypes.c_void_p) -> str:
        name = ctypes.c_char_p(self._library.bpf_program__name(program)).value
        return (name or b"").decode()

    def choose(self, names: Collection[str]) -> None:
        """Load these programs, and no others."""
        for each in self._each_program():
            wanted = ctypes.c_bool(self._name(each) in names)
            self._library.bpf_program__set_autoload(each, wanted)

    def resize(self, name: str, entries: int) -> None:
        """Give a map another number of entries (bytes, for a ring)."""
        self._checked(
            self._library.bpf_map__set_max_entries(self._map(name), ctypes.c_uint32(entries)), name
        )

    def load(self) -> None:
        """Give the chosen programs and all maps to the kernel."""
        _said.clear()
        self._checked(self._library.bpf_object__load(self._object), "load")

    def attach(self, name: str) -> int:
        """Attach a program where its section says; the link's descriptor, closed with this."""
        _said.clear()
        program = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        if not program:
            raise OSError(errno.ENOENT, f"no program {name}")
        link = self._library.bpf_program__attach(ctypes.c_void_p(program))
        if not link:
            raise _failed(ctypes.get_errno() or errno.EINVAL, f"attach {name}")
        self._links.append(ctypes.c_void_p(link))
        found: int = self._library.bpf_link__fd(ctypes.c_void_p(link))
        return found

    def skipped(self, name: str) -> int:
        """How often the kernel did not run a loaded program, for it was running on that CPU."""
        program = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        room = ctypes.create_string_buffer(_PROG_INFO_SIZE)
        fd = self._library.bpf_program__fd(ctypes.c_void_p(program))
        attributes = struct.pack("=IIQ", fd, len(room), ctypes.addressof(room))
        _bpf(_BPF_OBJ_GET_INFO_BY_FD, attributes)
        (count,) = struct.unpack_from("=Q", room, _RECURSION_MISSES)
        return int(count)

    def map(self, name: str) -> int:
        """The descriptor of a map, closed with this."""
        fd: int = self._library.bpf_map__fd(self._map(name))
        return self._checked(fd, name)

    def _map(self, name: str) -> ctypes.c_void_p:
        found = self._library.bpf_object__find_map_by_name(self._object, name.encode())
        if not found:
            raise OSError(errno.ENOENT, f"no map {name}")
        return ctypes.c_void_p(found)

    def _checked(self, result: int, what: str) -> int:
        if result < 0:
            raise _failed(-result, what)
        return result

    def close(self) -> None:
        """Detach and unload everything; idempotent."""
        links, self._links = self._links, []
        for link in links:
            self._library.bpf_link__destroy(link)
        known, self._object = self._object, None
        if known is not None:
            self._library.bpf_object__close(known)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def iterate(link: int) -> bytes:
    """Run the iterator of this link once; what its program wrote."""
    fd = library().bpf_iter_create(link)
    if fd < 0:
        raise OSError(-fd, os.strerror(-fd))
    parts = []
    try:
        while data := os.read(fd, 1 << 16):
            parts.append(data)
    finally:
        os.close(fd)
    return b"".join(parts)


# -- bpf(2) itself ---------------------------------------------------------------------------
def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    size = ctypes.c_ulong(len(attributes))
    result: int = _libc.syscall(ctypes.c_long(_SYS_BPF), ctypes.c_long(command), buffer, size)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _element(fd: int, key: bytes, value: int) -> tuple[bytes, object]:
    kept = ctypes.create_string_buffer(key, len(key))
    return struct.pack("=IxxxxQQQ", fd, ctypes.addressof(kept), value, 0), kept


def update(fd: int, key: bytes, value: bytes) -> None:
    """Put a value into a map."""
    kept = ctypes.create_string_buffer(value, len(value))
    attributes, _key = _element(fd, key, ctypes.addressof(kept))
    _bpf(_BPF_MAP_UPDATE, attributes)


def find(fd: int, key: bytes, size: int) -> bytes:
    """The value of a key, `size` bytes (a map with one per CPU: of all possible CPUs)."""
    room = ctypes.create_string_buffer(size)
    attributes, _key = _element(fd, key, ctypes.addressof(room))
    _bpf(_BPF_MAP_LOOKUP, attributes)
    return room.raw


def delete(fd: int, key: bytes) -> None:
    """Take a key out of a map."""
    attributes, _key = _element(fd, key, 0)
    _bpf(_BPF_MAP_DELETE, attributes)


def possible_cpus() -> int:
    """How many values a map has that keeps one per CPU."""
    count: int = library().libbpf_num_possible_cpus()
    return count


def loaded() -> dict[str, set[int]]:
    """The numbers of all programs, maps and links that the kernel holds now, of every owner."""
    found: dict[str, set[int]] = {}
    kinds = (("prog", _BPF_PROG_NEXT), ("map", _BPF_MAP_NEXT), ("link", _BPF_LINK_NEXT))
    for what, command in kinds:
        found[what] = set()
        at = 0
        while True:
            buffer = ctypes.create_string_buffer(struct.pack("=III", at, 0, 0), 12)
            call = (ctypes.c_long(_SYS_BPF), ctypes.c_long(command), buffer, ctypes.c_ulong(12))
            if _libc.syscall(*call) < 0:
                code = ctypes.get_errno()
                if code != errno.ENOENT:
                    raise OSError(code, os.strerror(code))
                break
            (_, at, _) = struct.unpack("=III", buffer.raw)
            found[what].add(at)
    return found
