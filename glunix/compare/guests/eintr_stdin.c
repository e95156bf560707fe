/* guest: a signal interrupts a read of stdin without SA_RESTART, and no byte is lost by it
 * area: eintr
 * source: signal(7) Interruption of system calls
 * calls: read, rt_sigaction, setitimer, rt_sigreturn
 * stdin: open-pipe
 * on: data -> type "abcdef"
 * on: end -> eof
 * also: static
 * broken-by: read:error=EAGAIN:when=2
 */
#include "check.h"

static volatile sig_atomic_t count;
static void tick(int sig) { count += sig == SIGALRM; }

int main(void) {
    char buf[16];
    on_signal(SIGALRM, tick, 0);
    ticks(20);
    for (int turn = 0; turn < 3; turn++) {
        int before = count;
        ERR(EINTR, read(0, buf, sizeof buf));
        HOLDS(count > before);
    }
    READY("data");
    long n;
    while ((n = read(0, buf, 4)) == -1 && errno == EINTR)
        ;
    CHECK(4, n);
    while ((n = read(0, buf + 4, 4)) == -1 && errno == EINTR)
        ;
    CHECK(2, n);
    TEXT("abcdef", buf, 6);
    ERR(EINTR, read(0, buf, sizeof buf));
    READY("end");
    while ((n = read(0, buf, 4)) == -1 && errno == EINTR)
        ;
    CHECK(0, n);
    OK();
}
