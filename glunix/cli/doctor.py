"""`glunix doctor`: what this machine's kernel lets GLUnix do, tried and never assumed.

Owns the list of features and what each missing one costs; the tries are in slic.kernel.probe and
glunix.cli.machine_probes. Exit status 0, or 1 when something is missing without which no job runs.
"""

import argparse
import enum
import errno
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glunix.cli import bpfprobes, confined, machine_probes
from glunix.cli.common import one_line, show_table
from glunix.cluster import native_code
from glunix.errors import Refused
from glunix.ids import Why
from slic.ebpf.loader import PROGRAMS, Program
from slic.kernel import forkevents, probe

Try = Callable[[], str | int | None]
"""Returns a detail to show (or nothing) when the feature works, raises OSError when not."""


class State(enum.StrEnum):
    """What a try found."""

    WORKS = "works"
    MISSING = "missing"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Feature:
    """A row: its ways are tried in order, (how, try), and the first that works counts."""

    name: str
    ways: tuple[tuple[str, Try], ...]
    cost: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A row with its result. `detail` is how it works, or why it does not."""

    name: str
    state: State
    detail: str
    cost: str
    needed: bool


_USER = probe.CLONE_NEWUSER
_DENIALS = {errno.EPERM, errno.EACCES, errno.EROFS}


def _one(work: Try) -> tuple[tuple[str, Try], ...]:
    return (("", work),)


def _either(work: Callable[[int], None]) -> tuple[tuple[str, Try], ...]:
    return (("", lambda: work(0)), ("in a user namespace", lambda: work(_USER)))


def _bpf(program: Program) -> Feature:
    work = _one(lambda: bpfprobes.program(program.name))
    return Feature(f"BPF {program.name}", work, f"engine ebpf: {program.lost}")


FEATURES: tuple[Feature, ...] = (
    Feature(
        "pseudo-terminals",
        _one(probe.new_pty),
        "no job can have a terminal: no glurun of bash, vim or less",
        needed=True,
    ),
    Feature(
        "TIOCSTI",
        _one(probe.tiocsti),
        "-T cannot give fetched but unread input back to the home terminal when a job ends",
    ),
    Feature(
        "ptrace",
        _one(probe.ptrace_seize),
        "engines ptrace and ptrace-seccomp do not work; slic attach is not possible",
    ),
    Feature(
        "seccomp filters",
        _one(probe.seccomp_filter),
        "no engine but ptrace: every call of a -T job stops, builds run 2x slower",
    ),
    Feature(
        "seccomp user notification",
        _one(probe.user_notification),
        "engine unotify does not work; -T jobs cannot be debugged with gdb or strace",
    ),
    Feature(
        "notification SYNC_WAKE_UP",
        _one(lambda: probe.user_notification(sync_wake_up=True)),
        "a call caught by unotify may take 70 us instead of 3",
    ),
    Feature(
        "user namespaces",
        _one(probe.user_namespace),
        "a cluster started without root cannot isolate its nodes",
    ),
    Feature(
        "shadows (C)",
        _one(native_code.shadows),
        "what a -T job forks has no shadow at home: other pids, and signals go to all of the job",
    ),
    Feature(
        "sessions of shadows",
        _one(native_code.sessions),
        "a session that a -T job makes is a process group at home: ps there shows home's session",
    ),
    Feature(
        "sieve (C)",
        _one(native_code.sieved),
        "Python looks at every caught call of a -T job: scripts that fork take up to 1.4x longer",
    ),
    Feature(
        "launcher (C)",
        _one(native_code.starter),
        "glurun takes no directory as standard input, nor limits too tight for Python, and knows "
        "of an ignored SIGPIPE only from a shell (docs/launch.md)",
    ),
    Feature(
        "UTS namespaces",
        _either(probe.uts_namespace),
        "nodes on one machine share its host name; -T catches uname instead of getting it free",
    ),
    Feature(
        "PID namespaces",
        _either(probe.pid_namespace),
        "nodes share the machine's pids, and -T jobs have those ($$, getppid and getsid are not "
        "home's); what a dead node leaves is found by cgroup or pid only",
    ),
    Feature(
        "mount namespaces",
        _either(probe.mount_namespace),
        "nodes share the machine's mounts; -T jobs have no /proc of their own",
    ),
    Feature(
        "ns_last_pid",
        _either(probe.ns_last_pid),
        "-T jobs have the node's pids: $$, getppid, getpgrp and getsid are not home's",
    ),
    Feature(
        "clone3 set_tid",
        _either(probe.clone3_set_tid),
        "migration cannot give a moved process its old pid",
    ),
    Feature(
        "cgroups",
        _one(machine_probes.cgroups),
        "whose an orphan is, only a reaper beside each job knows (one more process a job; for the "
        "cluster's own user the environment says it), and a fork bomb takes others' processors",
    ),
    Feature(
        "CAP_SYS_RESOURCE",
        _one(probe.hard_limit),
        "jobs cannot get hard limits above the daemon's; migration cannot restore exe links",
    ),
    Feature(
        "fork events",
        _one(lambda: forkevents.ForkEvents().close()),
        "a process of a -T job looks asleep for a moment as it begins: its first call is caught",
    ),
    Feature(
        "BPF programs",
        _one(probe.bpf_program),
        "no in-kernel observation of -T jobs: demand for input is found by engine instead",
    ),
    Feature(
        "BPF on tracepoints",
        _one(probe.bpf_tracepoint),
        "reads of the terminal are found by filter, not dup-proof in the kernel",
    ),
    Feature(
        "BTF",
        _one(machine_probes.btf),
        "BPF programs that look into kernel structures cannot be fitted to this kernel",
    ),
    *(_bpf(program) for program in PROGRAMS),
    Feature("BCC", _one(bpfprobes.inline), "slic run -i bpf:FILE.c: no inline BPF programs"),
    Feature(
        "userfaultfd",
        (
            ("", probe.userfaultfd),
            ("user mode faults only", lambda: probe.userfaultfd(user_mode_only=True)),
        ),
        "no post-copy migration",
    ),
    Feature(
        "userfaultfd WP_ASYNC",
        (
            ("", lambda: probe.userfaultfd(write_protect_async=True)),
            (
                "user mode faults only",
                lambda: probe.userfaultfd(user_mode_only=True, write_protect_async=True),
            ),
        ),
        "no pre-copy migration: a job stands still while all its memory is copied",
    ),
    Feature(
        "PAGEMAP_SCAN",
        _one(probe.pagemap_scan),
        "pre-copy migration must use soft-dirty bits, if the kernel has them",
    ),
    Feature(
        "CRIU",
        _one(machine_probes.criu),
        "jobs with threads, sockets or many processes cannot be checkpointed",
    ),
    Feature(
        "KVM device",
        _one(machine_probes.kvm),
        "the virtual machine lab runs by emulation, about 5x slower to boot",
    ),
    Feature("QEMU", _one(machine_probes.qemu), "no virtual machine lab"),
    Feature("Vagrant", _one(machine_probes.vagrant), "`vagrant up` is not available for the lab"),
)

_CONFINED = (
    "A cluster that is started here works as the rows below say. A cluster of outside takes you\n"
    "for whom you are there; your jobs have no_new_privs and no rights of this namespace there."
)

CONFINED: tuple[Feature, ...] = (
    Feature(
        "namespaces of nodes",
        _one(confined.own_namespaces),
        "nodes share host name, pids and mounts with this machine: at user level a job can find "
        "out nothing of where it is; -T jobs have the node's pids and another terminal's number",
    ),
    Feature(
        "jobs of other users",
        _one(confined.become_another),
        "a cluster started here serves the one user whose it is; files of everybody else are "
        "nobody's (65534) at home and in jobs, and can be given to nobody",
    ),
    Feature(
        "groups of jobs",
        _one(confined.set_groups),
        "jobs have the groups of the process that started the cluster, whatever a database says",
    ),
    Feature(
        "group of terminals",
        _one(confined.terminal_group),
        "a -T job's terminal is of its user's own group: `ls -l $(tty)` shows it",
    ),
)
"""What is asked only inside a user namespace (glunix.cli.confined)."""


def asked() -> tuple[Feature, ...]:
    """The features that matter where this process is."""
    return FEATURES + CONFINED if confined.is_confined() else FEATURES


def examine(features: Sequence[Feature] = FEATURES) -> list[Finding]:
    """Try every feature, each in processes of its own; nothing of a try remains."""
    return [_find(feature) for feature in features]


def _find(feature: Feature) -> Finding:
    first: OSError | None = None
    for how, work in feature.ways:
        try:
            told = work()
        except OSError as error:
            first = first or error
        else:
            detail = ", ".join(text for text in (how, str(told or "")) if text)
            return Finding(feature.name, State.WORKS, detail, feature.cost, feature.needed)
    assert first is not None
    state = State.DENIED if first.errno in _DENIALS else State.MISSING
    return Finding(feature.name, state, _reason(first), feature.cost, feature.needed)


def _reason(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "")
    text = error.strerror or str(error)
    plain = bool(error.errno) and text == os.strerror(error.errno or 0)
    return f"{text} ({name})" if name and plain else text


def run_doctor(args: argparse.Namespace) -> int:
    """Print the table (or JSON) and return the exit status."""
    if args.nodes:
        from glunix.cli.node_paths import run_paths

        return run_paths(args)
    if args.path:
        raise Refused(Why.BAD_REQUEST, "paths are compared with --nodes")
    findings = examine(asked())
    namespace = confined.described() if confined.is_confined() else None
    bad = any(found.needed and found.state is not State.WORKS for found in findings)
    if args.json:
        rows = [
            {
                "feature": found.name,
                "state": str(found.state),
                "detail": found.detail,
                "cost": found.cost,
                "needed": found.needed,
            }
            for found in findings
        ]
        where = {"kernel": os.uname().release, "uid": os.getuid(), "user_namespace": namespace}
        print(json.dumps({**where, "features": rows}))
        return 1 if bad else 0
    who = "root" if os.getuid() == 0 else f"uid {os.getuid()}"
    print(f"Linux {os.uname().release} on {os.uname().machine}, as {who}")
    if namespace is not None:
        print(f"inside a user namespace: {namespace}.\n{_CONFINED}")
    print()
    table = [(found.name, str(found.state), one_line(found.detail) or "-") for found in findings]
    show_table(("FEATURE", "STATE", "DETAIL"), table)
    lost = [found for found in findings if found.state is not State.WORKS]
    print(f"\nWhat {'these cost' if len(lost) != 1 else 'this costs'}:" if lost else "\nAll works.")
    for found in lost:
        print(f"  {found.name} ({found.state}): {found.cost}")
    return 1 if bad else 0
