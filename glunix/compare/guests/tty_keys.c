/* guest: ^C and ^\ signal the foreground group, NOFLSH keeps what was typed; with ISIG off they are bytes
 * area: tty
 * source: termios(3) ISIG, NOFLSH
 * calls: read, ioctl, rt_sigsuspend, rt_sigaction, wait4
 * needs: tty
 * on: int -> type "kept \003"
 * on: quit -> type "\034"
 * on: line -> type "line\n"
 * on: bytes -> type "a\003b\034\n"
 * on: child -> type "\003"
 * broken-by: read:error=EIO:when=2
 */
#include "check.h"
#include <termios.h>

static volatile sig_atomic_t last;
static void take(int sig) { last = sig; }

int main(void) {
    char buf[64];
    struct termios t;
    MUST(tcgetattr(0, &t));
    t.c_lflag |= NOFLSH; /* or what is printed right after the signal may be flushed with it */
    MUST(tcsetattr(0, TCSANOW, &t));
    sigset_t keys, none;
    sigemptyset(&none);
    sigemptyset(&keys);
    sigaddset(&keys, SIGINT);
    sigaddset(&keys, SIGQUIT);
    MUST(sigprocmask(SIG_BLOCK, &keys, NULL));
    on_signal(SIGINT, take, 0);
    on_signal(SIGQUIT, take, 0);
    READY("int");
    ERR(EINTR, sigsuspend(&none));
    CHECK(SIGINT, last);
    READY("quit");
    ERR(EINTR, sigsuspend(&none));
    CHECK(SIGQUIT, last);
    MUST(sigprocmask(SIG_UNBLOCK, &keys, NULL));
    READY("line");
    CHECK(10, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "kept line\n", 10) == 0);
    t.c_lflag &= ~(ISIG | ECHO);
    MUST(tcsetattr(0, TCSAFLUSH, &t));
    READY("bytes");
    CHECK(5, read(0, buf, sizeof buf));
    HOLDS(memcmp(buf, "a\003b\034\n", 5) == 0);
    t.c_lflag |= ISIG;
    MUST(tcsetattr(0, TCSAFLUSH, &t));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        READY("child");
        pause();
        _exit(0);
    }
    CHECK(SIGINT, status_of(pid));
    t.c_lflag = (t.c_lflag | ECHO) & ~NOFLSH;
    MUST(tcsetattr(0, TCSAFLUSH, &t));
    OK();
}
