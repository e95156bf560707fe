/* guest: no alarm, interval timer or pending signal is inherited at the beginning, nor by fork
 * area: timers
 * source: alarm(2), setitimer(2), fork(2), sigpending(2)
 * calls: alarm|setitimer, getitimer
 * broken-by: getitimer:error=EFAULT
 */
#include "check.h"
#include <sys/time.h>

static int left(int which) {
    struct itimerval now;
    MUST(getitimer(which, &now));
    return now.it_value.tv_sec || now.it_value.tv_usec;
}

int main(void) {
    sigset_t pending, blocked;
    MUST(sigpending(&pending));
    MUST(sigprocmask(SIG_BLOCK, 0, &blocked));
    HOLDS(sigisemptyset(&pending) && sigisemptyset(&blocked));
    CHECK(0, left(ITIMER_REAL) + left(ITIMER_VIRTUAL) + left(ITIMER_PROF));
    CHECK(0, (int)alarm(100));
    CHECK(1, left(ITIMER_REAL));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, left(ITIMER_REAL));
        _exit(0);
    }
    JOIN(pid);
    HOLDS(alarm(0) > 90);
    OK();
}
