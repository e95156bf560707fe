/* guest: when the reader of stdout has gone, a write gives SIGPIPE, or EPIPE when that is ignored
 * area: pipes
 * source: write(2), pipe(7)
 * calls: write, rt_sigaction, poll
 * stdout: any
 * on: close -> close-stdout
 * broken-by: poll:retval=0
 */
#include "check.h"

static volatile sig_atomic_t signals;
static void count(int sig) { signals += sig == SIGPIPE; }

int main(void) {
    check_out = stderr;
    static char block[4096];
    QUIET(4096, write(1, block, sizeof block));
    on_signal(SIGPIPE, count, 0);
    READY("close");
    /* The reader may read on for a while: how much it takes is not what is checked. */
    long end = now_ms() + 10000, n;
    while ((n = write(1, block, sizeof block)) > 0 && now_ms() < end)
        ;
    HOLDS(n == -1 && errno == EPIPE);
    CHECK(1, signals);
    signal(SIGPIPE, SIG_IGN);
    ERR(EPIPE, write(1, block, 1));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        n = write(1, block, 1);
        _exit(0);
    }
    int status = status_of(pid);
    CHECK(SIGPIPE, WTERMSIG(status));
    CHECK(1, waits_for(1, POLLOUT, 0));
    OK();
}
