/* guest: poll's and ppoll's answers: timeouts, bad descriptors, the mask that holds while waiting
 * area: readiness
 * source: poll(2)
 * calls: poll, ppoll, kill
 * also: static
 * broken-by: ppoll:retval=0
 */
#include "check.h"
#include <sys/resource.h>

static volatile sig_atomic_t count;
static void take(int sig) { count += sig == SIGUSR1; }

int main(void) {
    int p[2];
    volatile int many = 17;
    MUST(pipe(p));
    struct pollfd e[4] = {
        {p[0], POLLIN, 9}, {p[1], POLLOUT | POLLIN, 9}, {777, POLLIN, 9}, {-1, POLLIN, 9}};
    CHECK(2, poll(e, 4, 60000));
    CHECK(0, e[0].revents);
    CHECK(POLLOUT, e[1].revents);
    CHECK(POLLNVAL, e[2].revents);
    CHECK(0, e[3].revents);
    long start = now_ms();
    CHECK(0, poll(e, 1, 30));
    HOLDS(now_ms() - start >= 30);
    CHECK(0, poll(NULL, 0, 0));
    ERR(EFAULT, poll((void *)-4096L, 1, 0));
    struct rlimit limit = {16, 16};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    ERR(EINVAL, poll(e, many, 0));
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    on_signal(SIGUSR1, take, 0);
    MUST(sigprocmask(SIG_BLOCK, &usr1, NULL));
    MUST(kill(getpid(), SIGUSR1));
    CHECK(0, count);
    struct timespec minute = {60, 0}, bad = {0, -1};
    ERR(EINTR, ppoll(e, 1, &minute, &none));
    CHECK(1, count);
    MUST(kill(getpid(), SIGUSR1));
    CHECK(1, ppoll(e + 1, 1, &minute, &usr1));
    CHECK(1, count);
    ERR(EINVAL, ppoll(e, 1, &bad, NULL));
    OK();
}
