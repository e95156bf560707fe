/* guest: tcflush drops what was typed, TCSAFLUSH too, TCSADRAIN and TCSANOW keep it; tcdrain
 * area: tty
 * source: termios(3) tcflush, tcsetattr, tcdrain
 * calls: ioctl, read, poll
 * needs: tty
 * on: dropped -> type "gone\n"
 * on: kept -> type "kept\n"
 * on: flushed -> type "gone too\n"
 * on: end -> type "end\n"
 * broken-by: poll:retval=0
 */
#include "check.h"
#include <termios.h>

int main(void) {
    char buf[32];
    struct termios t;
    MUST(tcgetattr(0, &t));
    READY("dropped");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(0, tcflush(0, TCIFLUSH));
    CHECK(0, waits_for(0, POLLIN, 0));
    READY("kept");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(0, tcsetattr(0, TCSANOW, &t));
    CHECK(0, tcsetattr(0, TCSADRAIN, &t));
    CHECK(0, tcdrain(1));
    CHECK(5, read(0, buf, sizeof buf));
    READY("flushed");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(0, tcsetattr(0, TCSAFLUSH, &t));
    CHECK(0, waits_for(0, POLLIN, 0));
    READY("end");
    CHECK(4, read(0, buf, sizeof buf));
    ERR(EINVAL, tcflush(0, 99));
    OK();
}
