/* guest: POSIX timers: value with the signal, overruns, remaining time, SIGEV_THREAD_ID
 * area: timers
 * source: timer_create(2), timer_getoverrun(2)
 * calls: timer_create, timer_settime, timer_gettime, timer_getoverrun, timer_delete, rt_sigtimedwait
 * broken-by: timer_getoverrun:retval=0
 */
#include "check.h"

int main(void) {
    sigset_t set;
    siginfo_t info;
    timer_t timer;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    event.sigev_value.sival_int = 99;
    CHECK(0, timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec once = {{0, 0}, {0, 5000000}}, now;
    CHECK(0, timer_settime(timer, 0, &once, NULL));
    HOLDS(sigwaitinfo(&set, &info) == SIGRTMIN);
    HOLDS(info.si_code == SI_TIMER && info.si_value.sival_int == 99 && info.si_overrun == 0);
    CHECK(0, timer_gettime(timer, &now));
    HOLDS(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    CHECK(0, timer_settime(timer, 0, &often, NULL));
    long start = now_ms();
    while (now_ms() - start < 20)
        waits_for(-1, 0, 20);
    HOLDS(sigwaitinfo(&set, &info) == SIGRTMIN);
    HOLDS(timer_getoverrun(timer) >= 10);
    CHECK(0, timer_delete(timer));
    ERR(EINVAL, timer_settime(timer, 0, &once, NULL));
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = gettid();
    CHECK(0, timer_create(CLOCK_REALTIME, &event, &timer));
    struct itimerspec past = {{0, 0}, {1, 0}};
    CHECK(0, timer_settime(timer, TIMER_ABSTIME, &past, NULL));
    struct timespec limit = {10, 0};
    int sig;
    while ((sig = sigtimedwait(&set, &info, &limit)) == SIGRTMIN && info.si_overrun != 0)
        ;
    HOLDS(sig == SIGRTMIN);
    CHECK(0, timer_delete(timer));
    OK();
}
