"""The language of the golden files: one event a line in, one effect a line out.

Events stand at the margin; what the master did about each is indented below it and written by the
runner. `#` begins a comment line. NODE is a daemon's name; a job's process is NPID.VNN.

    NODE connects                        a link, nothing said yet
    NODE hello [boot=B] [accepts=no] [running=1.0/2,1.1/2:stopped] [homes=1/2]
    NODE joins [the same]                connects and says hello
    NODE down REASON                     its link ends
    NODE place N [nodes=a,b] [exclude=a,b] [uid=U]
    NODE started P | stopped P SIG | exited P CODE [SIG] [REASON]
    NODE over NPID [REASON]
    NODE kill P|NPID SIG [uid=U]
    NODE jobs [all] [uid=U] | nodes | load X
    wait SECONDS [NODE...]               time goes by; these daemons report in every heartbeat
    restart                              the master dies; a new one reads the journal
"""

import shlex
from collections.abc import Callable, Iterator
from typing import Any

from glunix.msg.base import MAJOR, MINOR, Message
from glunix.msg.job import JobRow, NodeRow, ProcRow, RunningProc
from glunix.msg.master import (
    HomeJob,
    JobOver,
    JobsQuery,
    JobsTable,
    KillRequest,
    LoadReport,
    NodeHello,
    NodesQuery,
    NodesTable,
    Place,
    PlacedJob,
    ProcExited,
    ProcStarted,
    ProcStopped,
)
from glunix.state.events import (
    Close,
    Effect,
    Event,
    ForgetJob,
    LinkId,
    Log,
    PeerDown,
    PeerUp,
    Received,
    SaveJob,
    Send,
    Tick,
)
from glunix.state.master import Master

HEARTBEAT, LOST_AFTER, UID, COMMAND = 2.0, 6.0, 1000, "sleep 9"


def proc_text(row: ProcRow) -> str:
    end = f" {row.code}" if row.state == "exited" else f" {row.signal}" if row.signal else ""
    return f".{row.vnn}@{row.node} {row.state}{end}"


def job_text(row: JobRow) -> str:
    reason = f" ({row.reason})" if row.reason else ""
    procs = ", ".join(proc_text(proc) for proc in row.procs)
    return f"job {row.npid} {row.state}{reason}: {procs}"


def node_text(row: NodeRow) -> str:
    return f"{row.name} {row.state} load={row.load:g} procs={row.procs}"


def message_text(message: Message) -> str:
    if isinstance(message, PlacedJob):
        procs = " ".join(f".{proc.vnn}@{proc.node}" for proc in message.procs)
        return f"PlacedJob {message.npid} {procs}"
    if isinstance(message, JobsTable):
        return "JobsTable " + ("; ".join(job_text(row) for row in message.rows) or "empty")
    if isinstance(message, NodesTable):
        return "NodesTable " + "; ".join(node_text(row) for row in message.rows)
    hidden = {"request", "major", "minor"}
    fields = [name for name in message.__struct_fields__ if name not in hidden]
    values = " ".join(f"{name}={plain_text(getattr(message, name))}" for name in fields)
    return f"{type(message).__name__} {values}".rstrip()


def plain_text(value: object) -> str:
    return repr(str(value)) if isinstance(value, str) else str(value)


class Script:
    """Runs event lines at a Master, invariants checked after each, and writes what came out."""

    def __init__(self) -> None:
        self.now = 0.0
        self.master = Master("test", HEARTBEAT, LOST_AFTER)
        self.journal: dict[int, JobRow] = {}
        self.links: dict[str, LinkId] = {}
        self.names: dict[LinkId, str] = {}
        self.last_link = 0

    def run(self, line: str) -> list[str]:
        """Carry out one event line; return the effect lines."""
        words = shlex.split(line)
        if words[0] == "wait":
            return list(self.wait(float(words[1]), words[2:]))
        if words == ["restart"]:
            return self.restart()
        node, verb, *rest = words
        named = dict(word.split("=", 1) for word in rest if "=" in word)
        plain = [word for word in rest if "=" not in word]
        if verb == "connects":
            return self.connect(node)
        if verb == "joins":
            return self.connect(node) + self.says(node, hello(node, named))
        if verb == "down":
            return self.event(PeerDown(self.links[node], " ".join(plain)))
        return self.says(node, VERBS[verb](node, plain, named))

    def connect(self, node: str) -> list[str]:
        self.last_link += 1
        link = self.links[node] = LinkId(self.last_link)
        self.names[link] = node
        return self.event(PeerUp(link))

    def says(self, node: str, message: Message) -> list[str]:
        return self.event(Received(self.links[node], message))

    def event(self, event: Event) -> list[str]:
        return self.done(self.master.handle(event, self.now))

    def done(self, effects: list[Effect]) -> list[str]:
        self.master.check()
        return [line for effect in effects for line in self.text(effect)]

    def text(self, effect: Effect) -> Iterator[str]:
        match effect:
            case Send(link, message):
                yield f"to {self.names[link]}: {message_text(message)}"
            case Close(link, reason):
                yield f"close {self.names[link]}: {reason}"
            case SaveJob(row):
                self.journal[row.npid] = row
                yield f"save {job_text(row)}"
            case ForgetJob(npid):
                del self.journal[npid]
                yield f"forget job {npid}"
            case Log(level, text):
                first, *story = text.splitlines()
                yield f"log {level}: {first}"
                yield from (f"  | {line}" for line in story)

    def wait(self, seconds: float, alive: list[str]) -> Iterator[str]:
        """Ticks exactly at the deadlines, heartbeats of the living in between."""
        end = self.now + seconds
        beat = self.now + HEARTBEAT
        while True:
            deadline = self.master.next_deadline()
            step = min(end, beat, end if deadline is None else deadline)
            self.now = step
            lines = []
            if step == beat:
                beat += HEARTBEAT
                lines += [line for node in alive for line in self.says(node, LoadReport(0.0, 1))]
            lines += self.event(Tick())
            if lines:
                yield f"at {self.now:g} s:"
                yield from (f"  {line}" for line in lines)
            if step >= end:
                return

    def restart(self) -> list[str]:
        self.master = Master("test", HEARTBEAT, LOST_AFTER)
        self.links.clear()
        return self.done(self.master.restore(list(self.journal.values()), self.now))


def hello(node: str, named: dict[str, str]) -> NodeHello:
    return NodeHello(
        MAJOR,
        MINOR,
        node,
        named.get("boot", f"boot-{node}"),
        f"unix:{node}",
        named.get("accepts", "no" if node == "home" else "yes") == "yes",
        1,
        1 << 30,
        [],
        [running(text) for text in named.get("running", "").split(",") if text],
        [home_job(text) for text in named.get("homes", "").split(",") if text],
    )


def running(text: str) -> RunningProc:
    text, _, stopped = text.partition(":")
    process, _, degree = text.partition("/")
    npid, vnn = process_of(process)
    pid = 100 + vnn
    return RunningProc(
        npid, vnn, pid, UID, "home", COMMAND, int(degree or 1), False, 0.0, stopped == "stopped"
    )


def home_job(text: str) -> HomeJob:
    npid, _, degree = text.partition("/")
    return HomeJob(int(npid), UID, COMMAND, int(degree or 1), False)


def process_of(text: str) -> tuple[int, int]:
    npid, _, vnn = text.partition(".")
    return int(npid), int(vnn)


def names_of(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def uid_of(named: dict[str, str]) -> int:
    return int(named.get("uid", UID))


def place(node: str, plain: list[str], named: dict[str, str]) -> Place:
    nodes, exclude = (names_of(named.get(key, "")) for key in ("nodes", "exclude"))
    return Place(1, uid_of(named), COMMAND, int(plain[0]), nodes, exclude, False)


def started(node: str, plain: list[str], named: dict[str, str]) -> ProcStarted:
    npid, vnn = process_of(plain[0])
    return ProcStarted(npid, vnn, 100 + vnn)


def exited(node: str, plain: list[str], named: dict[str, str]) -> ProcExited:
    process, code, *rest = plain
    signal = int(rest.pop(0)) if rest and rest[0].isdecimal() else 0
    return ProcExited(*process_of(process), int(code), signal, " ".join(rest))


def kill(node: str, plain: list[str], named: dict[str, str]) -> KillRequest:
    npid, _, vnn = plain[0].partition(".")
    return KillRequest(1, uid_of(named), int(npid), int(vnn) if vnn else None, int(plain[1]))


VERBS: dict[str, Callable[[str, list[str], dict[str, str]], Any]] = {
    "exited": exited,
    "hello": lambda node, plain, named: hello(node, named),
    "jobs": lambda node, plain, named: JobsQuery(1, uid_of(named), plain == ["all"]),
    "kill": kill,
    "load": lambda node, plain, named: LoadReport(float(plain[0]), 1),
    "nodes": lambda node, plain, named: NodesQuery(1),
    "over": lambda node, plain, named: JobOver(int(plain[0]), " ".join(plain[1:])),
    "place": place,
    "started": started,
    "stopped": lambda node, plain, named: ProcStopped(*process_of(plain[0]), int(plain[1])),
}


def transcript(text: str) -> str:
    """Run the event lines of a golden file and return the file as it should be."""
    script = Script()
    lines = []
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [f"    {effect}" for effect in script.run(line)]
    return "\n".join(lines) + "\n"
