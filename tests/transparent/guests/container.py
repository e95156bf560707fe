"""container.py COMMAND...: run it as root of a user namespace with 65536 ids, as a rootless
container has it: with pids, mounts, /proc and /run of its own. For root, which gives the ids."""

import ctypes
import os
import signal
import sys

FIRST, COUNT = 100000, 65536
NEW_USER, NEW_MOUNTS, NEW_PIDS = 0x10000000, 0x20000, 0x20000000
SET_UP = 'mount -t proc proc /proc && mount -t tmpfs run /run && exec "$@"'


def inside(made: int, given: int) -> int:
    """The child: leaves for the namespace, says so, and becomes its root when it has ids."""
    if ctypes.CDLL(None).unshare(NEW_USER | NEW_MOUNTS | NEW_PIDS):
        return 125
    os.write(made, b"+")
    os.read(given, 1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and so would the command
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    init = os.fork()
    if init == 0:
        os._exit(be_init())
    return os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])


def be_init() -> int:
    """Pid 1 in there: starts the command, and reaps what others leave."""
    command = os.spawnvp(os.P_NOWAIT, "sh", ["sh", "-c", SET_UP, "sh", *sys.argv[1:]])
    while True:
        pid, status = os.wait()
        if pid == command:
            return abs(os.waitstatus_to_exitcode(status))


made_r, made_w = os.pipe()
given_r, given_w = os.pipe()
child = os.fork()
if child == 0:
    os._exit(abs(inside(made_w, given_r)))
os.close(made_w)
if os.read(made_r, 1):
    for kind in ("uid", "gid"):
        with open(f"/proc/{child}/{kind}_map", "w", encoding="ascii") as ids:
            ids.write(f"0 {FIRST} {COUNT}")
    os.write(given_w, b"+")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
