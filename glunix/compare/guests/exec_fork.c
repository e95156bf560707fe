/* guest: fork copies memory and shares open files; the child's pid, locks, timers, signals are new
 * area: exec
 * source: fork(2)
 * calls: clone|clone3|fork, wait4, fcntl, rt_sigpending
 * also: static
 * broken-by: rt_sigpending:retval=0:when=1
 */
#include "check.h"
#include <sys/mman.h>

int main(void) {
    static char buf[100000];
    sigset_t set;
    int *shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    int local = 1, fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    struct flock l = {.l_type = F_WRLCK};
    MUST(fcntl(fd, F_SETLK, &l));
    memset(buf, 'p', sizeof buf);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    MUST(raise(SIGUSR1));
    pid_t me = getpid(), pid = MUST(fork());
    if (pid == 0) {
        HOLDS(getpid() != me && getppid() == me);
        sigfillset(&set);
        MUST(sigpending(&set));
        HOLDS(!sigismember(&set, SIGUSR1));
        MUST(sigprocmask(SIG_BLOCK, NULL, &set));
        HOLDS(sigismember(&set, SIGUSR1));
        ERR(EAGAIN, fcntl(fd, F_SETLK, &l));
        HOLDS(alarm(0) == 0);
        local = 2;
        memset(buf, 'c', sizeof buf);
        *shared = 99;
        QUIET(3, write(fd, "abc", 3));
        exit(0);
    }
    JOIN(pid);
    HOLDS(local == 1 && *shared == 99);
    for (size_t i = 0; i < sizeof buf; i++)
        QUIET('p', buf[i]);
    CHECK(3, lseek(fd, 0, SEEK_CUR));
    pid = MUST(fork());
    if (pid == 0) { /* a grandchild's grandchild still works */
        for (int depth = 0; depth < 5; depth++) {
            pid = MUST(fork());
            if (pid != 0)
                _exit(status_of(pid) ? 1 : 0);
        }
        *shared = 5;
        _exit(0);
    }
    JOIN(pid);
    CHECK(5, *shared);
    OK();
}
