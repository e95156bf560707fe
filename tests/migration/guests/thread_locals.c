/* Threads: their own variables, ids, names, and join. */
#include "guest.h"
static __thread long own;
static volatile int go;
static void *run(void *n)
{
	long id = syscall(SYS_gettid);
	char name[16];
	own = (long)n * 100;
	snprintf(name, sizeof name, "worker%ld", (long)n);
	pthread_setname_np(pthread_self(), name);
	while (!go)
		doze(1);
	char back[16];
	prctl(PR_GET_NAME, back);
	check(own == (long)n * 100 && strcmp(name, back) == 0 && syscall(SYS_gettid) == id);
	return (void *)(own + 1);
}
static void guest(void)
{
	pthread_t t[8];
	own = 7;
	for (long i = 0; i < 8; i++)
		pthread_create(&t[i], 0, run, (void *)i);
	barrier();
	go = 1;
	for (long i = 0; i < 8; i++) {
		void *value;
		check(pthread_join(t[i], &value) == 0 && (long)value == i * 100 + 1);
	}
	check(own == 7);
	check(pthread_create(&t[0], 0, run, (void *)3) == 0 && pthread_join(t[0], 0) == 0);
}
