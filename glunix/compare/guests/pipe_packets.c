/* guest: an O_DIRECT pipe keeps packets apart: one read takes one, the rest of it is dropped
 * area: pipes
 * source: pipe(2) O_DIRECT
 * calls: pipe2, write, read
 * broken-by: read:retval=5:when=2
 */
#include "check.h"

int main(void) {
    char buf[16];
    int p[2];
    CHECK(0, pipe2(p, O_DIRECT));
    CHECK(3, write(p[1], "one", 3));
    CHECK(5, write(p[1], "three", 5));
    CHECK(2, write(p[1], "xy", 2));
    CHECK(3, read(p[0], buf, sizeof buf));
    TEXT("one", buf, 3);
    CHECK(2, read(p[0], buf, 2));
    TEXT("th", buf, 2);
    CHECK(2, read(p[0], buf, sizeof buf));
    TEXT("xy", buf, 2);
    OK();
}
