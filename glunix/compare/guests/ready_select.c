/* guest: select and pselect: sets, counts, errors, the time left, and the mask
 * area: readiness
 * source: select(2)
 * calls: select, pselect6
 * broken-by: select:retval=0
 */
#include "check.h"
#include <sys/select.h>

static volatile sig_atomic_t count;
static void take(int sig) { count += sig == SIGUSR1; }

/* The system call itself: the C library's select may be pselect6 and keep the time left. */
static long raw_select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *t) {
    return syscall(SYS_select, n, r, w, x, t);
}

int main(void) {
    int p[2];
    fd_set r, w;
    struct timeval t = {60, 0};
    MUST(pipe(p));
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    CHECK(1, raw_select(p[1] + 1, &r, &w, NULL, &t));
    HOLDS(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w));
    HOLDS(t.tv_sec == 59 || (t.tv_sec == 60 && t.tv_usec == 0));
    QUIET(1, write(p[1], "x", 1));
    FD_SET(p[0], &r);
    CHECK(2, raw_select(p[1] + 1, &r, &w, NULL, NULL));
    HOLDS(FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w));
    t = (struct timeval){0, 30000};
    long start = now_ms();
    CHECK(0, raw_select(0, NULL, NULL, NULL, &t));
    HOLDS(now_ms() - start >= 30 && t.tv_sec == 0 && t.tv_usec == 0);
    FD_ZERO(&r);
    FD_SET(40, &r);
    ERR(EBADF, raw_select(41, &r, NULL, NULL, &t));
    ERR(EINVAL, raw_select(-1, NULL, NULL, NULL, &t));
    t.tv_sec = -1;
    ERR(EINVAL, raw_select(0, NULL, NULL, NULL, &t));
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    on_signal(SIGUSR1, take, 0);
    MUST(sigprocmask(SIG_BLOCK, &usr1, NULL));
    MUST(kill(getpid(), SIGUSR1));
    FD_ZERO(&r);
    ERR(EINTR, pselect(0, &r, NULL, NULL, NULL, &none));
    CHECK(1, count);
    OK();
}
