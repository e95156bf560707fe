/* Waits with and without a deadline in ten threads: poll, select, ppoll, epoll_wait, futex, pause,
 * sigtimedwait, clock_nanosleep, sigsuspend, wait4. None fails with EINTR, all get their event. */
#include "guest.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
static int p[2];
static int word = 1;
static pid_t child;
static void readable(int result) { check(result == 1); }
static void *by_poll(void *x) { struct pollfd f = {p[0], POLLIN, 0}; readable(poll(&f, 1, 60000)); return x; }
static void *by_ppoll(void *x)
{
	struct pollfd f = {p[0], POLLIN, 0};
	sigset_t none;
	sigemptyset(&none);
	readable(ppoll(&f, 1, 0, &none));
	return x;
}
static void *by_select(void *x)
{
	fd_set s;
	FD_ZERO(&s);
	FD_SET(p[0], &s);
	struct timeval t = {60, 0};
	readable(select(p[0] + 1, &s, 0, 0, &t));
	return x;
}
static void *by_epoll(void *x)
{
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e);
	readable(epoll_wait(ep, &e, 1, 60000));
	return x;
}
static void *by_futex(void *x)
{
	struct timespec t = {60, 0};
	check(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &t, 0, 0) == 0);
	return x;
}
static void *by_futex_for_ever(void *x)
{
	check(syscall(SYS_futex, &word, FUTEX_WAIT, 1, 0, 0, 0) == 0);
	return x;
}
static void *by_clock(void *x)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += 400000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	check(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0) == 0);
	return x;
}
static void *by_sigtimedwait(void *x)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	struct timespec t = {60, 0};
	check(sigtimedwait(&s, 0, &t) == SIGUSR1);
	return x;
}
static void *by_wait(void *x)
{
	int status;
	check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9);
	return x;
}
static void guest(void)
{
	void *(*all[])(void *) = {by_poll, by_ppoll, by_select, by_epoll, by_futex, by_futex_for_ever,
				  by_clock, by_sigtimedwait, by_wait};
	enum { COUNT = sizeof all / sizeof *all };
	pthread_t t[COUNT];
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &s, 0);
	check(pipe(p) == 0);
	int q[2];
	check(pipe(q) == 0);
	child = fork();
	if (!child) {
		char c;
		close(q[1]);
		_exit(read(q[0], &c, 1) == 0 ? 9 : 1);
	}
	for (int i = 0; i < COUNT; i++)
		pthread_create(&t[i], 0, all[i], (void *)1);
	doze(50);
	barrier();
	doze(20);
	check(write(p[1], "x", 1) == 1);
	while (syscall(SYS_futex, &word, FUTEX_WAKE, 2, 0, 0, 0) > 0)
		;
	pthread_kill(t[7], SIGUSR1);
	close(q[1]);
	for (int i = 0; i < COUNT; i++) {
		void *value;
		check(pthread_join(t[i], &value) == 0 && value == (void *)1);
	}
}
