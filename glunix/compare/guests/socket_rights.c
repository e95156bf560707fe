/* guest: descriptors travel over a Unix socket, as open files, and are cut off when there is no room
 * area: sockets
 * source: unix(7) SCM_RIGHTS, cmsg(3)
 * calls: sendmsg, recvmsg, socketpair
 * broken-by: recvmsg:retval=1
 */
#include "check.h"
#include <sys/socket.h>

static long pass(int s, const int *fds, int n) {
    char control[CMSG_SPACE(4 * sizeof(int))] = "", byte = 'F';
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    m.msg_controllen = CMSG_SPACE(n * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    return sendmsg(s, &m, 0);
}

/* The number of descriptors that came; -1 when some were cut off. */
static int take(int s, int *fds, size_t room) {
    char control[256] = "", byte = 0;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    m.msg_controllen = room;
    QUIET(1, recvmsg(s, &m, MSG_CMSG_CLOEXEC));
    QUIET('F', byte);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int n = c ? (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
    if (n)
        memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return m.msg_flags & MSG_CTRUNC ? -1 : n;
}

int main(void) {
    char buf[8];
    int s[2], p[2], fds[4];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    MUST(pipe(p));
    int file = MUST(open("f", O_RDWR | O_CREAT, 0600));
    QUIET(6, write(file, "abcdef", 6));
    MUST(lseek(file, 2, SEEK_SET));
    CHECK(1, pass(s[0], (int[]){file, p[1]}, 2));
    close(p[1]);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(2, take(s[1], fds, 256));
        CHECK(2, read(fds[0], buf, 2));
        TEXT("cd", buf, 2);
        CHECK(FD_CLOEXEC, fcntl(fds[0], F_GETFD));
        QUIET(4, write(fds[1], "pipe", 4));
        _exit(0);
    }
    JOIN(pid);
    CHECK(4, lseek(file, 0, SEEK_CUR));
    CHECK(4, read(p[0], buf, sizeof buf));
    CHECK(1, pass(s[0], (int[]){s[0], s[1], file}, 3));
    CHECK(-1, take(s[1], fds, CMSG_SPACE(sizeof(int))));
    CHECK(1, pass(s[0], (int[]){file}, 1));
    CHECK(-1, take(s[1], fds, 0));
    ERR(EBADF, pass(s[0], (int[]){999}, 1));
    OK();
}
