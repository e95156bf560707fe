/* guest: poll, select, epoll_wait, pause, sleeps and sigsuspend end with EINTR even with SA_RESTART
 * area: eintr
 * source: signal(7) Interruption of system calls
 * calls: poll, pselect6|select, epoll_wait, clock_nanosleep, pause, rt_sigtimedwait, ppoll
 * broken-by: poll:retval=0
 */
#include "check.h"
#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t count;
static void tick(int sig) { count += sig == SIGALRM; }

int main(void) {
    int p[2];
    MUST(pipe(p));
    struct pollfd e = {p[0], POLLIN, 0};
    struct epoll_event event;
    struct timespec minute = {60, 0}, rest = {0, 0};
    sigset_t others;
    int ep = MUST(epoll_create1(0));
    sigemptyset(&others);
    sigaddset(&others, SIGUSR2);
    on_signal(SIGALRM, tick, SA_RESTART);
    ticks(10);
    ERR(EINTR, poll(&e, 1, 60000));
    ERR(EINTR, ppoll(&e, 1, &minute, NULL));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    ERR(EINTR, select(p[0] + 1, &set, NULL, NULL, NULL));
    ERR(EINTR, epoll_wait(ep, &event, 1, 60000));
    ERR(EINTR, pause());
    ERR(EINTR, nanosleep(&minute, &rest));
    HOLDS(rest.tv_sec == 59);
    CHECK(EINTR, clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, &rest));
    HOLDS(rest.tv_sec == 59);
    ERR(EINTR, sigtimedwait(&others, NULL, &minute));
    HOLDS(count >= 8);
    OK();
}
