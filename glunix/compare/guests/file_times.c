/* guest: utimensat sets the times to the nanosecond, and writing changes them
 * area: files
 * source: utimensat(2)
 * calls: utimensat, fstat|newfstatat, write
 * broken-by: utimensat:retval=0
 */
#include "check.h"

int main(void) {
    struct stat s, t;
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    struct timespec times[2] = {{1000000000, 123456789}, {1200000000, 987654321}};
    CHECK(0, futimens(fd, times));
    QUIET(0, fstat(fd, &s));
    CHECK(1000000000, s.st_atim.tv_sec);
    CHECK(123456789, s.st_atim.tv_nsec);
    CHECK(1200000000, s.st_mtim.tv_sec);
    CHECK(987654321, s.st_mtim.tv_nsec);
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = (struct timespec){5, 6};
    CHECK(0, utimensat(AT_FDCWD, "f", times, 0));
    QUIET(0, stat("f", &s));
    CHECK(1000000000, s.st_atim.tv_sec);
    CHECK(5, s.st_mtim.tv_sec);
    QUIET(1, write(fd, "x", 1));
    QUIET(0, fstat(fd, &t));
    HOLDS(t.st_mtim.tv_sec > s.st_mtim.tv_sec && t.st_ctim.tv_sec == t.st_mtim.tv_sec);
    times[0].tv_nsec = 1000000000;
    ERR(EINVAL, futimens(fd, times));
    OK();
}
