/* guest: a signal interrupts a read of the terminal, or not with SA_RESTART; no key is lost
 * area: eintr
 * source: signal(7), termios(3)
 * calls: read, setitimer, rt_sigaction, ioctl
 * needs: tty
 * on: half -> type "ab"
 * on: rest -> type "cd\n"
 * on: restart -> type "again\n"
 * broken-by: read:error=EAGAIN:when=2
 */
#include "check.h"
#include <termios.h>

static volatile sig_atomic_t count;
static void tick(int sig) { count += sig == SIGALRM; }
static void announce(int sig) {
    static const char word[] = "ready restart\n";
    count += sig == SIGALRM;
    if (count == 3 && write(1, word, sizeof word - 1) < 0)
        _exit(1);
}

int main(void) {
    char buf[32];
    struct termios saved, quiet;
    MUST(tcgetattr(0, &saved));
    quiet = saved;
    quiet.c_lflag &= ~ECHO; /* the echo could come between any two lines */
    MUST(tcsetattr(0, TCSANOW, &quiet));
    on_signal(SIGALRM, tick, 0);
    ticks(20);
    ERR(EINTR, read(0, buf, sizeof buf));
    READY("half");
    ERR(EINTR, read(0, buf, sizeof buf));
    ERR(EINTR, read(0, buf, sizeof buf));
    READY("rest");
    ssize_t n;
    while ((n = read(0, buf, sizeof buf)) == -1 && errno == EINTR)
        ;
    CHECK(5, n);
    HOLDS(memcmp(buf, "abcd\n", 5) == 0);
    ticks(0);
    count = 0;
    on_signal(SIGALRM, announce, SA_RESTART);
    ticks(10);
    CHECK(6, read(0, buf, sizeof buf));
    HOLDS(count >= 3);
    ticks(0);
    MUST(tcsetattr(0, TCSANOW, &saved));
    OK();
}
