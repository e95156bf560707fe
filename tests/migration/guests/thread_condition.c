/* A waiter on a condition variable, one with a deadline, and one on a mutex. */
#include "guest.h"
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int woken;
static void *wait_for_it(void *x)
{
	pthread_mutex_lock(&m);
	while (!woken)
		pthread_cond_wait(&c, &m);
	pthread_mutex_unlock(&m);
	return x;
}
static void *wait_a_while(void *x)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&m);
	int result = 0;
	while (!woken && !result)
		result = pthread_cond_timedwait(&c, &m, &until);
	pthread_mutex_unlock(&m);
	return result ? 0 : x;
}
static void guest(void)
{
	pthread_t a, b;
	void *value;
	pthread_create(&a, 0, wait_for_it, (void *)5);
	pthread_create(&b, 0, wait_a_while, (void *)6);
	doze(20);
	barrier();
	pthread_mutex_lock(&m);
	woken = 1;
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	check(pthread_join(a, &value) == 0 && value == (void *)5);
	check(pthread_join(b, &value) == 0 && value == (void *)6);
}
