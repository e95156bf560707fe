/* guest: forty inherited descriptors above 2 are the program's, with offsets
 * area: files
 * source: execve(2), read(2)
 * calls: read, fcntl
 * start: echo abc >f; for n in $(seq 10 49); do eval "exec $n<f"; done; read -N 1 -u 49 c
 * broken-by: read:retval=4:when=41
 */
#include "check.h"
int main(void) {
    char buf[8];
    for (int fd = 10; fd < 50; fd++) {
        QUIET(0, fcntl(fd, F_GETFD));
        QUIET(fd == 49 ? 3 : 4, read(fd, buf, 8));
    }
    ERR(EBADF, fcntl(50, F_GETFD));
    CHECK(0, read(10, buf, 8));
    OK();
}
