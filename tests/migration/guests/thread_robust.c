/* A robust mutex whose owner ends after the move says so. */
#include "guest.h"
static pthread_mutex_t m;
static volatile int held, go;
static void *owner(void *x)
{
	pthread_mutex_lock(&m);
	held = 1;
	while (!go)
		doze(1);
	syscall(SYS_exit, 0);
	return x;
}
static void guest(void)
{
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &a);
	pthread_t t;
	pthread_create(&t, 0, owner, 0);
	while (!held)
		doze(1);
	barrier();
	go = 1;
	check(pthread_mutex_lock(&m) == EOWNERDEAD);
}
