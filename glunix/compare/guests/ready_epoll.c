/* guest: epoll's level, edge and one-shot modes, its data, its errors, and nesting
 * area: readiness
 * source: epoll(7), epoll_ctl(2)
 * calls: epoll_create1, epoll_ctl, epoll_wait, epoll_pwait
 * broken-by: epoll_ctl:retval=0:when=1
 */
#include "check.h"
#include <sys/epoll.h>

static struct epoll_event got[4];
static long ready(int ep) { return epoll_wait(ep, got, 4, 0); }

int main(void) {
    char buf[8];
    int p[2], ep = MUST(epoll_create1(EPOLL_CLOEXEC)), outer = MUST(epoll_create1(0));
    MUST(pipe(p));
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0};
    CHECK(0, epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
    ERR(EEXIST, epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
    ERR(ENOENT, epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &e));
    ERR(EPERM, epoll_ctl(ep, EPOLL_CTL_ADD, MUST(open("f", O_CREAT | O_RDWR, 0600)), &e));
    ERR(EINVAL, epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e));
    ERR(EBADF, epoll_ctl(ep, EPOLL_CTL_ADD, 777, &e));
    ERR(EINVAL, epoll_wait(ep, got, 0, 0));
    CHECK(0, ready(ep));
    QUIET(2, write(p[1], "ab", 2));
    CHECK(1, ready(ep));
    HOLDS(got[0].events == EPOLLIN && got[0].data.u64 == 0x123456789abcdef0);
    CHECK(1, ready(ep)); /* level: as long as there is something */
    e.events = EPOLLIN | EPOLLET;
    CHECK(0, epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
    CHECK(1, ready(ep));
    CHECK(0, ready(ep)); /* edge: once for each change */
    QUIET(1, write(p[1], "c", 1));
    CHECK(1, ready(ep));
    CHECK(0, ready(ep));
    e.events = EPOLLIN | EPOLLONESHOT;
    CHECK(0, epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
    CHECK(1, ready(ep));
    QUIET(1, write(p[1], "d", 1));
    CHECK(0, ready(ep)); /* one shot: until it is armed again */
    CHECK(0, epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
    e.events = EPOLLIN;
    CHECK(0, epoll_ctl(outer, EPOLL_CTL_ADD, ep, &e));
    CHECK(1, ready(outer));
    CHECK(4, read(p[0], buf, sizeof buf));
    CHECK(0, ready(ep));
    CHECK(0, epoll_pwait(ep, got, 4, 1, &(sigset_t){0}));
    close(p[1]);
    CHECK(0, epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
    CHECK(1, ready(ep));
    CHECK(EPOLLHUP, got[0].events);
    CHECK(0, epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
    CHECK(0, ready(ep));
    OK();
}
