/* guest: a program that is started without fd 2 has none: the next file is it
 * area: files
 * source: close(2), open(2)
 * calls: fcntl, write, openat
 * start: exec 2>&-
 * broken-by: openat:retval=5:when=3+
 */
#include "check.h"
int main(void) {
    ERR(EBADF, fcntl(2, F_GETFD));
    ERR(EBADF, write(2, "x", 1));
    CHECK(2, open("f", O_RDWR | O_CREAT, 0600));
    CHECK(1, write(2, "x", 1));
    struct stat seen;
    CHECK(0, stat("f", &seen));
    CHECK(1, seen.st_size);
    OK();
}
