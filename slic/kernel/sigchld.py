"""A descriptor that is readable when a child or a tracee may have something to wait for.

A ptrace stop has no descriptor of its own, only SIGCHLD. In the main thread Python's wakeup
descriptor tells it, whichever thread the kernel gave the signal to. Elsewhere, or where the wakeup
descriptor is already in use (asyncio), a signalfd does: then every thread of the process must have
SIGCHLD blocked, because one that has not may take the signal and drop it.
"""

import os
import signal
import threading

from slic.kernel.ptrace import signalfd


class ChildSignal:
    """Hears SIGCHLD until closed; what was set up before is put back then."""

    def __init__(self) -> None:
        self._theirs = -1
        self._handler: signal.Handlers | object = None
        if threading.current_thread() is threading.main_thread() and self._take_wakeup():
            self._before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        else:
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            self._fd = signalfd(signal.SIGCHLD)

    def _take_wakeup(self) -> bool:
        """False if the wakeup descriptor is somebody else's."""
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if (used := signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)) >= 0:
            signal.set_wakeup_fd(used)
            os.close(ours)
            os.close(theirs)
            return False
        self._fd, self._theirs = ours, theirs
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        return True

    def fileno(self) -> int:
        return self._fd

    def drain(self) -> None:
        """Forget what was signalled so far: to be followed by a look for statuses."""
        try:
            os.read(self._fd, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        if self._theirs >= 0:
            signal.signal(signal.SIGCHLD, self._handler or signal.SIG_DFL)  # type: ignore[arg-type]
            signal.set_wakeup_fd(-1)
            os.close(self._theirs)
        os.close(self._fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
