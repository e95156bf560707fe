/* guest: SA_SIGINFO tells who sent a signal and how
 * area: signals
 * source: sigaction(2) siginfo_t
 * calls: rt_sigaction, kill, tgkill, rt_sigqueueinfo, getpid, wait4
 * also: static
 * broken-by: rt_sigqueueinfo:retval=0
 */
#include "check.h"

static volatile siginfo_t seen, child;
static volatile sig_atomic_t count;
static void take(int sig, siginfo_t *info, void *context) {
    (void)context;
    if (sig == SIGCHLD)
        child = *info;
    else
        seen = *info;
    count += sig == info->si_signo;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGUSR1, &action, NULL));
    MUST(sigaction(SIGCHLD, &action, NULL));
    CHECK(0, kill(getpid(), SIGUSR1));
    HOLDS(count == 1 && seen.si_pid == getpid() && seen.si_uid == getuid());
    CHECK(SI_USER, seen.si_code);
    CHECK(0, raise(SIGUSR1));
    HOLDS(count == 2 && seen.si_pid == getpid());
    CHECK(SI_TKILL, seen.si_code);
    CHECK(0, sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 4711}));
    HOLDS(count == 3 && seen.si_pid == getpid());
    CHECK(SI_QUEUE, seen.si_code);
    CHECK(4711, seen.si_value.sival_int);
    pid_t parent = getpid(), pid = MUST(fork());
    if (pid == 0) {
        MUST(kill(parent, SIGUSR1));
        _exit(9);
    }
    for (long end = now_ms() + 10000; count < 5 && now_ms() < end;)
        waits_for(-1, 0, 5);
    CHECK(5, count);
    HOLDS(seen.si_pid == pid && seen.si_code == SI_USER);
    HOLDS(child.si_pid == pid && child.si_uid == getuid());
    CHECK(CLD_EXITED, child.si_code);
    CHECK(9, child.si_status);
    CHECK(9 << 8, status_of(pid));
    OK();
}
