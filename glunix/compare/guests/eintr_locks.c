/* guest: waiting for a file lock or a futex ends with EINTR
 * area: eintr
 * source: fcntl(2) F_SETLKW, flock(2), futex(2), signal(7)
 * calls: fcntl, flock, futex, setitimer
 * broken-by: flock:retval=0
 */
#include "check.h"
#include <linux/futex.h>
#include <sys/file.h>

static volatile sig_atomic_t count;
static void tick(int sig) { count += sig == SIGALRM; }

int main(void) {
    int ready[2], word = 0;
    MUST(pipe(ready));
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    struct flock whole = {.l_type = F_WRLCK};
    pid_t parent = getpid(), child = MUST(fork());
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int own = MUST(open("f", O_RDWR));
        MUST(fcntl(own, F_SETLK, &whole));
        MUST(flock(own, LOCK_EX));
        give_byte(ready[1]);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    take_byte(ready[0]);
    on_signal(SIGALRM, tick, 0);
    ticks(10);
    ERR(EINTR, fcntl(fd, F_SETLKW, &whole));
    ERR(EINTR, flock(fd, LOCK_SH));
    ERR(EINTR, syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0));
    HOLDS(count >= 3);
    ticks(0);
    MUST(kill(child, SIGKILL));
    CHECK(0, fcntl(fd, F_SETLKW, &whole));
    CHECK(0, flock(fd, LOCK_EX));
    CHECK(SIGKILL, status_of(child));
    OK();
}
