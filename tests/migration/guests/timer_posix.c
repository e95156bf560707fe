/* POSIX timers: their ids, their rest, their value, an interval. */
#include "guest.h"
static volatile int ticks, other;
static void tick(int s, siginfo_t *i, void *u)
{
	(void)s; (void)u;
	if (i->si_value.sival_int == 11) ticks++; else other = i->si_value.sival_int;
}
static void guest(void)
{
	struct sigaction sa = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGRTMIN, &sa, 0);
	timer_t first, gone, second;
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	e.sigev_value.sival_int = 11;
	check(timer_create(CLOCK_MONOTONIC, &e, &first) == 0);
	check(timer_create(CLOCK_MONOTONIC, &e, &gone) == 0);
	e.sigev_value.sival_int = 22;
	check(timer_create(CLOCK_REALTIME, &e, &second) == 0);
	timer_delete(gone);
	struct itimerspec fast = {{0, 10000000}, {0, 10000000}}, slow = {{0, 0}, {100, 0}}, left;
	timer_settime(first, 0, &fast, 0);
	timer_settime(second, 0, &slow, 0);
	barrier();
	int before = ticks;
	for (int i = 0; i < 300 && ticks < before + 3; i++)
		doze(2);
	check(ticks >= before + 3);
	check(timer_gettime(second, &left) == 0 && left.it_value.tv_sec <= 100 &&
	      left.it_value.tv_sec > 40);
	check(timer_gettime(first, &left) == 0 && left.it_interval.tv_nsec == 10000000);
	struct itimerspec at_once = {{0, 0}, {0, 1}};
	timer_settime(second, 0, &at_once, 0);
	for (int i = 0; i < 300 && !other; i++)
		doze(2);
	check(other == 22);
}
