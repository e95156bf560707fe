/* guest: ioctls of a pipe as stdin: known ones, ones about the descriptor, and numbers nobody knows
 * area: stdin
 * source: ioctl(2), ioctl_tty(2), ioctl_fs(2), pipe(7)
 * calls: ioctl
 * stdin: open-pipe
 * on: go -> type "abcde"
 * also: static
 * broken-by: ioctl:error=EINVAL:when=5
 */
#include "check.h"
#include <linux/fs.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <termios.h>

int main(void) {
    int n = -1, on = 1;
    long size = -1;
    struct termios t;
    struct winsize w;
    CHECK(0, ioctl(0, FIONREAD, &n));
    HOLDS(n == 0);
    READY("go");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(0, ioctl(0, FIONREAD, &n));
    HOLDS(n == 5);
    ERR(ENOTTY, ioctl(0, TCGETS, &t));
    ERR(ENOTTY, ioctl(0, TIOCGWINSZ, &w));
    ERR(ENOTTY, ioctl(0, TIOCOUTQ, &n));
    ERR(ENOTTY, ioctl(0, TCSBRK, 1));
    ERR(ENOTTY, ioctl(0, BLKGETSIZE, &size));
    ERR(ENOTTY, ioctl(0, FS_IOC_GETFLAGS, &n));
    ERR(ENOTTY, ioctl(0, SIOCATMARK, &n));
    ERR(ENOTTY, ioctl(0, 0x12345678, &n));
    ERR(ENOTTY, ioctl(0, 0, NULL));
    ERR(ENOTTY, ioctl(0, -1, -1L));
    HOLDS(n == 5 && size == -1);
    ERR(EFAULT, ioctl(0, FIONREAD, NULL));
    ERR(EFAULT, ioctl(0, FIONREAD, -4096L));
    CHECK(0, ioctl(0, FIOCLEX));
    CHECK(FD_CLOEXEC, fcntl(0, F_GETFD));
    CHECK(0, ioctl(0, FIONCLEX));
    CHECK(0, fcntl(0, F_GETFD));
    CHECK(0, ioctl(0, FIONBIO, &on));
    char buf[8];
    CHECK(5, read(0, buf, sizeof buf));
    ERR(EAGAIN, read(0, buf, sizeof buf));
    on = 0;
    CHECK(0, ioctl(0, FIONBIO, &on));
    CHECK(O_RDONLY, fcntl(0, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
    int copy = MUST(dup(0));
    ERR(ENOTTY, ioctl(copy, FS_IOC_GETFLAGS, &n));
    MUST(close(0));
    ERR(EBADF, ioctl(0, FIONREAD, &n));
    ERR(EBADF, ioctl(0, 0x12345678, &n));
    CHECK(0, ioctl(copy, FIONREAD, &n));
    HOLDS(n == 0);
    OK();
}
