/* guest: ioctls of the terminal that few programs use, and numbers nobody knows
 * area: tty
 * source: ioctl_tty(2), ioctl(2)
 * calls: ioctl, openat
 * needs: tty
 * also: static
 * broken-by: ioctl:error=EPERM:when=4
 */
#include "check.h"
#include <asm/termbits.h>
#include <linux/fs.h>
#include <linux/serial.h>
#include <sys/mman.h>

static void all(int fd) {
    struct termios2 t2;
    struct termios t, locked;
    int n = -1;
    struct serial_struct serial;
    memset(&t, 0, sizeof t), memset(&t2, 0, sizeof t2), memset(&locked, 7, sizeof locked);
    CHECK(0, ioctl(fd, TCGETS, &t));
    CHECK(0, ioctl(fd, TCGETS2, &t2));
    HOLDS(t.c_lflag == t2.c_lflag && t.c_cflag == t2.c_cflag && t2.c_ispeed > 0);
    CHECK(0, ioctl(fd, TIOCOUTQ, &n));
    HOLDS(n == 0);
    CHECK(0, ioctl(fd, FIONREAD, &n));
    HOLDS(n == 0);
    CHECK(0, ioctl(fd, TIOCGLCKTRMIOS, &locked));
    HOLDS(locked.c_iflag == 0 && locked.c_cc[0] == 0);
    CHECK(0, ioctl(fd, TIOCGETD, &n));
    HOLDS(n == 0);
    CHECK(0, ioctl(fd, TIOCGEXCL, &n));
    HOLDS(n == 0);
    errno = 0;
    int got = ioctl(fd, TIOCGSERIAL, &serial);
    SAY("TIOCGSERIAL gives %d, %s", got, strerrorname_np(errno));
    got = ioctl(fd, TIOCMGET, &n);
    SAY("TIOCMGET gives %d, %s", got, strerrorname_np(errno));
    got = ioctl(fd, TIOCGPTN, &n);
    SAY("TIOCGPTN gives %d, %s", got, strerrorname_np(errno));
    got = ioctl(fd, TIOCPKT, &n);
    SAY("TIOCPKT gives %d, %s", got, strerrorname_np(errno));
    got = ioctl(fd, TIOCGPTPEER, O_RDWR);
    SAY("TIOCGPTPEER gives %d, %s", got, strerrorname_np(errno));
    CHECK(0, ioctl(fd, TCSBRK, 1));
    CHECK(0, ioctl(fd, TCSBRKP, 0));
    ERR(EINVAL, ioctl(fd, TCFLSH, 99));
    ERR(EINVAL, ioctl(fd, TCXONC, 99));
    CHECK(0, ioctl(fd, FIONBIO, &(int){0}));
    CHECK(0, ioctl(fd, FIOCLEX));
    CHECK(0, ioctl(fd, FIONCLEX));
    ERR(ENOTTY, ioctl(fd, BLKGETSIZE, &n));
    ERR(ENOTTY, ioctl(fd, FS_IOC_GETFLAGS, &n));
    ERR(ENOTTY, ioctl(fd, 0x12345678, &n));
    ERR(ENOTTY, ioctl(fd, 0x54ff, 3));
    ERR(EFAULT, ioctl(fd, TCGETS2, NULL));
    ERR(EFAULT, ioctl(fd, TCSETS2, -4096L));
    ERR(EFAULT, ioctl(fd, TIOCGLCKTRMIOS, 8L));
}

int main(void) {
    all(0);
    int tty = MUST(open("/dev/tty", O_RDWR));
    all(tty);
    CHECK(0, ioctl(tty, TIOCEXCL));
    int n = -1;
    CHECK(0, ioctl(0, TIOCGEXCL, &n));
    HOLDS(n == 1);
    CHECK(0, ioctl(1, TIOCNXCL));
    CHECK(0, ioctl(tty, TIOCGEXCL, &n));
    HOLDS(n == 0);
    OK();
}
