/* guest: with SA_RESTART a read of stdin goes on after the handler, until there is data
 * area: eintr
 * source: sigaction(2) SA_RESTART, signal(7)
 * calls: read, rt_sigaction, setitimer
 * stdin: open-pipe
 * on: data -> type "xyz"
 * on: end -> eof
 * broken-by: read:error=EINTR:when=2
 */
#include "check.h"

static volatile sig_atomic_t count;
static const char *volatile word = "ready data\n";
static void tick(int sig) {
    count += sig == SIGALRM;
    if (count == 3 && write(1, word, strlen(word)) < 0) /* the read has been restarted twice */
        _exit(1);
}

int main(void) {
    char buf[16];
    on_signal(SIGALRM, tick, SA_RESTART);
    ticks(10);
    CHECK(3, read(0, buf, sizeof buf));
    TEXT("xyz", buf, 3);
    HOLDS(count >= 3);
    ticks(0);
    word = "ready end\n";
    count = 0;
    ticks(10);
    CHECK(0, read(0, buf, sizeof buf));
    HOLDS(count >= 3);
    OK();
}
