/* guest: canonical mode gives a line at a time; what is not read stays; editing keys; ^D
 * area: tty
 * source: termios(3) Canonical and noncanonical mode
 * calls: read
 * needs: tty
 * on: line -> type "hello world\n"
 * on: edit -> type "abX\177c\027\n"
 * on: kill -> type "kill me\025kept\n"
 * on: literal -> type "a\026\004b\n"
 * on: part -> type "no newline\004"
 * on: end -> type "\004"
 * on: again -> type "after\n"
 * broken-by: read:retval=5:when=3
 */
#include "check.h"

int main(void) {
    char buf[64];
    READY("line");
    CHECK(5, read(0, buf, 5));
    TEXT("hello", buf, 5);
    CHECK(1, read(0, buf, 1));
    CHECK(6, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "world\n", 6) == 0);
    READY("edit");
    CHECK(1, read(0, buf, sizeof buf)); /* ^W has taken the word */
    CHECK('\n', buf[0]);
    READY("kill"); /* a second line typed at once would be echoed before or after our output */
    CHECK(5, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "kept\n", 5) == 0);
    READY("literal");
    CHECK(4, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "a\004b\n", 4) == 0);
    READY("part");
    CHECK(10, read(0, buf, sizeof buf));
    TEXT("no newline", buf, 10);
    READY("end");
    CHECK(0, read(0, buf, sizeof buf));
    READY("again");
    CHECK(6, read(0, buf, sizeof buf)); /* end of file on a terminal is not for ever */
    OK();
}
