/* guest: Unix sockets by path and by abstract name; datagram boundaries; errors
 * area: sockets
 * source: unix(7), bind(2), connect(2)
 * calls: bind, connect, listen, getsockname, sendto, recvfrom, accept4
 * broken-by: bind:retval=0
 */
#include "check.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(void) {
    char buf[16];
    struct sockaddr_un path = {AF_UNIX, "sock"}, from;
    int d = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), e = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    CHECK(0, bind(d, (void *)&path, sizeof path));
    int again = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    ERR(EADDRINUSE, bind(again, (void *)&path, sizeof path));
    CHECK(3, sendto(e, "one", 3, 0, (void *)&path, sizeof path));
    CHECK(5, sendto(e, "three", 5, 0, (void *)&path, sizeof path));
    CHECK(0, sendto(e, "", 0, 0, (void *)&path, sizeof path));
    socklen_t length = sizeof from;
    CHECK(3, recvfrom(d, buf, sizeof buf, 0, (void *)&from, &length));
    CHECK(0, length); /* the sender has no name */
    CHECK(5, recv(d, buf, 2, MSG_TRUNC));
    CHECK(0, recv(d, buf, sizeof buf, 0));
    int s = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    ERR(EPROTOTYPE, connect(s, (void *)&path, sizeof path));
    MUST(unlink("sock"));
    ERR(ENOENT, connect(s, (void *)&path, sizeof path));
    close(MUST(open("sock", O_CREAT | O_WRONLY, 0600)));
    ERR(ECONNREFUSED, connect(s, (void *)&path, sizeof path));
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    CHECK(0, bind(s, (void *)&name, sizeof(sa_family_t))); /* the kernel chooses */
    length = sizeof name;
    CHECK(0, getsockname(s, (void *)&name, &length));
    HOLDS(name.sun_path[0] == 0 && length == sizeof(sa_family_t) + 6);
    CHECK(0, listen(s, 1));
    ERR(EAGAIN, accept4(s, NULL, NULL, 0));
    int c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK(0, connect(c, (void *)&name, length));
    int a = MUST(accept4(s, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    CHECK(FD_CLOEXEC, fcntl(a, F_GETFD));
    ERR(EAGAIN, read(a, buf, 1));
    ERR(EISCONN, connect(c, (void *)&name, length));
    int q[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, q));
    QUIET(2, write(q[0], "ab", 2));
    QUIET(2, write(q[0], "cd", 2));
    CHECK(2, read(q[1], buf, sizeof buf));
    OK();
}
