/* guest: RLIMIT_CPU sends SIGXCPU each second beyond the soft limit, SIGKILL at the hard one
 * area: timers
 * source: getrlimit(2) RLIMIT_CPU
 * calls: prlimit64, rt_sigaction
 * broken-by: prlimit64:error=EPERM
 */
#include "check.h"
#include <sys/resource.h>

static volatile sig_atomic_t hits;
static void count(int sig) { hits += sig == SIGXCPU; }

int main(void) {
    struct rlimit limit = {0, RLIM_INFINITY}, back;
    MUST(getrlimit(RLIMIT_CPU, &back));
    limit.rlim_max = back.rlim_max;
    on_signal(SIGXCPU, count, 0);
    CHECK(0, setrlimit(RLIMIT_CPU, &limit)); /* 0 means the first tick */
    long end = now_ms() + 5000;
    while (hits == 0 && now_ms() < end)
        ;
    HOLDS(hits >= 1);
    limit.rlim_cur = limit.rlim_max;
    CHECK(0, setrlimit(RLIMIT_CPU, &limit));
    limit.rlim_cur = 5, limit.rlim_max = 4;
    ERR(EINVAL, setrlimit(RLIMIT_CPU, &limit));
    OK();
}
