"""Input that goes ahead of the program: what the job did not read is at home, exactly, at the end,
after a stop, and whenever home can know what the program did."""

from __future__ import annotations

import pytest

from .compare import Both

LINES = [
    "{ $G head -c 10; cat; } | md5sum",
    "{ $G head -c 10; $G head -c 70001; $G head -c 3; cat; } | md5sum",
    "{ $G head -c 100000 >g; head -c 9; $G head -c 200000; cat; } | md5sum",
    "{ $G sh -c 'head -c 11; kill -9 $$'; cat; } 2>g | md5sum",
    "{ $G sh -c '(head -c 11); (head -c 12 <&3) 3<&0; head -c 13 & wait'; cat; } | md5sum",
    "{ $G sh -c '(sleep 0.2; head -c 5 >g) <&3 3<&0 & head -c 9'; sleep 0.7; cat g -; } | md5sum",
    "{ $G true; $G sh -c 'exec <&-'; cat; } | md5sum",
    "{ $G bash -c 'read a; read b; echo $a $b'; read c; $G bash -c 'read d; echo $d'; cat; }"
    " | md5sum",
    "{ $G $PYTHON -c 'import os; os.set_blocking(0, False); os.write(1, os.read(0, 7));"
    " os.set_blocking(0, True)'; cat; } | md5sum",
    "{ $G dd bs=1 count=30000 status=none; cat; } | md5sum",
]


@pytest.mark.parametrize("line", LINES)
def test_what_is_left_is_at_home(both: Both, line: str) -> None:
    """The pipe is full before the job begins, so that reads are as long natively."""
    both.same(f"seq 100000 >f; cat f | {{ sleep 0.2; {line}; }}")


def test_a_writer_that_is_killed(both: Both) -> None:
    kill = 'import os; os.write(1, b"x" * 70000); os.kill(os.getpid(), 9)'
    both.same(f"$PYTHON -c '{kill}' | $G wc -c; echo ${{PIPESTATUS[@]}}")


def test_a_job_that_closes_its_input(both: Both) -> None:
    both.same("yes | $G sh -c 'exec <&-; sleep 0.3'; echo ${PIPESTATUS[@]}")


DRIVER = """
import os, signal, subprocess, sys
reads, writes = os.pipe()
def job(*words):
    return subprocess.Popen(
        [*os.environ["G"].split(), *words], stdin=reads, stdout=subprocess.PIPE, process_group=0
    )
def line():
    return child.stdout.readline()
def stop():
    os.killpg(child.pid, signal.SIGTSTP)
    pid, status = os.waitpid(child.pid, os.WUNTRACED)
    print(os.WIFSTOPPED(status))
"""

TELLING = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
while data := os.read(0, int(os.environ["STEP"])):
    os.write(1, b"%r\\n" % data)
    if data.endswith(b"."):
        signal.sigwait([signal.SIGUSR1])
os.write(1, b"end\\n")
"""

STOPPED = """
os.environ["STEP"] = "4"
os.write(writes, b"abc.defghijklmnop.qrs.")
child = job(sys.executable, "telling.py")
print(line())
stop()
print(os.read(reads, 6))
os.write(writes, b"more")
os.kill(child.pid, signal.SIGCONT)
os.kill(child.pid, signal.SIGUSR1)
print(line(), line())
stop()
os.kill(child.pid, signal.SIGCONT)
os.kill(child.pid, signal.SIGUSR1)
print(line())
stop()
print(os.read(reads, 2))
os.kill(child.pid, signal.SIGKILL)
child.wait()
print(os.read(reads, 99))
"""

TOLD = """
# What the program read before it said something has left the pipe when that is seen.
os.environ["STEP"] = "6"
child = job(sys.executable, "telling.py")
left = b""
for word in (b"first.", b"other.", b"third."):
    os.write(writes, word)
    print(line())
    os.set_blocking(reads, False)
    try:
        print(os.read(reads, 9))
    except BlockingIOError:
        print("empty")
    os.set_blocking(reads, True)
    child.send_signal(signal.SIGUSR1)
os.write(writes, b"x" * 13)
os.close(writes)
print(line(), line(), line(), line(), child.wait())
"""

SIGNALLED = """
# What was written before a signal was sent is there when the handler looks.
child = job(sys.executable, "looking.py")
print(line())
for number in range(20):
    os.write(writes, b"%d" % number)
    child.send_signal(signal.SIGUSR1)
    print(line())
child.kill()
print(child.wait())
"""

AGAIN = """
# A fifo whose writers are gone is at its end; with a new one it goes on.
os.mkfifo("fifo")
keeper = os.open("fifo", os.O_RDWR)
reads = os.open("fifo", os.O_RDONLY)
writes = os.open("fifo", os.O_WRONLY)
os.close(keeper)
child = job("sh", "-c", "cat; echo ended; kill -STOP $$; cat; echo over")
os.write(writes, b"one\\n")
print(line())
os.close(writes)
print(line())
os.waitpid(child.pid, os.WUNTRACED)
writes = os.open("fifo", os.O_WRONLY)
os.write(writes, b"two\\n")
os.kill(child.pid, signal.SIGCONT)
print(line())
os.close(writes)
print(line(), child.wait())
"""

SAID = """
# What was written before a stop is there when the stop is seen.
import select
child = job("sh", "-c", "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $n; kill -STOP $$; done")
for number in range(12):
    os.waitpid(child.pid, os.WUNTRACED)
    print(select.select([child.stdout], [], [], 0)[0] == [child.stdout], line())
    os.kill(child.pid, signal.SIGCONT)
print(child.wait())
"""

ANSWERS = """
# A socket goes both ways, and keeps what the job did not read.
import socket
ours, theirs = socket.socketpair()
talking = '''
import os, socket, sys
own = socket.socket(fileno=os.dup(0))
os.write(0, b"hello")
print(own.recv(3, socket.MSG_PEEK), own.recv(4, socket.MSG_WAITALL), own.type, flush=True)
own.sendall(b"x" * 300000)
os.write(0, os.read(0, 3))
'''
def talk(**streams):
    child = subprocess.Popen(
        [*os.environ["G"].split(), sys.executable, "-c", talking], stdin=theirs, **streams
    )
    print(ours.recv(5, socket.MSG_WAITALL))
    ours.sendall(b"abcdefghij")
    if streams["stdout"] is theirs:
        print(ours.recv(17, socket.MSG_WAITALL))
    else:
        print(child.stdout.readline())
    print(len(ours.recv(300000, socket.MSG_WAITALL)), ours.recv(3, socket.MSG_WAITALL))
    print(child.wait(), theirs.recv(99))
talk(stdout=subprocess.PIPE)
talk(stdout=theirs)
talk(stdout=theirs, stderr=theirs)
"""

LOOKING = """
import os, signal
def look(*_): os.write(1, b"%r\\n" % os.read(0, 100))
os.set_blocking(0, False)
signal.signal(signal.SIGUSR1, look)
os.write(1, b"ready\\n")
while True: signal.pause()
"""

DRIVERS = {
    "stopped": STOPPED,
    "told": TOLD,
    "signalled": SIGNALLED,
    "again": AGAIN,
    "said": SAID,
    "answers": ANSWERS,
}


@pytest.mark.parametrize("name", DRIVERS)
def test_driven(both: Both, name: str) -> None:
    files = {"telling": TELLING, "looking": LOOKING, "driver": DRIVER + DRIVERS[name]}
    made = "".join(f"cat >{name}.py <<'E'\n{text}E\n" for name, text in files.items())
    result = both.same(made + "$PYTHON -u driver.py")
    assert result.status == 0, result
