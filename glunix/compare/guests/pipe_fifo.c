/* guest: a FIFO's opens meet each other; O_NONBLOCK opens do not wait
 * area: pipes
 * source: fifo(7), mkfifo(3)
 * calls: mknodat, openat, read, write, wait4
 * broken-by: mknodat:retval=0
 */
#include "check.h"

int main(void) {
    char buf[16];
    CHECK(0, mkfifo("p", 0600));
    ERR(EEXIST, mkfifo("p", 0600));
    ERR(ENXIO, open("p", O_WRONLY | O_NONBLOCK));
    int reader = MUST(open("p", O_RDONLY | O_NONBLOCK));
    CHECK(0, read(reader, buf, sizeof buf)); /* no writer */
    int writer = MUST(open("p", O_WRONLY | O_NONBLOCK));
    ERR(EAGAIN, read(reader, buf, sizeof buf));
    QUIET(4, write(writer, "fifo", 4));
    CHECK(4, read(reader, buf, sizeof buf));
    close(writer);
    CHECK(0, read(reader, buf, sizeof buf));
    close(reader);
    pid_t pid = MUST(fork());
    if (pid == 0) { /* waits for the parent's open, whichever comes first */
        writer = MUST(open("p", O_WRONLY));
        QUIET(7, write(writer, "from it", 7));
        _exit(0);
    }
    reader = MUST(open("p", O_RDONLY));
    CHECK(7, read(reader, buf, sizeof buf));
    TEXT("from it", buf, 7);
    CHECK(0, read(reader, buf, sizeof buf));
    JOIN(pid);
    OK();
}
