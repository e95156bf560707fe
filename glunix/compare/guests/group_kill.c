/* guest: a signal to a group reaches all its members and no one else
 * area: groups
 * source: kill(2)
 * calls: kill, setpgid, rt_sigaction, wait4
 * broken-by: kill:error=ESRCH:when=1
 */
#include "check.h"

static void leave(int sig) { _exit(sig == SIGUSR1 ? 11 : 12); }

static pid_t member(pid_t group, int ready) {
    pid_t parent = getpid(), pid = MUST(fork());
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        MUST(setpgid(0, group));
        on_signal(SIGUSR1, leave, 0);
        on_signal(SIGUSR2, leave, 0);
        sigprocmask(SIG_SETMASK, &none, NULL);
        give_byte(ready);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    return pid;
}

int main(void) {
    int p[2];
    MUST(pipe(p));
    pid_t a = member(0, p[1]);
    take_byte(p[0]);
    pid_t b = member(a, p[1]), c = member(a, p[1]), other = member(0, p[1]);
    for (int i = 0; i < 3; i++)
        take_byte(p[0]);
    CHECK(0, kill(-a, SIGUSR1));
    CHECK(11 << 8, status_of(a));
    CHECK(11 << 8, status_of(b));
    CHECK(11 << 8, status_of(c));
    CHECK(0, waitpid(other, NULL, WNOHANG));
    ERR(ESRCH, kill(-a, SIGUSR1));
    CHECK(0, kill(other, SIGUSR2));
    CHECK(12 << 8, status_of(other));
    /* kill(0, ...) is for the sender's own group: done in a child that has one of its own. */
    pid_t child = MUST(fork());
    if (child == 0) {
        MUST(setpgid(0, 0));
        signal(SIGUSR1, SIG_IGN);
        pid_t mate = member(getpgrp(), p[1]);
        take_byte(p[0]);
        CHECK(0, kill(0, SIGUSR1));
        CHECK(11 << 8, status_of(mate));
        _exit(0);
    }
    JOIN(child);
    OK();
}
