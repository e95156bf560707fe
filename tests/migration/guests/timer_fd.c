/* timerfd: expirations not read, the rest, the interval; one that is not set. */
#include "guest.h"
#include <sys/timerfd.h>
static void guest(void)
{
	int fast = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int slow = timerfd_create(CLOCK_REALTIME, 0), unset = timerfd_create(CLOCK_BOOTTIME, 0);
	struct itimerspec f = {{0, 10000000}, {0, 10000000}}, s = {{7, 0}, {100, 0}}, left;
	timerfd_settime(fast, 0, &f, 0);
	timerfd_settime(slow, 0, &s, 0);
	doze(50);
	barrier();
	uint64_t n = 0;
	check(read(fast, &n, 8) == 8 && n >= 4);
	doze(50);
	check(read(fast, &n, 8) == 8 && n >= 2);
	check(timerfd_gettime(slow, &left) == 0 && left.it_value.tv_sec <= 100 &&
	      left.it_value.tv_sec > 40 && left.it_interval.tv_sec == 7);
	check(timerfd_gettime(unset, &left) == 0 && left.it_value.tv_sec == 0 &&
	      left.it_value.tv_nsec == 0);
	check(fcntl(fast, F_GETFL) & O_NONBLOCK);
}
