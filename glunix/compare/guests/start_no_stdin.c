/* guest: a program that is started without fd 0 has none: the next file is it
 * area: files
 * source: close(2), open(2)
 * calls: fcntl, read, openat
 * start: exec <&-
 * broken-by: openat:retval=5:when=3+
 */
#include "check.h"
int main(void) {
    char buf[4];
    ERR(EBADF, fcntl(0, F_GETFD));
    ERR(EBADF, read(0, buf, 1));
    CHECK(0, open("/dev/null", O_RDONLY));
    CHECK(0, read(0, buf, 1));
    OK();
}
