/* guest: every mode that is set can be read back, and is the same through each descriptor
 * area: tty
 * source: termios(3)
 * calls: ioctl
 * needs: tty
 * broken-by: ioctl:retval=0:when=3
 */
#include "check.h"
#include <termios.h>

static struct termios at(int fd) {
    struct termios t;
    memset(&t, 0, sizeof t);
    MUST(tcgetattr(fd, &t));
    return t;
}

int main(void) {
    struct termios saved = at(0), t = saved, now;
    SAY("at first: %#x %#x %#x %#x", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
    for (int i = 0; i <= VEOL2; i++)
        SAY("key %d: %#x", i, t.c_cc[i]);
    t.c_iflag |= INLCR | IXANY;
    t.c_iflag &= ~ICRNL;
    t.c_lflag &= ~(ECHOE | IEXTEN);
    t.c_cc[VINTR] = 'x';
    t.c_cc[VEOL] = ';';
    CHECK(0, tcsetattr(1, TCSANOW, &t));
    now = at(0);
    HOLDS(now.c_iflag == t.c_iflag && now.c_lflag == t.c_lflag);
    HOLDS(now.c_cc[VINTR] == 'x' && now.c_cc[VEOL] == ';');
    int tty = MUST(open("/dev/tty", O_RDWR));
    now = at(tty);
    HOLDS(now.c_iflag == t.c_iflag && now.c_cc[VINTR] == 'x');
    CHECK(0, tcsetattr(tty, TCSANOW, &saved));
    now = at(2);
    HOLDS(now.c_iflag == saved.c_iflag && now.c_lflag == saved.c_lflag);
    CHECK(0, cfsetispeed(&t, B9600) | cfsetospeed(&t, B9600));
    CHECK(0, tcsetattr(0, TCSANOW, &t));
    now = at(0);
    HOLDS(cfgetospeed(&now) == B9600);
    CHECK(0, tcsetattr(0, TCSANOW, &saved));
    ERR(EINVAL, tcsetattr(0, 99, &saved));
    OK();
}
