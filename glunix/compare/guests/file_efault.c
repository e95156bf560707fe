/* guest: bad buffers and bad descriptors give EFAULT, EBADF and EINVAL, and move no offset
 * area: files
 * source: read(2), write(2), readv(2)
 * calls: read, write, readv, pwrite64, lseek, newfstatat
 * also: static
 * broken-by: readv:retval=0
 */
#include "check.h"
#include <sys/uio.h>

int main(void) {
    char *bad = (char *)-4096L;
    volatile int minus = -1;
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    QUIET(6, pwrite(fd, "abcdef", 6, 0));
    ERR(EFAULT, read(fd, bad, 6));
    ERR(EFAULT, write(fd, bad, 6));
    CHECK(0, lseek(fd, 0, SEEK_CUR));
    struct iovec v[2] = {{bad, 3}, {bad, 3}};
    ERR(EFAULT, readv(fd, v, 2));
    ERR(EINVAL, readv(fd, v, minus));
    v[0].iov_len = (size_t)-1;
    ERR(EINVAL, readv(fd, v, 1));
    ERR(EFAULT, open(bad, O_RDONLY));
    ERR(EFAULT, fstatat(AT_FDCWD, bad, (struct stat *)v, 0));
    ERR(EBADF, read(-1, bad, 1));
    ERR(EBADF, write(777, "x", 1));
    int writer = MUST(open("f", O_WRONLY)), reader = MUST(open("f", O_RDONLY));
    ERR(EBADF, read(writer, v, 1));
    ERR(EBADF, write(reader, "x", 1));
    CHECK(0, lseek(fd, 0, SEEK_CUR));
    OK();
}
