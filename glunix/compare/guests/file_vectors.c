/* guest: readv, writev, preadv and pwritev fill buffers in order; the p forms leave the offset
 * area: files
 * source: readv(2)
 * calls: writev, readv, preadv, pwritev, lseek
 * broken-by: preadv:retval=2
 */
#include "check.h"
#include <limits.h>
#include <sys/uio.h>

int main(void) {
    char a[4] = "", b[4] = "", c[8] = "";
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    struct iovec out[3] = {{"one", 3}, {"", 0}, {"two45", 5}};
    CHECK(8, writev(fd, out, 3));
    CHECK(8, lseek(fd, 0, SEEK_CUR));
    MUST(lseek(fd, 1, SEEK_SET));
    struct iovec in[3] = {{a, 2}, {b, 3}, {c, 8}};
    CHECK(7, readv(fd, in, 3));
    TEXT("ne", a, 2);
    TEXT("two", b, 3);
    TEXT("45", c, 2);
    CHECK(0, readv(fd, in, 3));
    CHECK(4, preadv(fd, in, 2, 4));
    TEXT("wo", a, 2);
    TEXT("45o", b, 3); /* only two came: the third byte is still from the read before */
    struct iovec patch[2] = {{"AB", 2}, {"C", 1}};
    CHECK(3, pwritev(fd, patch, 2, 6));
    CHECK(8, lseek(fd, 0, SEEK_CUR));
    CHECK(9, lseek(fd, 0, SEEK_END));
    CHECK(9, pread(fd, c, 8, 0) + pread(fd, a, 4, 8));
    TEXT("onetwoAB", c, 8);
    ERR(EINVAL, preadv(fd, in, 2, -1));
    static struct iovec many[IOV_MAX + 1];
    CHECK(0, readv(fd, many, IOV_MAX));
    ERR(EINVAL, readv(fd, many, IOV_MAX + 1));
    OK();
}
