/* guest: eventfd counts, wakes readers, gives all or one at a time, and blocks when full
 * area: readiness
 * source: eventfd(2)
 * calls: eventfd2, read, write, poll
 * broken-by: eventfd2:retval=1
 */
#include "check.h"
#include <sys/eventfd.h>

int main(void) {
    uint64_t n = 0;
    int fd = MUST(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
    CHECK(8, read(fd, &n, sizeof n));
    CHECK(3, n);
    ERR(EAGAIN, read(fd, &n, sizeof n));
    ERR(EINVAL, read(fd, &n, 7));
    CHECK(0, waits_for(fd, POLLIN, 0));
    n = 5;
    CHECK(8, write(fd, &n, sizeof n));
    CHECK(8, write(fd, &n, sizeof n));
    CHECK(1, waits_for(fd, POLLIN, 0));
    CHECK(8, read(fd, &n, sizeof n));
    CHECK(10, n);
    n = UINT64_MAX - 1;
    CHECK(8, write(fd, &n, sizeof n));
    CHECK(0, waits_for(fd, POLLOUT, 0));
    n = 1;
    ERR(EAGAIN, write(fd, &n, sizeof n));
    n = UINT64_MAX;
    ERR(EINVAL, write(fd, &n, sizeof n));
    int semaphore = MUST(eventfd(2, EFD_SEMAPHORE));
    CHECK(8, read(semaphore, &n, sizeof n));
    CHECK(1, n);
    CHECK(8, read(semaphore, &n, sizeof n));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        n = 1;
        QUIET(8, write(semaphore, &n, sizeof n));
        _exit(0);
    }
    CHECK(8, read(semaphore, &n, sizeof n));
    JOIN(pid);
    OK();
}
