"""One ptrace tracer and its tasks: the wait loop of the `ptrace` and `ptrace-seccomp` engines.

Owns the tasks' states. A task is RUNNING, at the ENTRY stop of a call that is being decided, or
PARKED: a call whose handler has asked runs `pause` in its stead, so that signals, stops and death
interrupt it exactly as they would the real call, and the kernel's own restart logic decides
between EINTR and a restart (ERESTARTSYS is put where the kernel looks for it). What interrupts is
known only afterwards, so the call is then SUSPENDED: if it was a signal that the program ignores
(the kernel queues those for a tracer) the same call comes again and waits on as if nothing had
been; otherwise it is cancelled.
"""

import errno
import os
import select
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from slic.engine import Host
from slic.engines.pending import Pending, PendingCalls
from slic.engines.ptrace.detach import FORK_EVENTS, LettingGo, restart
from slic.engines.ptrace.inject import SYSCALL_TRAP, Injection
from slic.engines.ptrace.task import PtraceTracee, State, Task, drop, ignores
from slic.engines.tracee import TaskTracee
from slic.interposer import Call, Event, ProcessEvent
from slic.kernel import ptrace as pt
from slic.kernel.pidfd import process_of
from slic.kernel.seccomp import AUDIT_ARCH_X86_64
from slic.kernel.sigchld import ChildSignal
from slic.policy import Decision, Policy
from slic.syscalls import BY_NAME, BY_NUMBER, FIRST_UNKNOWN, X32_BIT, by_number
from slic.tracee import CallGone
from slic.verdict import Continue, Fail, Inject, Return, ReturnFd, Rewrite

GROUP_STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
OPTIONS = (
    pt.O_TRACESYSGOOD | pt.O_TRACEFORK | pt.O_TRACEVFORK | pt.O_TRACECLONE | pt.O_TRACEEXEC
) | pt.O_TRACESECCOMP
STEPS = 64
"""Handled at once, before a host's other sources have their turn."""

PAUSE = BY_NAME["pause"].number
IO_URING_SETUP = BY_NAME["io_uring_setup"].number


class PtraceSession:
    """See the module. Serve it from the thread that made it: the kernel knows tracers by thread.

    With `every` each call stops (the `ptrace` engine), else only what the filter sends. `parks`
    is off for attached programs: if the supervisor died they would stay in `pause`.
    """

    reaps = True

    def __init__(self, policy: Policy, host: Host, child: int, every: bool, parks: bool) -> None:
        self.ended = False
        self.tasks: dict[int, Task] = {}
        self._policy = policy
        self._wanted = policy.subscription()
        self._host = host
        self._child = child
        self._every = every
        self._parks = parks
        self._next_id = 1
        self._pending = PendingCalls(host, self._carry, self._inject)
        self._sigchld = ChildSignal()
        self._epoll = select.epoll()
        for fd in (*self._sigchld.descriptors, self._pending.wake):
            self._epoll.register(fd, select.EPOLLIN)
        self._closed = self._leaving = False
        self._stop: tuple[int, int] | None = None  # the wait status being handled
        self._early: set[int] = set()  # tasks seen before their parent's fork event

    # -- the loop's side ---------------------------------------------------------------------
    def fileno(self) -> int:
        return self._epoll.fileno()

    def sources(self) -> Mapping[int, Callable[[int], object]]:
        return {self._epoll.fileno(): lambda _: any(not self.step() for _ in range(STEPS))}

    def poller(self, *folders: str) -> None:
        """None: calls stop the program, and only its tracer lets it go on."""

    def step(self) -> bool:
        if self.ended:
            return False
        if any(fd == self._pending.wake for fd, _ in self._epoll.poll(0)):
            self._pending.collect()
            return True
        if self._wait(os.WNOHANG):
            return True
        # Only now take the signal: what ends after this look raises it again.
        self._sigchld.drain()
        return self._wait(os.WNOHANG)

    def serve(self) -> None:
        while not (self.ended or self._leaving):
            if self._pending.calls:
                self._epoll.poll()
                self.step()
            else:
                self._wait(0)

    def leave(self) -> None:
        """Have `serve` return soon. For a signal handler: raising would lose a stop's status."""
        self._leaving = True
        for tid in list(self.tasks):
            try:
                pt.request(pt.INTERRUPT, tid)  # so that there is a status to wait for
                return
            except ProcessLookupError:
                continue

    def answer(self, call_id: int, value: Any) -> bool:
        return self._pending.answer(call_id, value)

    def still_valid(self, call_id: int) -> bool:
        return call_id in self._pending.calls

    def sweep(self) -> None:
        """See what has been interrupted: here interruptions are events, so handle what is due."""
        while self._wait(os.WNOHANG):
            pass

    def close(self) -> None:
        """Detach from every task; interrupted questions run as native calls.

        What handlers and host raise meanwhile comes out when all is done.
        """
        if self._closed:
            return
        self._closed = True
        self.ended = True
        with ExitStack() as all_of_it:
            all_of_it.callback(self._sigchld.close)
            all_of_it.callback(self._epoll.close)
            all_of_it.callback(self._pending.close)
            letting_go = LettingGo(self.tasks, self._early, self._sigchld, self._ended)
            all_of_it.callback(letting_go.run, self._stop)
            self._pending.cancel_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- taking tasks on and letting them go -------------------------------------------------
    def seize(self, tid: int, exit_kill: bool) -> None:
        """Trace a running task from now on, through its next stop."""
        pt.request(pt.SEIZE, tid, 0, OPTIONS | (pt.O_EXITKILL if exit_kill else 0))
        self.tasks[tid] = Task(tid)
        pt.request(pt.INTERRUPT, tid)

    def adopt(self, tid: int) -> None:
        """Know a task that is traced already, through its parent's fork."""
        self.tasks.setdefault(tid, Task(tid))

    # -- wait statuses -----------------------------------------------------------------------
    def _wait(self, flags: int) -> bool:
        try:
            tid, status = os.waitpid(-1, pt.WALL | flags)
        except ChildProcessError:
            self.ended = True
            return False
        if tid:
            self._stop = (tid, status)
            self._event(tid, status)
            self._stop = None
        return tid != 0

    def _event(self, tid: int, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self._ended(tid, status)
            return
        task = self.tasks.get(tid)
        if task is None:
            task = self.tasks[tid] = Task(tid)
            self._early.add(tid)
        number, event = os.WSTOPSIG(status), status >> 16
        try:
            if event == pt.EVENT_SECCOMP:
                self._seccomp_stop(task)
            elif number == SYSCALL_TRAP:
                self._syscall_stop(task)
            elif event == pt.EVENT_STOP and number in GROUP_STOPS:
                self._interrupted(task, number)
                pt.request(pt.LISTEN, tid)
                self._policy.event(Event(ProcessEvent.STOP, tid, value=number))
                if tid == self._child:
                    self._host.stopped(tid, number)
            elif event:
                self._resume(self._process_event(task, event))
            else:
                self._resume(task, self._interrupted(task, self._policy.signal(tid, number)))
        except (ProcessLookupError, CallGone):
            pass  # killed while stopped: its end comes as the next status

    def _interrupted(self, task: Task, number: int) -> int:
        """A signal or stop for a task: what that means for a suspended call; what to deliver."""
        if task.state is not State.SUSPENDED or not number or ignores(task.tid, number):
            return number
        if task.decision is not None or task.inject is not None:
            task.deferred += (number,)  # the answer has been accepted: first it, then the signal
            return 0
        task.state = State.RUNNING
        self._cancel_call_of(task)
        return number

    def _process_event(self, task: Task, event: int) -> Task:
        """Note a fork or exec; the task to resume (exec changes which one that is)."""
        tid = task.tid
        if event in FORK_EVENTS:
            new = pt.event_message(tid)
            if new not in self._early:
                self.tasks.setdefault(new, Task(new))
            if ProcessEvent.FORK in self._wanted.events:
                thread = event == pt.EVENT_CLONE and os.path.exists(f"/proc/{tid}/task/{new}")
                self._policy.event(Event(ProcessEvent.FORK, tid, new, int(thread)))
            self._early.discard(new)  # last: `close` may come to this very stop again
        elif event == pt.EVENT_EXEC:
            former = pt.event_message(tid)
            if former != tid and (moved := self.tasks.pop(former, None)) is not None:
                # A thread that execs takes its leader's id; the leader's own call is gone.
                self._cancel_call_of(task)
                moved.tid = tid
                task = self.tasks[tid] = moved
            self._policy.event(Event(ProcessEvent.EXEC, tid, former))
        return task

    def _ended(self, tid: int, status: int) -> None:
        self._stop = None  # it is over with this one, whatever is raised below
        task = self.tasks.pop(tid, None)
        with ExitStack() as all_of_it:
            if tid == self._child or task is None:
                all_of_it.callback(self._host.exited, tid, status)
            if not self.tasks:
                self.ended = True
            if task is not None:
                all_of_it.callback(self._policy.event, Event(ProcessEvent.EXIT, tid, value=status))
                self._cancel_call_of(task)

    def _cancel_call_of(self, task: Task) -> None:
        call, task.call = task.call, None
        decision, task.decision = task.decision, None
        if decision is not None:
            drop(decision)
        if call is not None:
            self._pending.cancel(call.id)

    def _resume(self, task: Task, deliver: int = 0) -> None:
        request = pt.SYSCALL if self._every or task.exit_wanted else pt.CONT
        pt.request(request, task.tid, 0, deliver)

    # -- calls -------------------------------------------------------------------------------
    def _seccomp_stop(self, task: Task) -> None:
        if task.state is State.PARKED:
            pt.request(pt.SYSCALL, task.tid)  # `pause` itself is subscribed: no concern here
        elif task.passing:
            task.passing = False
            self._resume(task)
        else:
            number, args, task.token = pt.call_registers(task.tid)
            self._caught(task, number, args)

    def _syscall_stop(self, task: Task) -> None:
        info = pt.syscall_info(task.tid)
        if info.op == pt.OP_EXIT:
            self._exit_stop(task, info.words[0])
        elif task.state is State.PARKED:
            pt.request(pt.SYSCALL, task.tid)
        elif not self._every or self._foreign(task, info.arch, number := info.words[0]):
            self._resume(task)
        elif number in self._wanted.calls or number in self._wanted.results:
            self._caught(task, number, info.words[1:])
        else:
            self._resume(task)

    def _caught(self, task: Task, number: int, args: tuple[int, ...]) -> None:
        if task.state is State.SUSPENDED and task.call is not None:
            if (task.call.syscall.number, task.call.args) == (number, args):
                self._go_on(task, task.call)
                return
            self._cancel_call_of(task)
        call = Call(BY_NUMBER.get(number) or by_number(number), args, self._next_id)
        self._next_id += 1
        task.call, task.state = call, State.ENTRY
        tracee = PtraceTracee(task, call.id)
        decided = self._policy.decide(call, tracee)
        if type(decided) is Decision:
            self._carry(call, tracee, decided)
            return
        self._pending.start(call, tracee, decided)  # type: ignore[arg-type]
        self._park(task, call)

    def _park(self, task: Task, call: Call) -> None:
        """If the handler has asked and waits, let the task wait where signals reach it."""
        if call.id in self._pending.calls and self._parks and task.state is State.ENTRY:
            task.state = State.PARKED
            task.reentered = False
            pt.poke(task.tid, pt.ORIG_RAX, PAUSE)
            pt.request(pt.SYSCALL, task.tid)

    def _go_on(self, task: Task, call: Call) -> None:
        """A suspended call has come again: it is the same one, with what came for it meanwhile."""
        task.state = State.ENTRY
        if task.decision is not None:
            decision, task.decision = task.decision, None
            deferred, task.deferred = task.deferred, ()
            self._at_entry(task, call, PtraceTracee(task, call.id), decision)
            for number in deferred:
                pt.tgkill(process_of(task.tid), task.tid, number)
            return
        if task.inject is not None and (pending := self._pending.calls.get(call.id)):
            question, task.inject = task.inject, None
            self._inject(pending, question)
        self._park(task, call)

    def _foreign(self, task: Task, arch: int, number: int) -> bool:
        """Another ABI, or io_uring: passed or refused (contract paragraph 8); True if settled."""
        if arch != AUDIT_ARCH_X86_64:
            refused = self._wanted.confines
        elif number == IO_URING_SETUP:
            refused = self._wanted.io_uring_bypasses
        elif X32_BIT <= number < 2 * X32_BIT:
            refused = True
        elif FIRST_UNKNOWN <= number < X32_BIT:
            refused = self._wanted.confines
        else:
            return False
        if refused:
            pt.skip(task.tid, -errno.ENOSYS, 0)
        return True

    def _exit_stop(self, task: Task, raw: int) -> None:
        if task.state is State.PARKED:
            self._unpark(task)
            return
        if task.call is not None:
            call = task.call
            value = raw - (1 << 64) if raw >> 63 else raw
            for offset, before in task.restore:
                pt.poke(task.tid, offset, before)
            task.restore = ()
            seen = self._policy.result(call, PtraceTracee(task, call.id), value, task.depth)
            task.call = None
            if seen != value:
                pt.poke(task.tid, pt.RAX, seen)
        task.exit_wanted = False
        self._resume(task)

    # -- answers -----------------------------------------------------------------------------
    def _carry(self, call: Call, tracee: TaskTracee, decision: Decision) -> bool:
        """Carry out a decision now, or as soon as the parked task has come out of `pause`."""
        task = self.tasks.get(tracee.tid)
        if task is None or task.call is None or task.call.id != call.id:
            drop(decision)
            return False
        try:
            if task.state is State.SUSPENDED:
                task.decision = decision
            elif task.state is State.PARKED:
                task.decision = decision
                pt.request(pt.INTERRUPT, task.tid)
            else:
                self._at_entry(task, call, tracee, decision)
        except (ProcessLookupError, CallGone):
            return False
        return True

    def _at_entry(self, task: Task, call: Call, tracee: TaskTracee, decision: Decision) -> None:
        verdict = decision.verdict
        task.depth = decision.depth
        reentered, task.reentered = task.reentered, False
        if type(verdict) is Continue or type(verdict) is Rewrite:
            task.passing = reentered and not self._every
            if type(verdict) is Rewrite:
                self._rewrite(task, call, verdict)
            if not (task.restore or self._policy.wants_result(call.syscall.number)):
                task.call = None
            task.exit_wanted = task.call is not None
        elif type(verdict) is ReturnFd:
            self._hand_in(task, call, tracee, verdict, at_entry=True)
            task.call = None
        else:
            pt.skip(task.tid, self._result(call, tracee, decision), task.token)
            task.call = None
        task.state = State.RUNNING
        self._resume(task)

    def _result(self, call: Call, tracee: TaskTracee, decision: Decision) -> int:
        verdict = decision.verdict
        assert isinstance(verdict, Return | Fail)
        value = verdict.value if isinstance(verdict, Return) else -verdict.errno
        return self._policy.result(call, tracee, value, decision.depth)

    def _rewrite(self, task: Task, call: Call, verdict: Rewrite) -> None:
        for name, value in verdict.args.items():
            index = call.syscall.index(name)
            task.restore += ((pt.ARGUMENTS[index], call.args[index]),)
            pt.poke(task.tid, pt.ARGUMENTS[index], value)

    def _hand_in(
        self, task: Task, call: Call, tracee: TaskTracee, verdict: ReturnFd, at_entry: bool
    ) -> None:
        try:
            with self._injection(task, call, at_entry) as injection:
                value = injection.hand_in(verdict)
                value = self._policy.result(call, tracee, value, task.depth)
                injection.finish(value)
        finally:
            if verdict.close:
                os.close(verdict.fd)

    def _unpark(self, task: Task) -> None:
        """The exit stop of `pause`: by our interrupt with an answer, or by a signal."""
        call, decision = task.call, task.decision
        assert call is not None
        try:
            if decision is None and task.inject is None:
                restart(task)
                task.state = State.SUSPENDED
                self._resume(task)
            else:
                task.state, task.decision = State.RUNNING, None
                self._unparked(task, call, decision)
        except (ProcessLookupError, CallGone):
            raise
        except BaseException:
            # Let go now it would go on in `pause`; from this state `close` restarts the call.
            task.state, task.call = State.PARKED, call
            raise

    def _unparked(self, task: Task, call: Call, decision: Decision | None) -> None:
        tracee = PtraceTracee(task, call.id)
        if decision is None or isinstance(decision.verdict, Continue | Rewrite):
            self._enter_again(task, call, decision, tracee)
            return
        task.depth = decision.depth
        if isinstance(decision.verdict, ReturnFd):
            self._hand_in(task, call, tracee, decision.verdict, at_entry=False)
        else:
            value = self._result(call, tracee, decision)
            pt.poke(task.tid, pt.ORIG_RAX, -1)
            pt.poke(task.tid, pt.RAX, value)
        task.call = None
        self._resume(task)

    def _enter_again(
        self, task: Task, call: Call, decision: Decision | None, tracee: TaskTracee
    ) -> None:
        """From the exit of `pause` to the entry of the real call: to run it, or to inject."""
        question, task.inject = task.inject, None
        result = 0
        with self._injection(task, call, at_entry=False) as injection:
            if question is not None:
                result = injection.call(question.name, *question.args)
            injection.enter_again(call.syscall.number)
        task.state, task.reentered = State.ENTRY, True
        if decision is not None:
            self._at_entry(task, call, tracee, decision)
        else:
            self._pending.answer(call.id, result)
            self._park(task, call)

    def _injection(self, task: Task, call: Call, at_entry: bool) -> Injection:
        return Injection(
            task.tid, at_entry, call.syscall.number, lambda status: self._ended(task.tid, status)
        )

    def _inject(self, pending: Pending, question: Inject) -> None:
        """Perform the question's call in the task, come back to the entry, resume the handler."""
        task = self.tasks[pending.tracee.tid]
        if task.state in (State.PARKED, State.SUSPENDED):
            task.inject = question
            if task.state is State.PARKED:
                pt.request(pt.INTERRUPT, task.tid)
            return
        with self._injection(task, pending.call, at_entry=True) as injection:
            result = injection.call(question.name, *question.args)
            injection.enter_again(pending.call.syscall.number)
        task.reentered = True
        self._pending.answer(pending.call.id, result)
