/* guest: /dev/tty is the terminal when stdin is not: the program can still ask its user
 * area: tty
 * source: tty(4)
 * calls: openat, read, write, ioctl
 * needs: tty
 * stdin: pipe "from the pipe"
 * on: ask -> type "from the user\n"
 * broken-by: openat:error=ENXIO:when=3
 */
#include "check.h"
#include <termios.h>

int main(void) {
    char buf[32];
    CHECK(0, isatty(0));
    int tty = MUST(open("/dev/tty", O_RDWR));
    CHECK(1, isatty(tty));
    HOLDS(tcgetpgrp(tty) == getpgrp());
    struct winsize w;
    CHECK(0, ioctl(tty, TIOCGWINSZ, &w));
    CHECK(24, w.ws_row);
    CHECK(13, read(0, buf, sizeof buf));
    TEXT("from the pipe", buf, 13);
    READY("ask");
    CHECK(14, read(tty, buf, sizeof buf));
    HOLDS(memcmp(buf, "from the user\n", 14) == 0);
    CHECK(0, read(0, buf, sizeof buf));
    OK();
}
