/* guest: poll, select and epoll on stdin agree: not ready, readable, hung up; FIONREAD counts
 * area: stdin
 * source: poll(2), select(2), epoll(7), pipe(7), ioctl(2) FIONREAD
 * calls: poll, pselect6|select, epoll_wait, epoll_ctl, ioctl
 * stdin: open-pipe
 * on: data -> type "12345"
 * on: end -> eof
 * broken-by: ioctl:retval=0
 * broken-by: epoll_wait:retval=0
 */
#include "check.h"
#include <sys/epoll.h>
#include <sys/select.h>

static int ep;

/* What each of the three says of stdin now: the letters r and h as poll's events. */
static void tell(const char *when, int waits) {
    struct pollfd p = {0, POLLIN, 0};
    if (waits)
        QUIET(1, poll(&p, 1, 10000));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(0, &set);
    struct timeval zero = {0, 0};
    poll(&p, 1, 0);
    int selected = select(1, &set, NULL, NULL, &zero), bytes = -1;
    struct epoll_event e = {0};
    int events = epoll_wait(ep, &e, 1, 0);
    MUST(ioctl(0, FIONREAD, &bytes));
    SAY("%s: poll %#x, select %d, epoll %d %#x, %d bytes", when, p.revents, selected, events,
        e.events, bytes);
    QUIET(selected, p.revents != 0);
    QUIET(selected, events);
    QUIET(p.revents, e.events);
    QUIET(bytes != 0, (p.revents & POLLIN) != 0);
}

int main(void) {
    char buf[8];
    struct epoll_event e = {.events = EPOLLIN};
    ep = MUST(epoll_create1(0));
    MUST(epoll_ctl(ep, EPOLL_CTL_ADD, 0, &e));
    tell("empty", 0);
    READY("data");
    tell("typed", 1);
    CHECK(3, read(0, buf, 3));
    tell("partly read", 0);
    CHECK(2, read(0, buf, sizeof buf));
    tell("all read", 0);
    READY("end");
    tell("ended", 1);
    CHECK(0, read(0, buf, sizeof buf));
    OK();
}
