/* guest: a background group may write, unless TOSTOP; changing the modes gives SIGTTOU always
 * area: tty
 * source: termios(3) TOSTOP, tcsetattr(3), signal(7) SIGTTOU
 * calls: write, ioctl, setpgid, wait4, kill
 * needs: tty
 * broken-by: wait4:retval=0:when=2
 */
#include "check.h"
#include <termios.h>

static struct termios modes;

/* The signal that stops a background child that does what, 0 when it ends well. */
static int background(int what, int ignored) {
    int status = -1;
    pid_t pid = MUST(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        MUST(setpgid(0, 0));
        signal(SIGTTOU, ignored ? SIG_IGN : SIG_DFL);
        long result = what == 'w'   ? write(1, "background\r\n", 12) - 12
                      : what == 'a' ? tcsetattr(0, TCSANOW, &modes)
                      : what == 'g' ? tcsetpgrp(0, tcgetpgrp(0))
                                    : tcgetattr(0, &modes);
        _exit(result != 0);
    }
    QUIET(pid, waitpid(pid, &status, WUNTRACED));
    if (!WIFSTOPPED(status)) {
        QUIET(0, status);
        return 0;
    }
    MUST(kill(pid, SIGKILL));
    QUIET(SIGKILL, status_of(pid));
    return WSTOPSIG(status);
}

int main(void) {
    MUST(tcgetattr(0, &modes));
    CHECK(0, background('w', 0));
    CHECK(0, background('r', 0));
    CHECK(SIGTTOU, background('a', 0));
    CHECK(0, background('a', 1));
    CHECK(SIGTTOU, background('g', 0));
    CHECK(0, background('g', 1));
    modes.c_lflag |= TOSTOP;
    CHECK(0, tcsetattr(0, TCSADRAIN, &modes));
    CHECK(SIGTTOU, background('w', 0));
    CHECK(0, background('w', 1));
    CHECK(0, background('r', 0));
    modes.c_lflag &= ~TOSTOP;
    CHECK(0, tcsetattr(0, TCSADRAIN, &modes));
    OK();
}
