/* guest: a reader that does not read stops the writer: stdout is not writable, then all arrives
 * area: pipes
 * source: pipe(7) O_NONBLOCK, poll(2)
 * calls: write, fcntl, poll
 * stdout: any
 * on: read -> read-stdout
 * broken-by: poll:retval=1
 */
#include "check.h"

int main(void) {
    check_out = stderr;
    static char line[100];
    memset(line, '.', sizeof line);
    line[99] = '\n';
    MUST(fcntl(1, F_SETFL, O_NONBLOCK));
    long sent = 0, n;
    while ((n = write(1, line, sizeof line)) == sizeof line && sent < 64 << 20)
        sent += n;
    HOLDS(n == -1 && errno == EAGAIN);
    HOLDS(sent < 64 << 20);
    CHECK(0, waits_for(1, POLLOUT, 0));
    READY("read");
    CHECK(1, waits_for(1, POLLOUT, 10000));
    CHECK(0, fcntl(1, F_SETFL, 0));
    QUIET(100, write(1, line, sizeof line));
    OK();
}
