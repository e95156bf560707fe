/* guest: O_NONBLOCK on stdin: EAGAIN while there is nothing, then data, then end of file
 * area: stdin
 * source: fcntl(2) O_NONBLOCK, read(2)
 * calls: fcntl, read, poll
 * stdin: open-pipe
 * on: data -> type "hello"
 * on: end -> eof
 * broken-by: fcntl:retval=2048
 */
#include "check.h"

int main(void) {
    char buf[16];
    int flags = MUST(fcntl(0, F_GETFL));
    CHECK(O_RDONLY, flags);
    CHECK(0, fcntl(0, F_SETFL, O_NONBLOCK));
    ERR(EAGAIN, read(0, buf, sizeof buf));
    ERR(EAGAIN, read(0, buf, 1));
    CHECK(0, waits_for(0, POLLIN, 0));
    READY("data");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(5, read(0, buf, sizeof buf));
    TEXT("hello", buf, 5);
    ERR(EAGAIN, read(0, buf, sizeof buf));
    READY("end");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(0, read(0, buf, sizeof buf));
    CHECK(0, fcntl(0, F_SETFL, flags));
    CHECK(0, read(0, buf, sizeof buf));
    OK();
}
