/* guest: opening a FIFO that has no other end waits, and a signal interrupts that
 * area: eintr
 * source: fifo(7), open(2) EINTR
 * calls: openat, mknodat, setitimer
 * broken-by: openat:error=ENXIO:when=3+
 */
#include "check.h"

static volatile sig_atomic_t count;
static void tick(int sig) { count += sig == SIGALRM; }

int main(void) {
    MUST(mkfifo("p", 0600));
    on_signal(SIGALRM, tick, 0);
    ticks(10);
    ERR(EINTR, open("p", O_RDONLY));
    ERR(EINTR, open("p", O_WRONLY));
    HOLDS(count >= 2);
    ticks(0);
    int fd = open("p", O_RDWR);
    HOLDS(fd > 2);
    OK();
}
