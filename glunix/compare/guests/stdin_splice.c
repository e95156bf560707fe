/* guest: tee looks at stdin without taking, splice takes exactly what it says
 * area: stdin
 * source: tee(2), splice(2)
 * calls: tee, splice, read
 * stdin: pipe "take this and leave that"
 * broken-by: splice:retval=9
 */
#include "check.h"

int main(void) {
    char buf[64];
    int p[2];
    MUST(pipe(p));
    int out = MUST(open("out", O_RDWR | O_CREAT, 0600));
    QUIET(1, waits_for(0, POLLIN, 10000));
    CHECK(4, tee(0, p[1], 4, 0));
    CHECK(4, read(p[0], buf, sizeof buf));
    TEXT("take", buf, 4);
    CHECK(9, splice(0, NULL, out, NULL, 9, 0));
    CHECK(9, pread(out, buf, sizeof buf, 0));
    TEXT("take this", buf, 9);
    CHECK(15, read(0, buf, sizeof buf));
    TEXT(" and leave that", buf, 15);
    CHECK(0, splice(0, NULL, out, NULL, 9, 0));
    OK();
}
