"""Runs inside HyperQueue's own environment: `run N` on stdin, `done SECONDS` on stdout.

Started as a plain script by `hyperqueue.py`; imports nothing of ours. A run is one job of N
`/bin/true` tasks, from its building until the last task has run. The client's own wait looks
once a second, which would blur any figure, so a task of lower priority says the end through a
FIFO; the wait follows outside the timed part.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import os
import socket
import struct
import sys
import time
from pathlib import Path

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def leave_the_network() -> None:
    """Move to a network namespace with loopback only: HyperQueue listens on every address."""
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "unshare(network)")
    with socket.socket() as any_socket:
        request = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        was = struct.unpack_from("16sh", request)[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", was | _IFF_UP))


def main() -> int:
    """`hyperqueue_driver.py FOLDER WORKERS CORES`; ends at the end of stdin."""
    folder, workers, cores = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    try:
        leave_the_network()
    except OSError as error:
        print(f"failed no network namespace, and it would listen everywhere: {error}", flush=True)
        return 1
    # The library draws a progress bar on stderr, which would be timed with the tasks.
    os.environ["TQDM_DISABLE"] = "1"
    # By name: this environment alone has the library, type checkers run in another.
    hq = importlib.import_module("hyperqueue")
    worker = importlib.import_module("hyperqueue.cluster").WorkerConfig(cores=cores)

    fifo = folder / "last"
    os.mkfifo(fifo)
    last = os.open(fifo, os.O_RDWR)  # also writable here, so that it never reads as closed
    quiet = {"stdout": "/dev/null", "stderr": "/dev/null"}  # the default is two files a task
    with hq.LocalCluster(str(folder)) as cluster:
        for _ in range(workers):
            cluster.start_worker(worker)
        client = cluster.client()
        print("ready", flush=True)
        for line in sys.stdin:
            count = int(line.split()[1])
            begin = time.perf_counter()
            job = hq.Job(default_workdir=str(folder))
            for _ in range(count - 1):
                job.program(["/bin/true"], **quiet)
            job.program(["/bin/sh", "-c", f"echo > {fifo}"], **quiet, priority=-1)
            submitted = client.submit(job)
            os.read(last, 64)
            seconds = time.perf_counter() - begin
            client.wait_for_jobs([submitted])
            client.forget(submitted)
            print(f"done {seconds:.6f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
