"""The engine contract: what every mechanism promises. slic.registry chooses one.

Terms. An *engine* is a mechanism that catches system calls (ptrace, seccomp user notification).
A *policy* (`slic.policy`) decides them. A *session* is one engine driving one policy over one tree
of processes, in one supervisor process. A *host* is whoever owns the supervisor's event loop.

1. Starting. `prepare(policy)` compiles the policy and gives a `Launch`. The host forks; the child
   calls `launch.install()` as late as possible, right before execve; the parent calls
   `launch.session(host)`, which returns when the child is caught. From then on every subscribed
   call of the child and of all its descendants is the session's. The child may make subscribed
   calls between install and execve: they are answered like any other, so the parent must step.
   Everything the policy needs is compared with the engine's capabilities in `prepare`: a missing
   one is `MissingCapability`, before the program starts. Nothing is silently replaced. Then the
   interposers hear `started(capabilities)`.
2. Stepping. `fileno()` is readable when `step()` has something to do; `step()` never blocks and
   handles at most one event; `sources` is a quicker way to the same. A session is used by the
   thread that made it.
3. Deciding. Each caught call gets an id, unique in the session. The policy's verdict is carried
   out. A handler that is a generator may yield a question: the engine answers `Blocking` and
   `Inject` itself and gives every other to `host.ask(id, question, tracee)`. The host calls
   `session.answer(id, value)` whenever it has the answer, also from inside `ask`; an exception
   instance as the value is raised at the yield. `answer` is True when the program got the verdict
   (or another question was asked), False when the call was gone: then whatever the host fetched
   for it was not consumed.
4. Interruption. A waiting call is interrupted by any signal with a handler, by a stop, and by
   death. Natively a call then fails with EINTR, or restarts (SA_RESTART, SIGCONT). The same
   happens here: the old id is dead for ever (its generator is closed, the host hears
   `cancelled(id)` exactly once), and a restarted call comes as a new call with a new id and asks
   anew. How promptly the host hears it differs by engine and is told in the engine's docstring;
   `still_valid(id)` asks the kernel now, `sweep()` does so for every waiting call.
5. Memory. A `Tracee` is checked to still be the caller after every look at it, and before and
   after every change.
   BadAddress becomes EFAULT, an OSError raised by a handler becomes its errno (in an `after`
   handler both leave the result as it is), CallGone drops the call. Any other exception of a
   handler, an OSError where there is no call (events, signals) and whatever a host's method
   raises is a bug: it leaves `step()` or `answer()`, and closing the session must then leave no
   program stopped and no call waiting, even if handlers go on raising.
6. Results. A verdict's result passes up through the `after` handlers above its interposer. The
   kernel's own result is shown only by engines with EXIT.
7. Ending. `step()` returns False once `ended` is set: no process under the policy is left; the
   host then calls `policy.finished()`. `close()` gives up the program: what each engine leaves
   behind is told in its docstring, and it is never a stopped process. Closing is idempotent; a
   session is a context manager.
8. Other ABIs. Only the x86-64 table is ever read into names. A call through the 32-bit entry or
   with an x32 number is never misread: it fails with ENOSYS when the policy confines (any
   interposer with `confines`), otherwise it passes untouched; so does a number beyond the table
   (a call of a newer kernel). io_uring_setup fails with ENOSYS when the policy subscribes to a
   call that io_uring can make.
9. Observing. An engine without HOLD holds nothing: calls, results, events and signals are told in
   order for each process, while it goes on. Memory is what was copied as the call was made (text of
   arguments), the rest is BadAddress; descriptors and places are as they are by then. It can do no
   more, and the policy's handlers must have said that this will do (`observes`).
10. Waiting. The child belongs to the host: engines with `reaps` set take wait statuses themselves
   (ptrace cannot do otherwise) and tell `host.exited(pid, wait_status)` and `host.stopped(pid,
   signal)` for the first child, and `exited` for any other child of the supervisor. With the rest
   the host waits for its child as usual.

What the capabilities mean: `slic.verdict.Capability`.
"""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from slic.policy import Policy
from slic.tracee import Tracee
from slic.verdict import Capability, Question

__all__ = [
    "Capability",
    "Engine",
    "EngineUnavailable",
    "Host",
    "Launch",
    "MissingCapability",
    "Session",
    "begin",
    "check",
]


class EngineUnavailable(RuntimeError):
    """The engine does not exist or does not work on this kernel; the message says why."""


class MissingCapability(RuntimeError):
    """A handler of the policy needs what the engine cannot do."""


class Host(Protocol):
    """Who owns the loop: hears questions of handlers and ends of calls."""

    def ask(self, call_id: int, question: Question, tracee: Tracee) -> None:
        """A handler asks. Answer now or later with `session.answer(call_id, value)`."""

    def cancelled(self, call_id: int) -> None:
        """A call that asked is gone, its answer unused. Told once per asked call."""

    def exited(self, pid: int, wait_status: int) -> None:
        """Engines with `reaps` only: a child of the supervisor ended."""

    def stopped(self, pid: int, signal_number: int) -> None:
        """Engines with `reaps` only: the first child was stopped by a signal (group-stop)."""


class Poller(Protocol):
    """What a host's loop needs of select.poll."""

    def register(self, fd: int, events: int) -> object: ...
    def unregister(self, fd: int) -> object: ...
    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]: ...


class Session(Protocol):
    """One engine driving one policy; paragraphs 2 to 7 of the contract."""

    @property
    def ended(self) -> bool: ...
    def fileno(self) -> int: ...
    def step(self) -> bool:
        """Handle one ready event; True if there was one."""

    def sources(self) -> Mapping[int, Callable[[int], object]]:
        """Instead of `fileno` and `step`, for a host whose loop is poll(2): each descriptor, and
        what to call with its events when it has some; never blocks. Level-triggered."""

    def poller(self, *folders: str) -> Poller | None:
        """For such a host, in the place of its select.poll: one that spares it the calls which
        concern nobody. None: this engine has none, or none is compiled here or in the folders."""

    def serve(self) -> None:
        """Handle events until `ended`; blocks. For a supervisor with no other loop."""

    def answer(self, call_id: int, value: Any) -> bool: ...
    def still_valid(self, call_id: int) -> bool: ...
    def sweep(self) -> None:
        """Cancel every asked call that is gone."""

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Launch(Protocol):
    """The two halves of a start: `install` in the child, `session` in the parent."""

    def install(self) -> None:
        """In the forked child, right before execve."""

    def session(self, host: Host) -> Session:
        """In the parent, right after fork; EngineUnavailable if the child could not install."""

    def close(self) -> None:
        """Give up before `session` (fork failed)."""


class Engine(Protocol):
    """A mechanism. One instance serves any number of sessions."""

    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> Capability: ...
    @property
    def reaps(self) -> bool: ...
    def unavailable(self) -> str | None:
        """None if it works on this kernel for this user, else why not. Probes, never assumes."""

    def prepare(self, policy: Policy) -> Launch: ...


def check(policy: Policy, engine: Engine, others: Iterable[Engine] = ()) -> None:
    """MissingCapability naming handler, capability and the engines (of `others`) that have it."""
    faults = []
    for need in policy.needs():
        if need.capability in engine.capabilities:
            continue
        having = [e.name for e in others if need.capability in e.capabilities]
        which = f"{', '.join(having)} can" if having else "no engine can"
        of = f" ({', '.join(need.calls)})" if need.calls else ""
        faults.append(
            f"{need.interposer}.{need.method}{of} needs {need.capability.name}: "
            f"engine {engine.name} cannot, {which}"
        )
    if faults:
        raise MissingCapability("; ".join(faults))


def begin(policy: Policy, engine: Engine) -> None:
    """What every engine's `prepare` does first: check, then tell the interposers."""
    check(policy, engine)
    policy.started(engine.capabilities)
