/* guest: a write that is interrupted after some bytes says how many; before any, EINTR
 * area: eintr
 * source: write(2), signal(7)
 * calls: write, setitimer, read, pipe2|pipe
 * broken-by: write:retval=200000:when=1
 */
#include "check.h"

static volatile sig_atomic_t count;
static void tick(int sig) { count += sig == SIGALRM; }

int main(void) {
    static char buf[200000];
    int p[2];
    MUST(pipe(p));
    on_signal(SIGALRM, tick, 0);
    ticks(20);
    CHECK(65536, write(p[1], buf, sizeof buf));
    ERR(EINTR, write(p[1], buf, 1));
    ERR(EINTR, write(p[1], buf, sizeof buf));
    ticks(0);
    CHECK(65536, read(p[0], buf, sizeof buf));
    OK();
}
