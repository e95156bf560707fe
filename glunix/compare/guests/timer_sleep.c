/* guest: sleeps last at least as long as asked; absolute times in the past do not sleep
 * area: timers
 * source: clock_nanosleep(2), clock_gettime(2)
 * calls: clock_nanosleep, clock_getres|clock_gettime|clock_nanosleep
 * broken-by: clock_nanosleep:retval=0
 */
#include "check.h"

int main(void) {
    struct timespec t = {0, 30000000}, a, b;
    long start = now_ms();
    CHECK(0, nanosleep(&t, NULL));
    HOLDS(now_ms() - start >= 30);
    MUST(clock_gettime(CLOCK_MONOTONIC, &t));
    t.tv_nsec += 30000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    CHECK(0, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    MUST(clock_gettime(CLOCK_MONOTONIC, &a));
    HOLDS(a.tv_sec > t.tv_sec || (a.tv_sec == t.tv_sec && a.tv_nsec >= t.tv_nsec));
    CHECK(0, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){1, 0}, NULL));
    CHECK(EINVAL, clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 1000000000}, NULL));
    CHECK(EINVAL, clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){-1, 0}, NULL));
    CHECK(EFAULT, clock_nanosleep(CLOCK_MONOTONIC, 0, (void *)-4096L, NULL));
    for (int i = 0; i < 1000; i++) {
        MUST(clock_gettime(CLOCK_MONOTONIC, &b));
        QUIET(1, b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
        a = b;
    }
    ERR(EINVAL, clock_gettime(999, &a));
    HOLDS(time(NULL) > 1600000000);
    OK();
}
