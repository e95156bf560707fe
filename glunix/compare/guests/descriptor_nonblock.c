/* guest: O_NONBLOCK that the caller has set on fd 0 is there, and may be taken away
 * area: stdin
 * source: fcntl(2) F_SETFL, read(2) EAGAIN
 * calls: fcntl, read
 * start: python3 -c 'import os; os.set_blocking(0, False)'
 * stdin: open-pipe
 * on: go -> type "abc"
 * broken-by: fcntl:retval=0:when=1
 */
#include "check.h"
int main(void) {
    char buf[8];
    CHECK(O_NONBLOCK, fcntl(0, F_GETFL) & O_NONBLOCK);
    ERR(EAGAIN, read(0, buf, 8));
    READY("go");
    CHECK(1, waits_for(0, POLLIN, 5000));
    CHECK(3, read(0, buf, 8));
    CHECK(0, fcntl(0, F_SETFL, fcntl(0, F_GETFL) & ~O_NONBLOCK));
    CHECK(0, fcntl(0, F_GETFL) & O_NONBLOCK);
    OK();
}
