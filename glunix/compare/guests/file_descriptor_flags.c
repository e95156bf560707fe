/* guest: status flags belong to the open file, close-on-exec to the descriptor; F_DUPFD, dup2, dup3
 * area: files
 * source: fcntl(2), dup(2)
 * calls: fcntl, dup2, dup3, close
 * broken-by: dup2:retval=60
 */
#include "check.h"

int main(void) {
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    CHECK(FD_CLOEXEC, fcntl(fd, F_GETFD));
    int twin = fcntl(fd, F_DUPFD, 50);
    CHECK(50, twin);
    CHECK(0, fcntl(twin, F_GETFD));
    CHECK(0, fcntl(twin, F_SETFL, O_NONBLOCK | O_APPEND));
    HOLDS((fcntl(fd, F_GETFL) & (O_NONBLOCK | O_APPEND)) == (O_NONBLOCK | O_APPEND));
    HOLDS((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    CHECK(51, fcntl(fd, F_DUPFD_CLOEXEC, 50));
    CHECK(FD_CLOEXEC, fcntl(51, F_GETFD));
    CHECK(60, dup2(fd, 60));
    CHECK(0, fcntl(60, F_GETFD));
    CHECK(60, dup2(60, 60));
    CHECK(61, dup3(60, 61, O_CLOEXEC));
    CHECK(FD_CLOEXEC, fcntl(61, F_GETFD));
    ERR(EINVAL, dup3(60, 60, 0));
    ERR(EBADF, dup2(999, 60));
    CHECK(0, fcntl(60, F_GETFD)); /* a failed dup2 closes nothing */
    CHECK(0, close(60));
    ERR(EBADF, close(60));
    ERR(EBADF, fcntl(60, F_GETFD));
    CHECK(0, fcntl(fd, F_SETFL, 0));
    CHECK(0, fcntl(twin, F_GETFL) & (O_NONBLOCK | O_APPEND));
    ERR(EINVAL, fcntl(fd, 9999));
    OK();
}
