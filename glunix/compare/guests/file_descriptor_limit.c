/* guest: new descriptors get the lowest free number, up to RLIMIT_NOFILE, then EMFILE
 * area: files
 * source: open(2), getrlimit(2)
 * calls: prlimit64, openat, dup, close, pipe2
 * broken-by: prlimit64:retval=0
 */
#include "check.h"
#include <sys/resource.h>

int main(void) {
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    struct rlimit limit = {8, 8};
    CHECK(0, setrlimit(RLIMIT_NOFILE, &limit));
    int p[2];
    CHECK(3, open("/dev/null", O_RDONLY));
    CHECK(4, dup(3));
    CHECK(0, pipe(p));
    SAY("pipe: %d %d", p[0], p[1]);
    CHECK(7, open("/dev/null", O_RDONLY));
    ERR(EMFILE, open("/dev/null", O_RDONLY));
    ERR(EMFILE, dup(3));
    ERR(EMFILE, pipe(p));
    ERR(EBADF, dup2(3, 8));
    CHECK(0, close(4));
    ERR(EMFILE, pipe(p));
    CHECK(4, dup(7));
    CHECK(0, close(5));
    CHECK(5, open(".", O_RDONLY));
    OK();
}
