"""Runs one program under a policy and waits for it: the supervisor of `slic run`.

Owns the supervisor's own signals and the exit status. The program is the supervisor's child and
stays in its process group, so ^C and ^Z reach it from the terminal natively:

- A signal of the terminal, or one sent to the whole group, has reached the program already; the
  supervisor ignores it. One that is sent to the supervisor alone (kill PID) is passed on to the
  program (`slic.group_signal` tells them apart).
- When the program is stopped by job control (^Z) the supervisor stops too, so that the shell gets
  its prompt, and both go on with `fg`.
- If the supervisor dies the program is killed (PR_SET_PDEATHSIG, cleared by the kernel when a
  setuid program is executed); its descendants are left to what the engine's docstring tells.
- The supervisor waits for every process under the policy, background ones included.
"""

import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NoReturn

from slic.engine import Engine, Launch, Session
from slic.group_signal import Witness
from slic.kernel.libc import PR_SET_PDEATHSIG, prctl
from slic.policy import Policy
from slic.registry import select
from slic.tracee import Tracee
from slic.verdict import Question

TERMINAL_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
PASSED_ON = {signal.SIGALRM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM} | {
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
}
WAKE = signal.SIGRTMAX  # only to end the thread that takes the supervisor's signals
SI_USER = 0  # sent with kill(2); the terminal's are SI_KERNEL (0x80)
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # what shells answer


class UnansweredQuestion(RuntimeError):
    """An interposer asks its host something, and `slic run` is no host for it."""


class PlainHost:
    """The host of a program that stands alone: it knows no answers, only ends."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.child = 0
        self.session: Session | None = None

    def ask(self, call_id: int, question: Question, tracee: Tracee) -> None:
        error = UnansweredQuestion(f"nobody here answers {question!r}")
        if self.session is None:
            raise error
        self.session.answer(call_id, error)  # raised where the question is asked

    def cancelled(self, call_id: int) -> None:
        """Nothing was fetched for the call, so nothing is lost."""

    def exited(self, pid: int, wait_status: int) -> None:
        if pid == self.child:
            self.status = wait_status

    def stopped(self, pid: int, signal_number: int) -> None:
        if pid == self.child:
            _stop_with(signal_number)


def run(
    policy: Policy,
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    engine: Engine | None = None,
    host: PlainHost | None = None,
) -> int:
    """Run `argv` (found in PATH) under `policy`; its wait status once all processes are gone.

    `engine` defaults to the cheapest that fits (`slic.registry.select`). Call it from the main
    thread: the program is bound to the life of the thread that starts it.
    """
    chosen = engine or select(policy)
    host = host or PlainHost()
    launch = chosen.prepare(policy)
    taken = PASSED_ON | TERMINAL_STOPS
    before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
    sys.stdout.flush()
    sys.stderr.flush()
    with ExitStack() as at_last:
        at_last.callback(_back_to, before, taken)
        at_last.callback(launch.close)
        witness = Witness(PASSED_ON)
        at_last.callback(witness.close)
        child = host.child = os.fork()
        if child == 0:
            _become(launch, argv, os.environ if env is None else env, before)
        waiter: _Waiter | None = None
        try:
            with launch.session(host) as session, _Signals(taken, child, witness):
                host.session = session
                waiter = None if chosen.reaps else _Waiter(host, child)
                try:
                    session.serve()
                except BaseException:
                    # Before the session closes: the program must not go on without its policy.
                    if host.status is None:
                        os.kill(child, signal.SIGKILL)
                    raise
                if waiter is not None:
                    waiter.join()
            policy.finished()
        except BaseException:
            _abandon(child, host, waiter)
            raise
    assert host.status is not None
    return host.status


def _back_to(mask: set[signal.Signals | int], taken: set[signal.Signals]) -> None:
    # What came for a program that has ended meanwhile must not end us in its stead.
    while signal.sigtimedwait(taken, 0) is not None:
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _abandon(child: int, host: PlainHost, waiter: "_Waiter | None") -> None:
    """Never leave the program behind half answered. Its pid is ours until it is waited for."""
    if host.status is not None:
        return
    os.kill(child, signal.SIGKILL)
    if waiter is not None:
        waiter.join()
    else:
        os.waitpid(child, 0)


def _become(
    launch: Launch, argv: Sequence[str], env: Mapping[str, str], mask: set[signal.Signals | int]
) -> NoReturn:
    """In the child: put the engine on, then be the program."""
    code = NOT_EXECUTABLE
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Python ignores these two; the program shall find what the supervisor was started with.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        launch.install()
        os.execvpe(argv[0], list(argv), env)
    except OSError as error:
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        os.write(2, f"slic: {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(code)


class _Waiter:
    """Waits for the child beside a session that does not (engines without `reaps`)."""

    def __init__(self, host: PlainHost, child: int) -> None:
        self._host = host
        self._child = child
        self._thread = threading.Thread(target=self._wait, name="slic-wait", daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        while self._host.status is None:
            _, status = os.waitpid(self._child, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                self._host.stopped(self._child, os.WSTOPSIG(status))
            else:
                self._host.exited(self._child, status)

    def join(self) -> None:
        self._thread.join()


class _Signals:
    """A thread that takes the supervisor's (blocked) signals and passes on what is not shared."""

    def __init__(self, taken: set[signal.Signals], child: int, witness: Witness) -> None:
        self._taken = taken | {WAKE}
        self._witness = witness
        self._pidfd = os.pidfd_open(child)
        self._over = False
        self._thread = threading.Thread(target=self._take, name="slic-signals", daemon=True)

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {WAKE})
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over = True
        assert self._thread.ident is not None
        signal.pthread_kill(self._thread.ident, WAKE)
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
        os.close(self._pidfd)

    def _take(self) -> None:
        while not self._over:
            info = signal.sigwaitinfo(self._taken)
            if info.si_signo in PASSED_ON and info.si_code == SI_USER:
                if self._witness.saw(info.si_signo):
                    continue
                try:
                    signal.pidfd_send_signal(self._pidfd, info.si_signo)
                except ProcessLookupError:
                    continue


def _stop_with(number: int) -> None:
    """Stop the supervisor by the very signal that stopped the program, so the shell tells it.

    Only the terminal's job control (SIGSTOP may be for the program alone); the kernel drops these
    signals in an orphaned process group, for the supervisor as for the program.
    """
    if number in TERMINAL_STOPS:
        # Pending first, unblocked then: the terminal's own signal for us may be pending too, and
        # SIGCONT takes back every stop that is pending, so there is only one.
        signal.pthread_kill(threading.get_ident(), number)
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_like(wait_status: int) -> NoReturn:
    """End this process exactly as the program ended, signals included (without a second core)."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(wait_status) & 0xFF)
