/* A byte there and back over TCP on 127.0.0.1: what a question to another node costs at least.
 *
 * Prints the median of COUNT round trips in nanoseconds; usage: pingpong COUNT.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int up(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void at_once(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 0, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof where;
    double *samples = calloc(count > 0 ? count : 1, sizeof *samples);
    char byte = 'x';
    if (count <= 0 || !samples || bind(listener, (struct sockaddr *)&where, size) ||
        listen(listener, 1) || getsockname(listener, (struct sockaddr *)&where, &size))
        return perror("pingpong"), 1;
    if (fork() == 0) {
        int there = accept(listener, NULL, NULL);
        at_once(there);
        while (read(there, &byte, 1) == 1 && write(there, &byte, 1) == 1)
            ;
        _exit(0);
    }
    int here = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(here, (struct sockaddr *)&where, size))
        return perror("connect"), 1;
    at_once(here);
    for (int i = 0; i < count; i++) {
        double start = now();
        if (write(here, &byte, 1) != 1 || read(here, &byte, 1) != 1)
            return perror("the other end"), 1;
        samples[i] = now() - start;
    }
    close(here);
    wait(NULL);
    qsort(samples, count, sizeof *samples, up);
    printf("%.0f\n", samples[count / 2]);
    return 0;
}
