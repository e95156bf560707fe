/* guest: VMIN waits for so many bytes, VTIME bounds the wait, both 0 do not wait
 * area: tty
 * source: termios(3) MIN and TIME
 * calls: ioctl, read
 * needs: tty
 * on: first -> type "ab"
 * on: more -> type "cde"
 * on: single -> type "x"
 * on: between -> type "y"
 * broken-by: read:retval=2:when=3
 */
#include "check.h"
#include <termios.h>

static struct termios t;
static void mode(int min, int time) {
    t.c_cc[VMIN] = min;
    t.c_cc[VTIME] = time;
    MUST(tcsetattr(0, TCSANOW, &t));
}

int main(void) {
    char buf[16];
    MUST(tcgetattr(0, &t));
    struct termios saved = t;
    t.c_lflag &= ~(ICANON | ECHO);
    mode(0, 0);
    CHECK(0, read(0, buf, sizeof buf));
    mode(0, 1);
    long start = now_ms();
    CHECK(0, read(0, buf, sizeof buf));
    HOLDS(now_ms() - start >= 90);
    mode(4, 0);
    READY("first");
    /* Two bytes are not enough for a read; a poll with TIME 0 wants MIN bytes as well. */
    CHECK(0, waits_for(0, POLLIN, 50));
    READY("more");
    CHECK(5, read(0, buf, sizeof buf));
    TEXT("abcde", buf, 5);
    mode(0, 100);
    READY("single");
    start = now_ms();
    CHECK(1, read(0, buf, sizeof buf)); /* at once, not after ten seconds */
    HOLDS(now_ms() - start < 9000);
    mode(5, 1);
    READY("between");
    CHECK(1, read(0, buf, sizeof buf)); /* the time runs from the first byte on */
    TEXT("y", buf, 1);
    MUST(tcsetattr(0, TCSANOW, &saved));
    OK();
}
