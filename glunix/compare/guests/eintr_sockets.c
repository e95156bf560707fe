/* guest: socket calls: restarted with SA_RESTART, but always EINTR when a timeout is set
 * area: eintr
 * source: signal(7), socket(7) SO_RCVTIMEO
 * calls: recvfrom, accept|accept4, setsockopt, sendto|write
 * broken-by: recvfrom:error=EAGAIN
 */
#include "check.h"
#include <sys/socket.h>
#include <sys/un.h>

static volatile sig_atomic_t count;
static int pair[2];
static void tick(int sig) { count += sig == SIGALRM; }
static void send_later(int sig) {
    (void)sig;
    if (++count == 3 && write(pair[1], "late", 4) != 4)
        _exit(1);
}

int main(void) {
    char buf[8];
    struct timeval minute = {60, 0};
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    on_signal(SIGALRM, tick, 0);
    ticks(10);
    ERR(EINTR, recv(pair[0], buf, sizeof buf, 0));
    on_signal(SIGALRM, send_later, SA_RESTART);
    count = 0;
    CHECK(4, recv(pair[0], buf, sizeof buf, 0));
    HOLDS(count >= 3);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute));
    ERR(EINTR, recv(pair[0], buf, sizeof buf, 0));
    struct sockaddr_un name = {AF_UNIX, "s"};
    int s = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(s, (void *)&name, sizeof name));
    MUST(listen(s, 1));
    on_signal(SIGALRM, tick, 0);
    ERR(EINTR, accept(s, NULL, NULL));
    OK();
}
