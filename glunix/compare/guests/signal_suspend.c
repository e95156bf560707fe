/* guest: sigsuspend waits with another mask, returns EINTR and restores; blocked signals wait
 * area: signals
 * source: sigsuspend(2), sigprocmask(2)
 * calls: rt_sigsuspend, rt_sigprocmask, rt_sigpending, kill
 * broken-by: kill:error=EPERM
 */
#include "check.h"

static volatile sig_atomic_t first, second;
static void on_first(int sig) { first += sig == SIGUSR1; }
static void on_second(int sig) { second += sig == SIGUSR2; }

int main(void) {
    sigset_t both, only_second, none, now;
    on_signal(SIGUSR1, on_first, 0);
    on_signal(SIGUSR2, on_second, 0);
    sigemptyset(&none);
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    only_second = none;
    sigaddset(&only_second, SIGUSR2);
    MUST(sigprocmask(SIG_SETMASK, &both, NULL));
    CHECK(0, kill(getpid(), SIGUSR1) | kill(getpid(), SIGUSR2));
    HOLDS(first == 0 && second == 0);
    ERR(EINTR, sigsuspend(&only_second));
    HOLDS(first == 1 && second == 0);
    MUST(sigprocmask(SIG_SETMASK, NULL, &now));
    HOLDS(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
    MUST(sigpending(&now));
    HOLDS(!sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
    CHECK(0, sigprocmask(SIG_UNBLOCK, &only_second, NULL));
    HOLDS(second == 1);
    pid_t parent = getpid(), pid = MUST(fork());
    if (pid == 0) {
        MUST(kill(parent, SIGUSR1));
        _exit(0);
    }
    ERR(EINTR, sigsuspend(&none));
    CHECK(2, first);
    JOIN(pid);
    ERR(EINVAL, sigprocmask(99, &none, NULL));
    OK();
}
