/* guest: a Unix socket tells who is at its other end, and who sent a message
 * area: sockets
 * source: unix(7) SO_PEERCRED, SCM_CREDENTIALS
 * calls: getsockopt, setsockopt, connect, accept4|accept, recvmsg, socketpair
 * broken-by: getsockopt:retval=0
 */
#include "check.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(void) {
    int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), one = 1;
    struct sockaddr_un name = {AF_UNIX, "s"};
    MUST(bind(listener, (void *)&name, sizeof name));
    MUST(listen(listener, 5));
    pid_t me = getpid(), pid = MUST(fork());
    if (pid == 0) {
        int s = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
        MUST(connect(s, (void *)&name, sizeof name));
        struct ucred peer = {0};
        socklen_t length = sizeof peer;
        MUST(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &length));
        QUIET(me, peer.pid);
        take_byte(s); /* by now the other end wants credentials */
        QUIET(2, write(s, "hi", 2));
        _exit(0);
    }
    int s = MUST(accept(listener, NULL, NULL));
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    CHECK(0, getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    HOLDS(peer.pid == pid && peer.uid == getuid() && peer.gid == getgid());
    CHECK(0, setsockopt(s, SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    give_byte(s);
    char control[CMSG_SPACE(sizeof(struct ucred))], text[8];
    struct iovec v = {text, sizeof text};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    m.msg_controllen = sizeof control;
    CHECK(2, recvmsg(s, &m, 0));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    HOLDS(c && c->cmsg_type == SCM_CREDENTIALS);
    memcpy(&peer, CMSG_DATA(c), sizeof peer);
    HOLDS(peer.pid == pid && peer.uid == getuid());
    JOIN(pid);
    int both[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, both));
    CHECK(0, getsockopt(both[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    HOLDS(peer.pid == getpid());
    OK();
}
