/* guest: interval timers: what is left, repetition, alarm, and CPU timers
 * area: timers
 * source: getitimer(2), alarm(2)
 * calls: setitimer, getitimer, alarm|setitimer, rt_sigaction
 * broken-by: getitimer:retval=0
 */
#include "check.h"

static volatile sig_atomic_t alarms, profs;
static void count(int sig) { sig == SIGALRM ? alarms++ : profs++; }

int main(void) {
    struct itimerval t = {{0, 0}, {100, 500000}}, old = {{9, 9}, {9, 9}};
    on_signal(SIGALRM, count, SA_RESTART);
    on_signal(SIGPROF, count, SA_RESTART);
    CHECK(0, setitimer(ITIMER_REAL, &t, NULL));
    memset(&old, 0, sizeof old);
    CHECK(0, getitimer(ITIMER_REAL, &old));
    HOLDS(old.it_value.tv_sec == 100 && old.it_interval.tv_sec == 0);
    HOLDS(alarm(7) >= 100);
    CHECK(0, getitimer(ITIMER_REAL, &old));
    HOLDS(old.it_value.tv_sec == 6);
    CHECK(7, alarm(0));
    CHECK(0, alarm(0));
    long start = now_ms();
    ticks(10);
    while (alarms < 4 && now_ms() - start < 10000)
        waits_for(-1, 0, 100);
    HOLDS(now_ms() - start >= 40);
    ticks(0);
    t = (struct itimerval){{0, 5000}, {0, 5000}};
    CHECK(0, setitimer(ITIMER_PROF, &t, NULL));
    while (profs < 2 && now_ms() - start < 10000)
        ;
    HOLDS(profs >= 2);
    t.it_value.tv_usec = 1000000;
    ERR(EINVAL, setitimer(ITIMER_REAL, &t, NULL));
    ERR(EINVAL, setitimer(99, &t, NULL));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, getitimer(ITIMER_PROF, &old)); /* timers are not inherited */
        HOLDS(old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
        _exit(0);
    }
    JOIN(pid);
    OK();
}
