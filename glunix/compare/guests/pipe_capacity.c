/* guest: a pipe holds as many bytes as F_GETPIPE_SZ says, then EAGAIN; partial writes
 * area: pipes
 * source: pipe(7) Pipe capacity, fcntl(2) F_SETPIPE_SZ
 * calls: pipe2, fcntl, write, read
 * broken-by: fcntl:retval=4096
 */
#include "check.h"

int main(void) {
    static char buf[200000];
    int p[2];
    CHECK(0, pipe2(p, O_NONBLOCK | O_CLOEXEC));
    CHECK(65536, fcntl(p[1], F_GETPIPE_SZ));
    CHECK(16384, fcntl(p[0], F_SETPIPE_SZ, 10000));
    CHECK(16384, fcntl(p[1], F_GETPIPE_SZ));
    CHECK(16384, write(p[1], buf, sizeof buf));
    ERR(EAGAIN, write(p[1], buf, 1));
    CHECK(0, waits_for(p[1], POLLOUT, 0));
    CHECK(4096, read(p[0], buf, 4096));
    CHECK(1, waits_for(p[1], POLLOUT, 0));
    CHECK(4096, write(p[1], buf, 5000));
    ERR(EBUSY, fcntl(p[1], F_SETPIPE_SZ, 4096));
    CHECK(16384, read(p[0], buf, sizeof buf));
    ERR(EAGAIN, read(p[0], buf, 1));
    CHECK(FD_CLOEXEC, fcntl(p[0], F_GETFD));
    CHECK(O_NONBLOCK | O_WRONLY, fcntl(p[1], F_GETFL));
    ERR(EBADF, write(p[0], "x", 1));
    ERR(EBADF, read(p[1], buf, 1));
    OK();
}
