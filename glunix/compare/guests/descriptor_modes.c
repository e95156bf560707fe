/* guest: the access modes of fds 0 and 1 are the caller's: 0<>f is for both, 1<f not for writing
 * area: files
 * source: open(2), fcntl(2) F_GETFL
 * calls: fcntl, write, read, pread64
 * start: printf abcde >f; printf abc >g; exec 0<>f 1<g
 * broken-by: fcntl:retval=0:when=1
 */
#include "check.h"
int main(void) {
    char buf[8];
    check_out = stderr;
    CHECK(O_RDWR, fcntl(0, F_GETFL) & O_ACCMODE);
    CHECK(O_RDONLY, fcntl(1, F_GETFL) & O_ACCMODE);
    ERR(EBADF, write(1, "x", 1));
    CHECK(3, read(1, buf, 3));
    TEXT("abc", buf, 3);
    CHECK(3, read(0, buf, 3));
    CHECK(1, write(0, "X", 1));
    CHECK(5, pread(0, buf, 8, 0));
    TEXT("abcXe", buf, 5);
    OK();
}
