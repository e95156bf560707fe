/* A read that waits in a pipe goes on waiting, and gets what is written afterwards. */
#include "guest.h"
static int p[2];
static void *reader(void *x)
{
	char back[16] = "";
	check(read(p[0], back, sizeof back) == 5 && memcmp(back, "later", 5) == 0);
	return x;
}
static void guest(void)
{
	check(pipe(p) == 0);
	pthread_t t;
	void *value;
	pthread_create(&t, 0, reader, (void *)1);
	doze(20);
	barrier();
	doze(20);
	check(write(p[1], "later", 5) == 5);
	check(pthread_join(t, &value) == 0 && value == (void *)1);
}
