/* A signal that comes after the move interrupts a read as ever: with and without SA_RESTART. */
#include "guest.h"
static int p[2];
static volatile int hits;
static void hit(int s) { (void)s; hits++; }
static void *reader(void *x)
{
	char c;
	errno = 0;
	ssize_t n = read(p[0], &c, 1);
	check(n < 0 && errno == EINTR && hits == 1);
	n = read(p[0], &c, 1);
	check(n == 1 && c == 'y' && hits == 2);
	return x;
}
static void guest(void)
{
	struct sigaction plain = {.sa_handler = hit}, restart = {.sa_handler = hit, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &plain, 0);
	sigaction(SIGUSR2, &restart, 0);
	check(pipe(p) == 0);
	pthread_t t;
	void *value;
	pthread_create(&t, 0, reader, (void *)1);
	doze(20);
	barrier();
	doze(10);
	check(hits == 0);
	pthread_kill(t, SIGUSR1);
	doze(30);
	pthread_kill(t, SIGUSR2);
	doze(30);
	check(write(p[1], "y", 1) == 1);
	check(pthread_join(t, &value) == 0 && value == (void *)1);
}
