/* A sleep goes on for what was left of it. */
#include "guest.h"
static void *sleeper(void *x)
{
	double begun = now();
	struct timespec t = {0, 700000000}, left;
	check(nanosleep(&t, &left) == 0);
	double slept = now() - begun;
	check(slept >= 0.69 && slept < 30);
	return x;
}
static void guest(void)
{
	pthread_t t;
	void *value;
	pthread_create(&t, 0, sleeper, (void *)1);
	doze(50);
	barrier();
	check(pthread_join(t, &value) == 0 && value == (void *)1);
}
