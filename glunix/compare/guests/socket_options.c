/* guest: socket options and timeouts: what is set is read back, a receive times out
 * area: sockets
 * source: socket(7)
 * calls: setsockopt, getsockopt, recvfrom
 * broken-by: recvfrom:retval=0
 */
#include "check.h"
#include <sys/socket.h>

static int option(int s, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(s, SOL_SOCKET, name, &value, &length));
    return value;
}

int main(void) {
    char byte;
    int s[2], size = 10000;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    struct timeval brief = {0, 30000}, got;
    socklen_t length = sizeof got;
    CHECK(0, setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief));
    CHECK(0, getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &got, &length));
    HOLDS(got.tv_sec == 0 && got.tv_usec >= 30000 && got.tv_usec < 40000);
    long start = now_ms();
    ERR(EAGAIN, recv(s[0], &byte, 1, 0));
    HOLDS(now_ms() - start >= 30);
    CHECK(SOCK_STREAM, option(s[0], SO_TYPE));
    CHECK(AF_UNIX, option(s[0], SO_DOMAIN));
    CHECK(0, option(s[0], SO_ACCEPTCONN));
    CHECK(0, setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    CHECK(2 * size, option(s[0], SO_SNDBUF));
    ERR(ENOPROTOOPT, setsockopt(s[0], SOL_SOCKET, 9999, &size, sizeof size));
    ERR(EINVAL, setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &size, 1));
    ERR(EFAULT, getsockopt(s[0], SOL_SOCKET, SO_TYPE, (void *)-4096L, &length));
    static char block[4096];
    long sent = 0;
    for (long n; (n = send(s[0], block, sizeof block, MSG_DONTWAIT)) > 0;)
        sent += n;
    HOLDS(errno == EAGAIN && sent >= 4096 && sent < 1 << 20);
    CHECK(0, waits_for(s[0], POLLOUT, 0));
    OK();
}
