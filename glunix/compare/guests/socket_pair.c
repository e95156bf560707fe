/* guest: a socket pair carries both ways; peeking, waiting for all, half closing, EPIPE
 * area: sockets
 * source: socketpair(2), recv(2), shutdown(2)
 * calls: socketpair, sendto, recvfrom, shutdown, sendmsg, recvmsg
 * broken-by: shutdown:error=ENOTCONN
 */
#include "check.h"
#include <sys/socket.h>

int main(void) {
    char a[8], b[8];
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    CHECK(6, send(s[0], "abcdef", 6, 0));
    CHECK(3, recv(s[1], a, 3, MSG_PEEK));
    CHECK(2, recv(s[1], a, 2, 0));
    TEXT("ab", a, 2);
    CHECK(4, recv(s[1], a, sizeof a, 0));
    TEXT("cdef", a, 4);
    ERR(EAGAIN, recv(s[1], a, 1, MSG_DONTWAIT));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        for (const char *p = "12345"; *p; p++)
            QUIET(1, send(s[0], p, 1, 0));
        _exit(0);
    }
    JOIN(pid); /* Linux 6.18 returns early now and then when the sender is still sending */
    CHECK(5, recv(s[1], a, 5, MSG_WAITALL));
    TEXT("12345", a, 5);
    struct iovec out[2] = {{"xy", 2}, {"z", 1}}, in[2] = {{a, 1}, {b, 8}};
    struct msghdr m = {.msg_iov = out, .msg_iovlen = 2}, r = {.msg_iov = in, .msg_iovlen = 2};
    CHECK(3, sendmsg(s[1], &m, 0));
    CHECK(3, recvmsg(s[0], &r, 0));
    HOLDS(a[0] == 'x' && b[0] == 'y' && b[1] == 'z');
    CHECK(0, shutdown(s[0], SHUT_WR));
    CHECK(0, recv(s[1], a, 1, 0));
    CHECK(2, send(s[1], "ok", 2, 0));
    CHECK(2, recv(s[0], a, sizeof a, 0));
    ERR(EPIPE, send(s[0], "x", 1, MSG_NOSIGNAL));
    close(s[0]);
    ERR(EPIPE, send(s[1], "x", 1, MSG_NOSIGNAL));
    struct pollfd e = {s[1], POLLIN, 0};
    CHECK(1, poll(&e, 1, 0));
    HOLDS(e.revents == (POLLIN | POLLHUP));
    ERR(EINVAL, shutdown(s[1], 9));
    ERR(ENOTSOCK, send(MUST(open("/dev/null", O_RDWR)), "x", 1, 0));
    OK();
}
