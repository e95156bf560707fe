/* guest: exec keeps descriptors with their offsets and locks, but closes those marked so
 * area: exec
 * source: execve(2), fcntl(2) FD_CLOEXEC, close_range(2)
 * calls: execve, fcntl, close_range, read
 * broken-by: fcntl:retval=0
 */
#include "check.h"

int main(int argc, char **argv) {
    char buf[8];
    (void)argv;
    if (argc > 1) {
        ERR(EBADF, fcntl(20, F_GETFD));
        ERR(EBADF, fcntl(22, F_GETFD));
        ERR(EBADF, fcntl(30, F_GETFD));
        CHECK(0, fcntl(21, F_GETFD));
        CHECK(2, read(21, buf, 2));
        TEXT("cd", buf, 2);
        CHECK(O_APPEND, fcntl(21, F_GETFL) & O_APPEND);
        struct flock l = {.l_type = F_WRLCK};
        pid_t pid = MUST(fork());
        if (pid == 0) { /* the lock is still held by this process */
            CHECK(0, fcntl(23, F_GETLK, &l));
            HOLDS(l.l_type == F_WRLCK && l.l_pid == getppid());
            _exit(0);
        }
        JOIN(pid);
        OK();
    }
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_APPEND, 0600));
    QUIET(6, write(fd, "abcdef", 6));
    MUST(lseek(fd, 2, SEEK_SET));
    MUST(dup3(fd, 20, O_CLOEXEC));
    MUST(dup2(fd, 21));
    MUST(dup2(fd, 22));
    MUST(fcntl(22, F_SETFD, FD_CLOEXEC));
    MUST(dup2(fd, 30));
    MUST(dup2(MUST(open("lock", O_RDWR | O_CREAT, 0600)), 23));
    CHECK(0, close_range(25, 40, 0));
    struct flock l = {.l_type = F_WRLCK};
    CHECK(0, fcntl(23, F_SETLK, &l));
    CHECK(FD_CLOEXEC, fcntl(22, F_GETFD));
    execl("/proc/self/exe", "guest", "again", NULL);
    return 1;
}
