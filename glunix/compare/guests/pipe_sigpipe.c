/* guest: writing to a pipe without a reader: SIGPIPE kills, is handled, or is ignored for EPIPE
 * area: pipes
 * source: pipe(7), write(2)
 * calls: write, pipe2|pipe, wait4
 * broken-by: write:retval=1:when=1
 */
#include "check.h"

static volatile sig_atomic_t signals;
static void count(int sig) { signals += sig == SIGPIPE; }

int main(void) {
    int p[2];
    MUST(pipe(p));
    MUST(close(p[0]));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        long n = write(p[1], "x", 1);
        _exit(n > 0);
    }
    int status = status_of(pid);
    HOLDS(WIFSIGNALED(status) && !WIFEXITED(status));
    CHECK(SIGPIPE, WTERMSIG(status));
    on_signal(SIGPIPE, count, SA_RESTART);
    ERR(EPIPE, write(p[1], "x", 1));
    CHECK(1, signals);
    signal(SIGPIPE, SIG_IGN);
    ERR(EPIPE, write(p[1], "x", 1));
    CHECK(0, write(p[1], "", 0));
    OK();
}
