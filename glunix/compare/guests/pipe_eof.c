/* guest: a pipe ends when its last writer closes, the copies in children included
 * area: pipes
 * source: pipe(7), fork(2)
 * calls: pipe2|pipe, close, read, poll, wait4
 * broken-by: close:retval=0
 */
#include "check.h"

int main(void) {
    char buf[8];
    int p[2], hold[2];
    MUST(pipe(p));
    MUST(pipe(hold));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        close(hold[1]);
        take_byte(hold[0]);
        QUIET(2, write(p[1], "hi", 2));
        _exit(0);
    }
    MUST(close(p[1]));
    CHECK(0, waits_for(p[0], POLLIN, 0));
    give_byte(hold[1]);
    CHECK(2, read(p[0], buf, sizeof buf));
    JOIN(pid);
    MUST(fcntl(p[0], F_SETFL, O_NONBLOCK));
    CHECK(0, read(p[0], buf, sizeof buf));
    struct pollfd e = {p[0], POLLIN, 0};
    CHECK(1, poll(&e, 1, 0));
    CHECK(POLLHUP, e.revents);
    MUST(pipe(p));
    MUST(close(p[0]));
    e = (struct pollfd){p[1], POLLOUT, 0};
    CHECK(1, poll(&e, 1, 0));
    CHECK(POLLOUT | POLLERR, e.revents);
    OK();
}
