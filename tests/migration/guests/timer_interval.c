/* setitimer: what is left, and an interval that goes on. */
#include "guest.h"
#include <sys/time.h>
static volatile int ticks;
static void tick(int s) { (void)s; ticks++; }
static void guest(void)
{
	struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &sa, 0);
	sigaction(SIGVTALRM, &sa, 0);
	struct itimerval fast = {{0, 10000}, {0, 10000}}, slow = {{50, 0}, {100, 0}}, left;
	setitimer(ITIMER_REAL, &fast, 0);
	setitimer(ITIMER_VIRTUAL, &slow, 0);
	barrier();
	int before = ticks;
	for (int i = 0; i < 300 && ticks < before + 3; i++)
		doze(2);
	check(ticks >= before + 3);
	check(getitimer(ITIMER_VIRTUAL, &left) == 0 && left.it_interval.tv_sec == 50 &&
	      left.it_value.tv_sec >= 90);
}
