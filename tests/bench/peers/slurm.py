"""Slurm as a peer: munged, slurmctld and slurmd of one node, private, in the foreground.

Its own munge key and configuration live in a scratch folder; nothing under /etc is read or
written. All daemons run as the calling user, so that an ordinary user can measure too.
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..child import ForegroundDaemon
from ..proc import call, free_ports, marked, scratch, timed
from . import Package, Unavailable, need

PACKAGE = Package("apt", ("slurm-wlm", "munge"))

# The hash plugin, job accounting and topology stay at what a small site would run: nothing is
# turned on that slows Slurm down, nothing is turned off that a job needs.
_CONFIG = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Slurm:
    """A running one-node Slurm; `run` times one `srun` of an argv."""

    def __init__(self, srun: str, env: dict[str, str]) -> None:
        self._srun = srun
        self._env = env

    def run(self, argv: Sequence[str]) -> float:
        """Wall seconds of `srun -n1 ARGV` from spawn to exit."""
        return timed([self._srun, "-n1", *argv], self._env).seconds


def _host() -> str:
    """This machine's short name; it must mean loopback, for Slurm listens on what it means."""
    name = socket.gethostname().split(".")[0]
    try:
        address = socket.gethostbyname(name)
    except OSError:
        raise Unavailable(
            f"the host name {name} does not resolve", f"add `127.0.0.1 {name}` to /etc/hosts"
        ) from None
    if not address.startswith("127."):
        raise Unavailable(
            f"the host name {name} means {address} and Slurm would listen there, not on loopback",
            f"put `127.0.1.1 {name}` first in /etc/hosts",
        )
    return name


def _write_config(folder: Path) -> Path:
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    ctld_port, slurmd_port = free_ports(2)
    config = folder / "slurm.conf"
    config.write_text(
        _CONFIG.format(
            host=_host(),
            ctld_port=ctld_port,
            slurmd_port=slurmd_port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            folder=folder,
            cpus=os.cpu_count() or 1,
        )
    )
    return config


def _munged(program: str, folder: Path) -> list[str]:
    return [
        program,
        "--foreground",
        f"--socket={folder}/munge.socket",
        f"--key-file={folder}/munge.key",
        f"--pid-file={folder}/munged.pid",
        f"--seed-file={folder}/munged.seed",
    ]


@contextmanager
def slurm() -> Iterator[Slurm]:
    """A private Slurm, ready to run a job. Unavailable: not installed. BenchError: no start."""
    programs = {
        name: need(name, PACKAGE) for name in ("munged", "munge", "slurmctld", "slurmd", "srun")
    }
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("slurm"))
        folder.chmod(0o711)  # munged refuses a socket that others could not reach
        config = _write_config(folder)
        env = marked({"SLURM_CONF": str(config)})

        def start(argv: Sequence[str]) -> ForegroundDaemon:
            return stack.enter_context(ForegroundDaemon(argv, env))

        start(_munged(programs["munged"], folder)).wait_for("Created socket")
        call([programs["munge"], "--no-input", f"--socket={folder}/munge.socket"], env)
        start([programs["slurmctld"], "-D", "-f", str(config), "-v"]).wait_for(
            "Running as primary controller"
        )
        start([programs["slurmd"], "-D", "-f", str(config), "-v"]).wait_for("slurmd started")
        # srun queues until the node has registered, so its first success is the readiness.
        call([programs["srun"], "-n1", "true"], env, deadline=60)
        yield Slurm(programs["srun"], env)
