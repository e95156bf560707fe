/* Each thread has its own mask and its own pending signals. */
#include "guest.h"
static volatile int go, ready;
static void *run(void *n)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, ((long)n & 1) ? SIGUSR2 : SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &s, 0);
	pthread_kill(pthread_self(), ((long)n & 1) ? SIGUSR2 : SIGUSR1);
	__sync_fetch_and_add(&ready, 1);
	while (!go)
		doze(1);
	sigset_t p;
	sigpending(&p);
	check(sigismember(&p, SIGUSR1) == !((long)n & 1) && sigismember(&p, SIGUSR2) == ((long)n & 1));
	int got;
	check(sigwait(&s, &got) == 0 && got == (((long)n & 1) ? SIGUSR2 : SIGUSR1));
	return 0;
}
static void guest(void)
{
	pthread_t t[2];
	for (long i = 0; i < 2; i++)
		pthread_create(&t[i], 0, run, (void *)i);
	while (ready < 2)
		doze(1);
	barrier();
	go = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], 0);
}
