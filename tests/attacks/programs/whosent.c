/* Sends fd 0 into a socket by sendfile(2) and shows which uid the receiver sees (SO_PASSCRED). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

int main(void) {
    int pair[2], one = 1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 3;
    if (setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one)) return 4;
    ssize_t sent = sendfile(pair[0], 0, NULL, 4);
    if (sent < 0 && errno == EINVAL) {
        puts("refused");
        return 0;
    }
    if (sent != 4) return 5;
    char data[16], room[256];
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room, .msg_controllen = sizeof room};
    if (recvmsg(pair[1], &message, 0) != 4) return 6;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_type != SCM_CREDENTIALS) return 7;
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(head), sizeof sender);
    printf("%u %.4s\n", sender.uid, data);
    return 0;
}
