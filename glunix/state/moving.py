"""Where the processes of running jobs may move, and that they have (docs/migration.md).

Owns the choice of a node, the intent until the home says how it ended, and the change of the books.
The home's daemon carries the move out and decides; a lost master holds up none that has begun.
"""

from glunix.errors import Refused
from glunix.ids import NodeName, Npid, Vnn, Why
from glunix.msg.master import MayMove, MoveQuery, ProcMoved, RequestRefused
from glunix.state.core import MasterCore, PeerFault
from glunix.state.events import LinkId, clip
from glunix.state.jobs import Job, Proc
from glunix.state.ndb import Node
from glunix.state.rexec import ROOT, choose


class Moving:
    """Answers MoveQuery and takes ProcMoved."""

    def __init__(self, core: MasterCore) -> None:
        self._core = core

    def asked(self, link: LinkId, home: Node, ask: MoveQuery, now: float) -> None:
        """Name a node, or say why there is none."""
        core = self._core
        try:
            job, proc = self._target(home, ask)
            wanted = [ask.node] if ask.node else []
            if ask.node == proc.node:
                raise Refused(Why.BAD_REQUEST, f"job {job.npid} is on {proc.node} already")
            name = choose(core.ndb, 1, wanted, [] if wanted else [proc.node])[0]
        except Refused as refusal:
            text = clip(str(refusal))
            core.out.send(link, RequestRefused(ask.request, refusal.why, text))
            return
        core.pdb.intend(proc, name)
        core.pdb.note(job.npid, now, f".{proc.vnn} is to move from {proc.node} to {name}")
        address = core.ndb.nodes[name].address
        core.out.send(link, MayMove(ask.request, name, address, job.npid, proc.vnn))

    def _target(self, home: Node, ask: MoveQuery) -> tuple[Job, Proc]:
        name = f"{ask.npid}.{ask.vnn}"
        job = self._core.pdb.jobs.get(Npid(ask.npid))
        if job is None:
            raise Refused(Why.NO_JOB, f"no job {ask.npid}")
        if ask.uid not in (job.uid, ROOT):
            raise Refused(Why.NOT_YOURS, f"job {ask.npid} belongs to uid {job.uid}")
        if job.home != home.name:
            raise Refused(Why.BAD_REQUEST, f"job {ask.npid} has its home on {job.home}: ask there")
        proc = job.procs.get(Vnn(ask.vnn))
        if proc is None or not proc.live or job.ending:
            raise Refused(Why.NO_JOB, f"process {name} has ended")
        return job, proc

    def moved(self, home: Node, told: ProcMoved, now: float) -> None:
        """The home says how it ended."""
        pdb = self._core.pdb
        job = pdb.jobs.get(Npid(told.npid))
        if job is None:
            return
        if job.home != home.name:
            raise PeerFault(f"job {job.npid} has its home on {job.home}")
        proc = job.procs.get(Vnn(told.vnn))
        if proc is None or not proc.live:
            return
        if not told.pid:
            pdb.intend(proc, None)
            return
        if pdb.intended(proc) == told.node:
            pdb.relocate(proc, NodeName(told.node), now)
        elif proc.node != told.node:
            raise PeerFault(f"process {job.npid}.{proc.vnn} moved where nobody sent it")
        proc.pid, proc.row = told.pid, None
