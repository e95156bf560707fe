/* guest: a read of a pipe gives what is there, not what was asked; end of file stays
 * area: stdin
 * source: read(2), pipe(7)
 * calls: read
 * stdin: open-pipe
 * on: one -> type "abc"
 * on: two -> type "defghi"
 * on: three -> eof
 * also: static
 * broken-by: read:retval=4:when=2+
 */
#include "check.h"

int main(void) {
    char buf[100];
    CHECK(0, read(0, buf, 0));
    READY("one");
    CHECK(3, read(0, buf, sizeof buf));
    TEXT("abc", buf, 3);
    READY("two");
    CHECK(2, read(0, buf, 2));
    TEXT("de", buf, 2);
    CHECK(4, read(0, buf, sizeof buf));
    TEXT("fghi", buf, 4);
    READY("three");
    CHECK(0, read(0, buf, sizeof buf));
    CHECK(0, read(0, buf, sizeof buf));
    OK();
}
