/* guest: a file on fd 1 is one: no epoll, its size, offset, truncation and name
 * area: files
 * source: epoll_ctl(2) EPERM, ftruncate(2), lseek(2)
 * calls: epoll_ctl, write, lseek, ftruncate
 * start: exec >f
 * broken-by: epoll_ctl:retval=0
 */
#include "check.h"
#include <sys/epoll.h>

int main(void) {
    struct epoll_event event = {.events = EPOLLOUT};
    struct stat seen, named;
    check_out = stderr;
    int epoll = MUST(epoll_create1(0));
    ERR(EPERM, epoll_ctl(epoll, EPOLL_CTL_ADD, 1, &event));
    CHECK(3, write(1, "abc", 3));
    CHECK(3, lseek(1, 0, SEEK_CUR));
    CHECK(0, fstat(1, &seen));
    CHECK(3, seen.st_size);
    CHECK(0, stat("f", &named));
    HOLDS(seen.st_ino == named.st_ino);
    CHECK(0, ftruncate(1, 1));
    CHECK(0, stat("f", &named));
    CHECK(1, named.st_size);
    ERR(EBADF, fcntl(1, F_GETPIPE_SZ));
    OK();
}
