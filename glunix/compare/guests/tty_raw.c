/* guest: raw mode gives each byte as typed: no echo, no signals, no translation
 * area: tty
 * source: termios(3) cfmakeraw
 * calls: ioctl, read
 * needs: tty
 * on: bytes -> type "\003\r\n\004\032\177\377"
 * on: one -> type "x"
 * broken-by: read:retval=7:when=2
 */
#include "check.h"
#include <termios.h>

int main(void) {
    struct termios saved, raw;
    unsigned char buf[32];
    size_t have = 0;
    MUST(tcgetattr(0, &saved));
    raw = saved;
    cfmakeraw(&raw);
    CHECK(0, tcsetattr(0, TCSAFLUSH, &raw));
    READY("bytes");
    while (have < 7) {
        ssize_t n = MUST(read(0, buf + have, sizeof buf - have));
        QUIET(1, n > 0);
        have += n;
    }
    for (int i = 0; i < 7; i++)
        SAY("byte %#x", buf[i]);
    HOLDS(memcmp(buf, "\003\r\n\004\032\177\377", 7) == 0);
    READY("one");
    CHECK(1, read(0, buf, sizeof buf));
    CHECK('x', buf[0]);
    CHECK(0, tcsetattr(0, TCSADRAIN, &saved));
    OK();
}
