/* epoll: targets, their data, edge-triggered and used-up ones. */
#include "guest.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
static void add(int ep, int fd, unsigned events, uint64_t data)
{
	struct epoll_event e = {.events = events, .data.u64 = data};
	check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}
static void guest(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), p[2], once = eventfd(1, 0), level = eventfd(0, 0);
	check(pipe(p) == 0);
	add(ep, p[0], EPOLLIN, 0x1111222233334444);
	add(ep, once, EPOLLIN | EPOLLONESHOT, 2);
	add(ep, level, EPOLLIN, 3);
	struct epoll_event e[8];
	check(epoll_wait(ep, e, 8, 0) == 1 && e[0].data.u64 == 2);
	barrier();
	check(epoll_wait(ep, e, 8, 0) == 0);
	check(write(p[1], "x", 1) == 1);
	check(epoll_wait(ep, e, 8, 1000) == 1 && e[0].data.u64 == 0x1111222233334444);
	char c;
	check(read(p[0], &c, 1) == 1);
	eventfd_write(level, 1);
	check(epoll_wait(ep, e, 8, 1000) == 1 && e[0].data.u64 == 3);
	struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 4};
	check(epoll_ctl(ep, EPOLL_CTL_MOD, once, &again) == 0);
	check(epoll_wait(ep, e, 8, 1000) == 2);
	check(epoll_ctl(ep, EPOLL_CTL_DEL, level, 0) == 0);
}
