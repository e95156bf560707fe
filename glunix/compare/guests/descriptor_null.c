/* guest: 0>/dev/null is not for reading: EBADF, as nohup gives its program
 * area: stdin
 * source: open(2), read(2) EBADF
 * calls: fcntl, read, write
 * start: exec 0>/dev/null
 * broken-by: read:retval=0:when=2+
 */
#include "check.h"
int main(void) {
    char buf[8];
    CHECK(O_WRONLY, fcntl(0, F_GETFL) & O_ACCMODE);
    ERR(EBADF, read(0, buf, 1));
    CHECK(1, write(0, "x", 1));
    struct stat seen, null;
    CHECK(0, fstat(0, &seen));
    CHECK(0, stat("/dev/null", &null));
    HOLDS(seen.st_rdev == null.st_rdev && S_ISCHR(seen.st_mode));
    OK();
}
