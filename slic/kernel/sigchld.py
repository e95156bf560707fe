"""Descriptors that are readable when a child or a tracee may have something to wait for.

A ptrace stop has no descriptor of its own, only SIGCHLD. In the main thread Python's wakeup
descriptor tells it, whichever thread the kernel gave the signal to. Elsewhere, or where the wakeup
descriptor is already in use (asyncio), a signalfd does; a thread that does not block SIGCHLD may
then take the signal and drop it, so while there is one a timer makes the session look.
"""

import os
import signal
import threading

from slic.kernel.ptrace import other_threads_take, signalfd, timerfd

LOOK_SECONDS = 0.002
"""How often to look for stops when another thread of this process takes SIGCHLD."""


class ChildSignal:
    """Hears SIGCHLD until closed; what was set up before is put back then."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self._theirs = -1
        self._handler: signal.Handlers | object = None
        if threading.current_thread() is threading.main_thread() and self._take_wakeup():
            self._before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        else:
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            self.descriptors = [signalfd(signal.SIGCHLD)]
            if other_threads_take(signal.SIGCHLD):
                self.descriptors.append(timerfd(LOOK_SECONDS))

    def _take_wakeup(self) -> bool:
        """False if the wakeup descriptor is somebody else's."""
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if (used := signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)) >= 0:
            signal.set_wakeup_fd(used)
            os.close(ours)
            os.close(theirs)
            return False
        self.descriptors, self._theirs = [ours], theirs
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        return True

    def drain(self) -> None:
        """Forget what was signalled so far: to be followed by a look for statuses."""
        for fd in self.descriptors:
            try:
                os.read(fd, 4096)
            except BlockingIOError:
                pass

    def close(self) -> None:
        if self._theirs >= 0:
            signal.signal(signal.SIGCHLD, self._handler or signal.SIG_DFL)  # type: ignore[arg-type]
            signal.set_wakeup_fd(-1)
            os.close(self._theirs)
        for fd in self.descriptors:
            os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
