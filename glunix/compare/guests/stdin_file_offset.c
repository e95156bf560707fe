/* guest: a file as stdin: reads move its offset exactly, lseek and pread work, children share it
 * area: stdin
 * source: read(2), lseek(2), fork(2)
 * calls: read, lseek, pread64, fstat|newfstatat
 * stdin: file "abcdefghij"
 * also: static
 * broken-by: lseek:retval=0
 * broken-by: pread64:retval=1:when=3+
 */
#include "check.h"

int main(void) {
    char buf[32];
    struct stat s;
    QUIET(0, fstat(0, &s));
    HOLDS(S_ISREG(s.st_mode) && s.st_size == 10);
    CHECK(0, lseek(0, 0, SEEK_CUR));
    CHECK(3, read(0, buf, 3));
    TEXT("abc", buf, 3);
    CHECK(3, lseek(0, 0, SEEK_CUR));
    CHECK(4, pread(0, buf, 4, 6));
    TEXT("ghij", buf, 4);
    CHECK(3, lseek(0, 0, SEEK_CUR));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(2, read(0, buf, 2));
        TEXT("de", buf, 2);
        _exit(0);
    }
    JOIN(pid);
    CHECK(5, lseek(0, 0, SEEK_CUR));
    CHECK(8, lseek(0, 8, SEEK_SET));
    CHECK(2, read(0, buf, sizeof buf));
    CHECK(0, read(0, buf, sizeof buf));
    CHECK(10, lseek(0, 0, SEEK_CUR));
    ERR(EBADF, write(0, "x", 1));
    OK();
}
