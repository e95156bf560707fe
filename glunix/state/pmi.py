"""The PMI-1 conversation with one process of an MPI job: lines in, lines and wishes out. Pure.

MPICH's ranks find each other by a key-value space that they fill, and read after a barrier (its
"simple" process manager interface, src/pmi). A rank is who holds the other end of the line that the
daemon gave it; what it says of itself is not read. Keys of one job are not seen by another, because
a space belongs to a job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LINE_MAX = 4096
"""Bytes of a line; MPICH's longest has a value and is shorter than 2 KiB."""
KEY_MAX, VALUE_MAX, NAME_MAX = 64, 1024, 256
KEYS_MAX = 1024
"""Keys that one rank may put."""

MAPPING = "PMI_process_mapping"
"""The key by which ranks learn which of them share a node, and so its memory."""


def process_mapping(nodes: Sequence[str]) -> str:
    """The node of each rank, as MPICH reads it: blocks of (first node, nodes, ranks on each)."""
    numbers: dict[str, int] = {}
    blocks: list[list[int]] = []
    for node in nodes:
        number = numbers.setdefault(node, len(numbers))
        if blocks and blocks[-1][0] == number:
            blocks[-1][2] += 1
        else:
            blocks.append([number, 1, 1])
    merged: list[list[int]] = []
    for first, count, ranks in blocks:  # 0,1,1 1,1,1 2,1,1 is 0,3,1
        last = merged[-1] if merged else None
        if last is not None and last[0] + last[1] == first and last[2] == ranks:
            last[1] += count
        else:
            merged.append([first, count, ranks])
    return f"(vector,{','.join(f'({a},{b},{c})' for a, b, c in merged)})"


@dataclass(frozen=True)
class Say:
    """Send this line to the rank, without its end."""

    line: str


@dataclass(frozen=True)
class Fence:
    """The rank waits at a barrier; `puts` are new in its job's space."""

    puts: dict[str, str]


@dataclass(frozen=True)
class Abort:
    """The rank ends the job, with this exit status."""

    status: int


Wish = Say | Fence | Abort


class ProtocolFault(Exception):
    """The rank does not speak PMI-1: its line is closed."""


def fields_of(line: str) -> dict[str, str]:
    """`cmd=put kvsname=a key=b value=c d`: a value ends at a blank, but for the last one."""
    found: dict[str, str] = {}
    rest = line.strip()
    while rest:
        name, equals, rest = rest.partition("=")
        if not equals or not name or " " in name:
            raise ProtocolFault(f"not name=value: {line[:80]!r}")
        if name == "value":  # may hold blanks, and is last
            found[name] = rest
            break
        found[name], _, rest = rest.partition(" ")
        rest = rest.lstrip()
    return found


class Rank:
    """One rank's side. `space` is its job's: what all have put, as of the last fence."""

    def __init__(
        self, mark: str, rank: int, nodes: Sequence[str], space: Mapping[str, str]
    ) -> None:
        """`mark`: a word of the job's that no other job has: MPICH names shared memory by it."""
        self.rank = rank
        self.has_begun = False
        """It has said init: from then on its end without finalize is the job's."""
        self.has_finished = False
        self._name = f"kvs_{mark}"
        self._nodes = nodes
        self._space = space
        self._own: dict[str, str] = {}
        self._new: dict[str, str] = {}
        self._waits = False
        self._spawn: dict[str, str] | None = None
        """What a command of several lines has said so far."""
        self._buffer = b""

    def received(self, data: bytes) -> list[Wish]:
        """Bytes of the rank's; ProtocolFault when they are no PMI-1."""
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > LINE_MAX or any(len(line) > LINE_MAX for line in lines):
            raise ProtocolFault("a line is too long")
        wishes: list[Wish] = []
        for line in lines:
            try:
                text = line.decode("ascii")
            except UnicodeDecodeError:
                raise ProtocolFault("not ASCII") from None
            wishes += self._line(text)
        return wishes

    def _line(self, line: str) -> list[Wish]:
        if self._spawn is not None or line.startswith("mcmd="):
            return self._multi(line)
        fields = fields_of(line)
        command = fields.get("cmd", "")
        handler = _COMMANDS.get(command)
        if handler is None:
            raise ProtocolFault(f"unknown command {command[:40]!r}")
        return handler(self, fields)

    def _multi(self, line: str) -> list[Wish]:
        """A command of several lines: to start more ranks (MPI_Comm_spawn), which is refused."""
        if self._spawn is None:
            if line.strip() != "mcmd=spawn":
                raise ProtocolFault(f"unknown command {line[:40]!r}")
            self._spawn = {}
            return []
        if line.strip() != "endcmd":
            name, _, value = line.partition("=")
            if len(self._spawn) < KEYS_MAX:
                self._spawn[name] = value
            return []
        found, self._spawn = self._spawn, None
        if found.get("spawnssofar") != found.get("totspawns"):
            return []  # more of the same call follow
        return [Say("cmd=spawn_result rc=-1 errmsg=no_more_ranks_can_be_started")]

    def _init(self, fields: dict[str, str]) -> list[Wish]:
        self.has_begun = True
        good = fields.get("pmi_version") == "1"
        version = "pmi_version=1 pmi_subversion=1"
        return [Say(f"cmd=response_to_init {version} rc={0 if good else -1}")]

    def _maxes(self, fields: dict[str, str]) -> list[Wish]:
        return [
            Say(f"cmd=maxes kvsname_max={NAME_MAX} keylen_max={KEY_MAX} vallen_max={VALUE_MAX}")
        ]

    def _appnum(self, fields: dict[str, str]) -> list[Wish]:
        return [Say("cmd=appnum appnum=0 rc=0")]

    def _universe(self, fields: dict[str, str]) -> list[Wish]:
        return [Say(f"cmd=universe_size size={len(self._nodes)} rc=0")]

    def _space_name(self, fields: dict[str, str]) -> list[Wish]:
        return [Say(f"cmd=my_kvsname kvsname={self._name} rc=0")]

    def _put(self, fields: dict[str, str]) -> list[Wish]:
        key, value = fields.get("key", ""), fields.get("value", "")
        fault = ""
        if fields.get("kvsname") != self._name:
            fault = "no_such_space"
        elif not 0 < len(key) < KEY_MAX or len(value) >= VALUE_MAX:
            fault = "too_long"
        elif len(self._own) >= KEYS_MAX:
            fault = "too_many_keys"
        elif key in self._own or key in self._space or key == MAPPING:
            fault = f"duplicate_key{key}"
        if fault:
            return [Say(f"cmd=put_result rc=-1 msg={fault}")]
        self._own[key] = self._new[key] = value
        return [Say("cmd=put_result rc=0 msg=success")]

    def _get(self, fields: dict[str, str]) -> list[Wish]:
        key = fields.get("key", "")
        value = None
        if fields.get("kvsname") == self._name:
            if key == MAPPING:
                value = process_mapping(self._nodes)
            else:
                value = self._own.get(key, self._space.get(key))
        if value is None:
            return [Say(f"cmd=get_result rc=-1 msg=key_{key[:KEY_MAX]}_not_found value=unknown")]
        return [Say(f"cmd=get_result rc=0 msg=success value={value}")]

    def _barrier(self, fields: dict[str, str]) -> list[Wish]:
        if self._waits:
            raise ProtocolFault("enters a barrier twice")
        self._waits = True
        puts, self._new = self._new, {}
        return [Fence(puts)]

    def released(self) -> list[Say]:
        """All have come to the barrier, and what they put is in the space."""
        self._waits = False
        return [Say("cmd=barrier_out rc=0")]

    def _finalize(self, fields: dict[str, str]) -> list[Wish]:
        self.has_finished = True
        return [Say("cmd=finalize_ack rc=0")]

    def _abort(self, fields: dict[str, str]) -> list[Wish]:
        text = fields.get("exitcode", "")
        number = int(text) if text.lstrip("-").isdecimal() and len(text) < 12 else 1
        return [Abort(number & 0xFF or 1)]


_COMMANDS = {
    "abort": Rank._abort,
    "barrier_in": Rank._barrier,
    "finalize": Rank._finalize,
    "get": Rank._get,
    "get_appnum": Rank._appnum,
    "get_maxes": Rank._maxes,
    "get_my_kvsname": Rank._space_name,
    "get_universe_size": Rank._universe,
    "init": Rank._init,
    "put": Rank._put,
}
"""What a rank may say -> who answers."""
