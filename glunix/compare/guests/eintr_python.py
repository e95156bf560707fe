# guest: Python retries interrupted calls unless the handler raises
# area: eintr
# source: PEP 475
# calls: read, setitimer, rt_sigaction, rt_sigreturn, clock_nanosleep
# stdin: open-pipe
# on: data -> type "line one\nline"
# on: rest -> type " two\n"
# on: end -> eof
# broken-by: setitimer:retval=0
import os
import signal
import sys
import time

count = 0


def tick(number, frame):
    global count
    count += 1
    if count == 3:
        os.write(1, b"ready data\n")


def check(what, want, got):
    if want != got:
        print(f"{what}: expected {want!r}, got {got!r}")
        sys.exit(1)
    print(f"{what} is {got!r}", flush=True)


class Enough(Exception):
    pass


def stop(number, frame):
    raise Enough


signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
start = time.monotonic()
time.sleep(0.1)  # longer than three ticks: "ready data" is printed during this
slept = time.monotonic() - start
check("slept long enough", True, slept >= 0.1)
check("was interrupted meanwhile", True, count >= 3)
check("first line", b"line one\n", os.read(0, 9))
print("ready rest", flush=True)
check("second line", "line two\n", sys.stdin.readline())
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
try:
    os.read(0, 1)
    check("a handler that raises", "Enough", "data")
except Enough:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("a handler that raises ends the read")
print("ready end", flush=True)
check("the end", "", sys.stdin.read())
print("ok")
