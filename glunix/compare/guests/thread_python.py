# guest: Python threads with queues, locks, events, subprocesses and a thread pool
# area: threads
# source: threading, queue, concurrent.futures, subprocess modules
# calls: clone|clone3, futex, wait4|waitid, pipe2
# broken-by: pipe2:error=EMFILE
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor


def check(what, want, got):
    if want != got:
        print(f"{what}: expected {want!r}, got {got!r}")
        sys.exit(1)
    print(f"{what} is {got!r}", flush=True)


work, results = queue.Queue(maxsize=4), queue.Queue()


def worker():
    while (item := work.get()) is not None:
        results.put(item * item)


threads = [threading.Thread(target=worker) for _ in range(4)]
for thread in threads:
    thread.start()
for n in range(100):
    work.put(n)
for _ in threads:
    work.put(None)
for thread in threads:
    thread.join()
check("sum of squares", 328350, sum(results.get() for _ in range(100)))

event = threading.Event()
threading.Timer(0.01, event.set).start()
check("event", True, event.wait(10))


def child(n):
    try:
        command = ["sh", "-c", f"cat; exit {n}"]
        done = subprocess.run(command, input=b"x" * n, capture_output=True, check=False)
    except OSError as error:
        return error.strerror
    return done.returncode, len(done.stdout)


with ThreadPoolExecutor(4) as pool:
    check("children", [(n, n) for n in range(8)], list(pool.map(child, range(8))))
check("threads left", 1, threading.active_count())
print("ok")
