/* guest: POSIX record locks: who holds which range, and any close of the file drops them
 * area: files
 * source: fcntl(2) F_SETLK, F_GETLK, F_OFD_SETLK
 * calls: fcntl, clone|clone3|fork, wait4
 * broken-by: fcntl:retval=0
 */
#include "check.h"

static struct flock range(short type, long start, long length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}
static int lock(int fd, int op, short type, long start, long length) {
    struct flock l = range(type, start, length);
    return fcntl(fd, op, &l);
}

int main(void) {
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600)), second = MUST(open("f", O_RDWR));
    CHECK(0, lock(fd, F_SETLK, F_WRLCK, 10, 10));
    CHECK(0, lock(fd, F_SETLK, F_RDLCK, 30, 5));
    CHECK(0, lock(second, F_SETLK, F_WRLCK, 12, 2)); /* the same process: no conflict */
    pid_t parent = getpid(), pid = MUST(fork());
    if (pid == 0) {
        ERR(EAGAIN, lock(fd, F_SETLK, F_RDLCK, 0, 0));
        CHECK(0, lock(fd, F_SETLK, F_RDLCK, 32, 1));
        CHECK(0, lock(fd, F_SETLK, F_WRLCK, 0, 10));
        struct flock l = range(F_WRLCK, 0, 0);
        CHECK(0, fcntl(fd, F_GETLK, &l));
        HOLDS(l.l_pid == parent && l.l_type == F_WRLCK);
        SAY("held: from %ld, length %ld", (long)l.l_start, (long)l.l_len);
        _exit(0);
    }
    JOIN(pid);
    close(second); /* drops every lock of the process on the file */
    pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, lock(fd, F_SETLK, F_WRLCK, 0, 0));
        _exit(0);
    }
    JOIN(pid);
    int open_file = MUST(open("f", O_RDWR));
    CHECK(0, lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1));
    ERR(EAGAIN, lock(open_file, F_OFD_SETLK, F_WRLCK, 0, 1));
    ERR(EAGAIN, lock(open_file, F_SETLK, F_RDLCK, 0, 1));
    struct flock l = range(F_RDLCK, 0, 0);
    CHECK(0, fcntl(open_file, F_GETLK, &l));
    CHECK(-1, l.l_pid);
    OK();
}
