/* 64 threads that count, each on its own. */
#include "guest.h"
static volatile long count[64];
static volatile int go;
static void *run(void *n)
{
	while (!go) {
		count[(long)n]++;
		doze(1);
	}
	return 0;
}
static void guest(void)
{
	pthread_t t[64];
	for (long i = 0; i < 64; i++)
		check(pthread_create(&t[i], 0, run, (void *)i) == 0);
	barrier();
	long before[64];
	memcpy(before, (void *)count, sizeof before);
	doze(60);
	for (int i = 0; i < 64; i++)
		check(count[i] > before[i]);
	go = 1;
	for (int i = 0; i < 64; i++)
		check(pthread_join(t[i], 0) == 0);
}
