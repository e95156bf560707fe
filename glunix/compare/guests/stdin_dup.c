/* guest: stdin is one stream through every copy of its descriptor, also in children and after exec
 * area: stdin
 * source: dup(2), execve(2), proc(5)
 * calls: dup, dup2, close, read, execve, openat
 * stdin: pipe "abcdefghijklmnop"
 * broken-by: dup2:error=EBUSY
 */
#include "check.h"

int main(int argc, char **argv) {
    char buf[16];
    (void)argv;
    if (argc > 1) {
        QUIET(2, read(9, buf, 2));
        QUIET(0, memcmp(buf, "hi", 2));
        return 0;
    }
    int high = MUST(fcntl(0, F_DUPFD, 40)), twin = MUST(dup(0));
    CHECK(2, read(high, buf, 2));
    TEXT("ab", buf, 2);
    CHECK(1, read(0, buf, 1));
    TEXT("c", buf, 1);
    MUST(close(0));
    ERR(EBADF, read(0, buf, 1));
    CHECK(2, read(twin, buf, 2));
    TEXT("de", buf, 2);
    int reopened = MUST(open("/proc/self/fd/40", O_RDONLY)); /* the same pipe */
    CHECK(2, read(reopened, buf, 2));
    TEXT("fg", buf, 2);
    CHECK(9, dup2(high, 9));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        execl("/proc/self/exe", "guest", "child", NULL);
        _exit(1);
    }
    JOIN(pid);
    CHECK(0, dup2(9, 0));
    CHECK(3, read(0, buf, 3));
    TEXT("jkl", buf, 3);
    CHECK(4, read(high, buf, sizeof buf));
    TEXT("mnop", buf, 4);
    CHECK(0, read(twin, buf, sizeof buf));
    OK();
}
