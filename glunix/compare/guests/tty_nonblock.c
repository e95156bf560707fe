/* guest: O_NONBLOCK on the terminal: EAGAIN until a line is complete, then the line
 * area: tty
 * source: termios(3), fcntl(2)
 * calls: fcntl, read, poll, ioctl
 * needs: tty
 * on: half -> type "half"
 * on: rest -> type " line\n"
 * broken-by: read:retval=0:when=2
 */
#include "check.h"
#include <termios.h>

int main(void) {
    char buf[32];
    struct termios saved, quiet;
    MUST(tcgetattr(0, &saved));
    quiet = saved;
    quiet.c_lflag &= ~ECHO; /* the echo could come between any two lines */
    MUST(tcsetattr(0, TCSANOW, &quiet));
    int flags = MUST(fcntl(0, F_GETFL));
    CHECK(0, fcntl(0, F_SETFL, flags | O_NONBLOCK));
    ERR(EAGAIN, read(0, buf, sizeof buf));
    READY("half");
    CHECK(0, waits_for(0, POLLIN, 30));
    ERR(EAGAIN, read(0, buf, sizeof buf));
    READY("rest");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(10, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "half line\n", 10) == 0);
    ERR(EAGAIN, read(0, buf, sizeof buf));
    CHECK(0, fcntl(0, F_SETFL, flags));
    MUST(tcsetattr(0, TCSANOW, &saved));
    OK();
}
