/* guest: real-time signals queue with their values, lowest first; standard signals merge
 * area: signals
 * source: signal(7) Queueing and delivery, sigqueue(3)
 * calls: rt_sigqueueinfo, rt_sigprocmask, rt_sigtimedwait, rt_sigpending
 * broken-by: rt_sigqueueinfo:retval=0:when=2
 */
#include "check.h"

static int next(const sigset_t *set) {
    siginfo_t info;
    struct timespec zero = {0, 0};
    int sig = sigtimedwait(set, &info, &zero);
    return sig < 0 ? -errno : sig >= SIGRTMIN ? (sig - SIGRTMIN) * 100 + info.si_value.sival_int : -1;
}

int main(void) {
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    CHECK(0, sigprocmask(SIG_BLOCK, &set, NULL));
    for (int i = 1; i <= 3; i++) {
        QUIET(0, sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = i}));
        QUIET(0, sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 * i}));
        QUIET(0, kill(getpid(), SIGUSR1));
    }
    CHECK(0, sigpending(&pending));
    HOLDS(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGRTMIN + 2));
    HOLDS(!sigismember(&pending, SIGUSR2));
    CHECK(-1, next(&set)); /* SIGUSR1, once */
    CHECK(110, next(&set));
    CHECK(120, next(&set));
    CHECK(130, next(&set));
    CHECK(201, next(&set));
    CHECK(202, next(&set));
    CHECK(203, next(&set));
    CHECK(-EAGAIN, next(&set));
    ERR(EINVAL, sigqueue(getpid(), 65, (union sigval){0}));
    OK();
}
