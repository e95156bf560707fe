/* guest: a file on fd 0 cannot be watched by epoll, has no pipe's room and no seals
 * area: stdin
 * source: epoll_ctl(2) EPERM, fcntl(2)
 * calls: epoll_ctl, fcntl, poll
 * start: mkdir x; printf abc >/var/tmp/guest-$$; exec </var/tmp/guest-$$; rm /var/tmp/guest-$$
 * broken-by: epoll_ctl:retval=0
 */
#include "check.h"
#include <sys/epoll.h>

int main(void) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = MUST(epoll_create1(0));
    ERR(EPERM, epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event));
    CHECK(1, waits_for(0, POLLIN, 0));
    ERR(EBADF, fcntl(0, F_GETPIPE_SZ));
    ERR(EBADF, fcntl(0, F_SETPIPE_SZ, 4096));
    ERR(EINVAL, fcntl(0, F_GET_SEALS));
    OK();
}
