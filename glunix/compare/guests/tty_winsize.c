/* guest: the window size is the user's, a change is told by SIGWINCH; setting it works
 * area: tty
 * source: ioctl_tty(2) TIOCGWINSZ, signal(7) SIGWINCH
 * calls: ioctl, rt_sigsuspend
 * needs: tty
 * on: resize -> resize 50x132
 * on: same -> resize 50x133
 * broken-by: ioctl:error=EIO:when=3
 */
#include "check.h"

static volatile sig_atomic_t count;
static void resized(int sig) { count += sig == SIGWINCH; }

static void tell(int rows, int columns) {
    struct winsize w;
    MUST(ioctl(0, TIOCGWINSZ, &w));
    SAY("%d rows, %d columns", w.ws_row, w.ws_col);
    QUIET(rows, w.ws_row);
    QUIET(columns, w.ws_col);
}

static void wait_for_it(const char *word) {
    sigset_t none;
    sigemptyset(&none);
    count = 0;
    READY(word);
    while (!count)
        sigsuspend(&none);
}

int main(void) {
    sigset_t winch;
    sigemptyset(&winch);
    sigaddset(&winch, SIGWINCH);
    MUST(sigprocmask(SIG_BLOCK, &winch, NULL));
    on_signal(SIGWINCH, resized, 0);
    tell(24, 80);
    wait_for_it("resize");
    tell(50, 132);
    wait_for_it("same");
    tell(50, 133);
    struct winsize own = {30, 90, 0, 0};
    CHECK(0, ioctl(1, TIOCSWINSZ, &own));
    tell(30, 90);
    sigset_t pending;
    MUST(sigpending(&pending));
    CHECK(1, sigismember(&pending, SIGWINCH));
    MUST(ioctl(1, TIOCSWINSZ, &own));
    OK();
}
