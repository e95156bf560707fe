"""The supervisor dies at any moment: the programs end or go on as documented, nothing hangs.

What is documented: the ptrace engines kill everything they started (PTRACE_O_EXITKILL); under
unotify the first program is killed (PR_SET_PDEATHSIG) and its descendants go on, their subscribed
calls failing with ENOSYS. Either way all are gone soon after, and none is stopped.
"""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slic.registry import ANSWERING, engines

Guest = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 34 if os.environ.get("GLUNIX_LONG") else 4  # for each of six ways: 204 in all
DEADLINE = 20.0
WORKS = [name for name in ANSWERING if engines()[name].unavailable() is None]

# Forks, threads, execs, pipes, signals and sleeps for about 0.2 s, each of them in caught calls.
# Every process holds the write end of the pipe that the test watches.
BUSY = r"""
static void tick(int s) { (void)s; }
static void *thread(void *p) { for (int i = 0; i < 200; i++) syscall(SYS_getppid); return p; }
int main(int c, char **v) {
  if (c > 1) return 0;
  struct sigaction a = {.sa_handler = tick, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &a, 0);
  for (int i = 0; i < 20; i++) {
    pthread_t t; int p[2], s; char b = 'x';
    if (pipe(p)) return 1;
    pid_t child = fork();
    if (child == 0) {
      alarm(5);
      pthread_create(&t, 0, thread, 0); pthread_join(t, 0);
      if (write(p[1], &b, 1) != 1) _exit(1);
      usleep(2000); execl(v[0], v[0], "again", (char *)0); _exit(2); }
    close(p[1]); if (read(p[0], &b, 1) < 0) return 3; close(p[0]); waitpid(child, &s, 0); }
  return 0; }
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("calls", ["getppid,read,wait4,execve", ""], ids=["narrow", "all"])
def test_killing_the_supervisor_leaves_nothing(name: str, calls: str, guest: Guest) -> None:
    program = guest("busy", BUSY)
    seed = random.randrange(1 << 30)
    moments = random.Random(seed)
    killed = 0
    for number in range(ROUNDS):
        watched, held = os.pipe()
        policy = f"passthrough:{calls}"
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "slic.cli", "run", "-e", name, "-i", policy, "--", program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=[held],
            stderr=subprocess.PIPE,
        )
        os.close(held)
        try:
            time.sleep(moments.uniform(0.05, 0.6))  # the moment is the test's input
            supervisor.send_signal(signal.SIGKILL)
            killed += supervisor.wait(DEADLINE) == -signal.SIGKILL
            poll = select.poll()
            poll.register(watched, select.POLLHUP)
            ended = poll.poll(DEADLINE * 1000)
            assert ended, f"seed {seed}, round {number}: a process is left"
        finally:
            assert supervisor.stderr is not None
            supervisor.stderr.close()
            os.close(watched)
    assert killed  # not every run had ended before its moment
