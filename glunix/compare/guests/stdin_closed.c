/* guest: closing stdin makes 0 the next free descriptor, and does not close the stream for a child
 * area: stdin
 * source: close(2), open(2)
 * calls: close, openat, read
 * stdin: pipe "from home"
 * broken-by: openat:retval=5:when=3+
 */
#include "check.h"

int main(void) {
    char buf[32];
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        close(p[1]);
        take_byte(p[0]); /* the parent has closed its stdin by now */
        CHECK(9, read(0, buf, sizeof buf));
        TEXT("from home", buf, 9);
        _exit(0);
    }
    CHECK(0, close(0));
    ERR(EBADF, read(0, buf, 1));
    ERR(EBADF, fcntl(0, F_GETFD));
    give_byte(p[1]);
    JOIN(pid);
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    CHECK(0, fd);
    QUIET(3, write(fd, "own", 3));
    MUST(lseek(fd, 0, SEEK_SET));
    CHECK(3, read(STDIN_FILENO, buf, sizeof buf));
    TEXT("own", buf, 3);
    OK();
}
