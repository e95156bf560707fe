/* guest: ftruncate and truncate cut and grow files; what is grown reads as zeros
 * area: files
 * source: truncate(2)
 * calls: ftruncate, truncate, fstat|newfstatat, lseek
 * broken-by: ftruncate:retval=0
 */
#include "check.h"

static long size(int fd) {
    struct stat s;
    MUST(fstat(fd, &s));
    return s.st_size;
}

int main(void) {
    char buf[16];
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    QUIET(8, write(fd, "abcdefgh", 8));
    CHECK(0, ftruncate(fd, 3));
    CHECK(3, size(fd));
    CHECK(8, lseek(fd, 0, SEEK_CUR));
    CHECK(0, ftruncate(fd, 6));
    CHECK(6, pread(fd, buf, sizeof buf, 0));
    HOLDS(memcmp(buf, "abc\0\0\0", 6) == 0);
    CHECK(0, truncate("f", 1));
    CHECK(1, size(fd));
    CHECK(1, write(fd, "z", 1));
    CHECK(9, size(fd));
    ERR(EINVAL, ftruncate(fd, -1));
    int reader = MUST(open("f", O_RDONLY));
    ERR(EINVAL, ftruncate(reader, 0));
    ERR(ENOENT, truncate("missing", 0));
    ERR(EISDIR, truncate(".", 0));
    ERR(EBADF, ftruncate(-1, 0));
    CHECK(9, size(reader));
    OK();
}
