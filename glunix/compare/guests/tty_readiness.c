/* guest: poll, select, epoll and FIONREAD on the terminal agree with what a read would do
 * area: tty
 * source: poll(2), select(2), epoll(7), ioctl_tty(2) FIONREAD
 * calls: poll, pselect6|select, epoll_wait, ioctl, read
 * needs: tty
 * on: line -> type "123456\n"
 * on: raw -> type "ab"
 * broken-by: epoll_wait:retval=0
 */
#include "check.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <termios.h>

static int ep;

static void agree(const char *when, int ready, int bytes) {
    struct epoll_event e;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(0, &set);
    struct timeval zero = {0, 0};
    int count = -1;
    QUIET(ready, waits_for(0, POLLIN, ready ? 10000 : 0));
    QUIET(ready, select(1, &set, NULL, NULL, &zero));
    QUIET(ready, epoll_wait(ep, &e, 1, 0));
    MUST(ioctl(0, FIONREAD, &count));
    SAY("%s: ready %d, %d bytes", when, ready, count);
    QUIET(bytes, count);
}

int main(void) {
    char buf[16];
    struct termios saved, t;
    struct epoll_event e = {.events = EPOLLIN};
    ep = MUST(epoll_create1(0));
    MUST(epoll_ctl(ep, EPOLL_CTL_ADD, 0, &e));
    agree("nothing typed", 0, 0);
    CHECK(1, waits_for(1, POLLOUT, 0));
    READY("line");
    agree("a line", 1, 7);
    CHECK(3, read(0, buf, 3));
    agree("part of it read", 1, 4);
    CHECK(4, read(0, buf, sizeof buf));
    agree("all read", 0, 0);
    MUST(tcgetattr(0, &saved));
    t = saved;
    t.c_lflag &= ~(ICANON | ECHO);
    MUST(tcsetattr(0, TCSANOW, &t));
    READY("raw");
    agree("two keys", 1, 2);
    CHECK(2, read(0, buf, sizeof buf));
    agree("both read", 0, 0);
    MUST(tcsetattr(0, TCSANOW, &saved));
    OK();
}
