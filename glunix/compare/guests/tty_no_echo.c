/* guest: with ECHO off a password is not shown, and the typed newline only with ECHONL
 * area: tty
 * source: termios(3) ECHO, ECHONL
 * calls: ioctl, read
 * needs: tty
 * on: shown -> type "visible\n"
 * on: hidden -> type "secret\n"
 * on: newline -> type "secret too\n"
 * broken-by: read:retval=8:when=3
 */
#include "check.h"
#include <termios.h>

int main(void) {
    struct termios saved, t;
    char buf[64];
    MUST(tcgetattr(0, &saved));
    READY("shown");
    CHECK(8, read(0, buf, sizeof buf));
    t = saved;
    t.c_lflag &= ~ECHO;
    CHECK(0, tcsetattr(0, TCSAFLUSH, &t));
    READY("hidden");
    CHECK(7, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "secret\n", 7) == 0);
    t.c_lflag |= ECHONL;
    CHECK(0, tcsetattr(0, TCSAFLUSH, &t));
    READY("newline");
    CHECK(11, read(0, buf, sizeof buf));
    CHECK(0, tcsetattr(0, TCSAFLUSH, &saved));
    OK();
}
