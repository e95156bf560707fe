/* guest: dup and fork share one file offset, a second open has its own; lseek's rules
 * area: files
 * source: lseek(2), dup(2), fork(2), open(2)
 * calls: lseek, dup, openat, read, wait4
 * broken-by: lseek:retval=5
 */
#include "check.h"

int main(void) {
    char buf[8];
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    QUIET(10, write(fd, "0123456789", 10));
    int twin = MUST(dup(fd)), other = MUST(open("f", O_RDONLY));
    CHECK(10, lseek(twin, 0, SEEK_CUR));
    CHECK(0, lseek(other, 0, SEEK_CUR));
    CHECK(2, lseek(twin, 2, SEEK_SET));
    CHECK(2, read(fd, buf, 2));
    TEXT("23", buf, 2);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(3, read(fd, buf, 3));
        TEXT("456", buf, 3);
        CHECK(1, read(other, buf, 1));
        _exit(0);
    }
    JOIN(pid);
    CHECK(7, lseek(twin, 0, SEEK_CUR));
    CHECK(1, lseek(other, 0, SEEK_CUR));
    CHECK(8, lseek(fd, -2, SEEK_END));
    CHECK(12, lseek(fd, 4, SEEK_CUR));
    ERR(EINVAL, lseek(fd, -13, SEEK_CUR));
    ERR(EINVAL, lseek(fd, 0, 99));
    CHECK(12, lseek(fd, 0, SEEK_CUR));
    QUIET(1, write(fd, "X", 1));
    CHECK(5, pread(fd, buf, 8, 8));
    HOLDS(memcmp(buf, "89\0\0X", 5) == 0);
    CHECK(0, lseek(fd, 0, SEEK_DATA));
    CHECK(13, lseek(fd, 0, SEEK_HOLE));
    ERR(ENXIO, lseek(fd, 13, SEEK_DATA));
    OK();
}
