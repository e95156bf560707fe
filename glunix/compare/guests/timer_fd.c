/* guest: a timerfd counts expirations, is readable when there are some, can be disarmed
 * area: timers
 * source: timerfd_create(2)
 * calls: timerfd_create, timerfd_settime, timerfd_gettime, read, poll
 * broken-by: timerfd_gettime:retval=0
 */
#include "check.h"
#include <sys/timerfd.h>

int main(void) {
    uint64_t n = 0;
    int fd = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    ERR(EAGAIN, read(fd, &n, sizeof n));
    struct itimerspec once = {{0, 0}, {0, 10000000}}, now = {0};
    CHECK(0, timerfd_settime(fd, 0, &once, NULL));
    CHECK(1, waits_for(fd, POLLIN, 5000));
    ERR(EINVAL, read(fd, &n, 4));
    CHECK(8, read(fd, &n, sizeof n));
    CHECK(1, n);
    ERR(EAGAIN, read(fd, &n, sizeof n));
    struct itimerspec often = {{0, 2000000}, {0, 2000000}};
    CHECK(0, timerfd_settime(fd, 0, &often, NULL));
    long start = now_ms();
    while (now_ms() - start < 20)
        waits_for(-1, 0, 20);
    CHECK(8, read(fd, &n, sizeof n));
    HOLDS(n >= 5);
    CHECK(0, timerfd_gettime(fd, &now));
    HOLDS(now.it_interval.tv_nsec == 2000000 && now.it_value.tv_nsec <= 2000000);
    CHECK(0, timerfd_settime(fd, 0, &(struct itimerspec){{0, 0}, {0, 0}}, NULL));
    ERR(EAGAIN, read(fd, &n, sizeof n));
    CHECK(0, waits_for(fd, POLLIN, 0));
    ERR(EINVAL, timerfd_settime(MUST(open("/dev/null", O_RDONLY)), 0, &once, NULL));
    OK();
}
