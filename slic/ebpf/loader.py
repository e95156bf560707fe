"""Loads the BPF programs and finds out which of them this kernel takes, each by itself.

Owns the list of programs, with what is lost without each. Nothing is assumed of a kernel: a program
works when it has been loaded and attached. All is held by descriptors of this process, so it is
gone with the process, however that ends.
"""

import errno
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from slic.ebpf import objects
from slic.ebpf.layout import CALLS, Want
from slic.kernel import libbpf


class Program(NamedTuple):
    """One program: what it is for, and what is lost where it does not load."""

    name: str
    want: Want
    tracepoint: str
    lost: str


PROGRAMS = (
    Program("on_fork", Want.LIVES, "sched_process_fork", "new processes and threads are not seen"),
    Program("on_exec", Want.LIVES, "sched_process_exec", "new programs are not seen"),
    Program("on_exit", Want.LIVES, "sched_process_exit", "ends are not seen"),
    Program("on_stop", Want.STOPS, "sched_switch", "stops are found by polling"),
    Program("on_continue", Want.STOPS, "signal_generate", "continues are found by polling"),
    Program("on_signal", Want.SIGNALS, "signal_generate", "who sent a signal is not known"),
    Program("on_deliver", Want.DELIVERIES, "signal_deliver", "signals are not seen as they arrive"),
    Program("on_enter", Want.COUNTS | Want.CALLS, "sys_enter", "calls are not seen or counted"),
    Program("on_result", Want.COUNTS | Want.CALLS, "sys_exit", "results and times are not seen"),
    Program("walk", Want.LIVES, "iter/task", "running programs cannot be watched; losses stay"),
)
NEEDED = frozenset({"on_fork", "on_exit", "walk"})
"""Without these there is no watch at all: nobody would know whose an event is."""

_FEATURES = {
    "/sys/kernel/btf/vmlinux": "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)",
    "/proc/sys/kernel/unprivileged_bpf_disabled": "the kernel has no bpf(2) (CONFIG_BPF_SYSCALL)",
}


class Finding(NamedTuple):
    """What became of a program: `refused` is None where it works, else the kernel's words, and
    `code` the errno."""

    program: Program
    refused: str | None
    code: int = 0


def wanted_by(want: Want) -> list[str]:
    """The programs that such watches need, the indispensable ones among them."""
    return [p.name for p in PROGRAMS if p.want & want or p.name in NEEDED]


def blocked() -> str | None:
    """What stands in the way of every program alike, by name; None: nothing that is known."""
    for path, without in _FEATURES.items():
        if not Path(path).exists():
            return without
    try:
        libbpf.library()
        objects.path()
    except OSError as error:
        return error.strerror
    return None


def explained(error: OSError) -> str:
    """The kernel's words, and which of its settings they come from where that can be told."""
    text = error.strerror or str(error)
    if error.errno not in (errno.EPERM, errno.EACCES):
        return text
    setting = _setting("/proc/sys/kernel/unprivileged_bpf_disabled")
    lockdown = _setting("/sys/kernel/security/lockdown")
    held = _capabilities()
    why = []
    if not held & (1 << 39 | 1 << 21):  # CAP_BPF, CAP_SYS_ADMIN
        why.append("needs CAP_BPF and CAP_PERFMON, or root")
        if setting not in ("", "0"):
            why.append(f"kernel.unprivileged_bpf_disabled is {setting}")
    if "[confidentiality]" in lockdown:
        why.append("lockdown is confidentiality: no program may read the kernel")
    return f"{text} ({'; '.join(why)})" if why else text


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


class Loaded:
    """The programs in the kernel, attached. Close it, or end."""

    def __init__(self, names: Collection[str], slots: int, ring: int) -> None:
        """OSError with the kernel's words when one of the programs does not work.

        `slots` watches at once; `ring` bytes for events, a power of two.
        """
        self.object = libbpf.Object(objects.path())
        try:
            self.object.choose(names)
            self.object.resize("jobs", slots)
            self.object.resize("counts", slots * CALLS if "on_enter" in names else 1)
            self.object.resize("ring", ring)
            self.object.load()
            self.links = {name: self.object.attach(name) for name in names}
        except OSError:
            self.object.close()
            raise
        self.names = frozenset(names)

    def map(self, name: str) -> int:
        return self.object.map(name)

    def close(self) -> None:
        self.object.close()


def probe() -> list[Finding]:
    """Try every program for real: all together, and where that fails each by itself."""
    if (why := blocked()) is not None:
        return [Finding(program, why, errno.ENOENT) for program in PROGRAMS]
    try:
        Loaded([p.name for p in PROGRAMS], 1, 4096).close()
    except OSError:
        return [_alone(program) for program in PROGRAMS]
    return [Finding(program, None) for program in PROGRAMS]


def _alone(program: Program) -> Finding:
    try:
        Loaded([program.name], 1, 4096).close()
    except OSError as error:
        return Finding(program, explained(error), error.errno or errno.EINVAL)
    return Finding(program, None)


def unavailable(names: Collection[str]) -> str | None:
    """None if these programs work here, else why not. Probes."""
    if (why := blocked()) is not None:
        return why
    try:
        Loaded(names, 1, 4096).close()
    except OSError as error:
        found = [_alone(program) for program in PROGRAMS if program.name in names]
        refused = [f"{f.program.name}: {f.refused}" for f in found if f.refused is not None]
        return "; ".join(refused) or explained(error)
    return None
