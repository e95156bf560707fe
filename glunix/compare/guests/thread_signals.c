/* guest: a process's signal goes to a thread that does not block it, a thread's to that thread
 * area: threads
 * source: signal(7) Process-directed and thread-directed, pthread_kill(3)
 * calls: kill, tgkill, rt_sigprocmask, rt_sigsuspend
 * broken-by: tgkill:error=ESRCH
 */
#include "check.h"

static pthread_t worker;
static volatile pid_t handled_by, worker_tid;
static volatile sig_atomic_t count;
static int done[2];

static void take(int sig) {
    handled_by = gettid();
    count += sig == SIGUSR1;
}
static void *work(void *unused) {
    sigset_t all, open_to;
    sigfillset(&all);
    open_to = all;
    sigdelset(&open_to, SIGUSR1);
    worker_tid = gettid();
    give_byte(done[1]);
    for (int i = 0; i < 2; i++) {
        sigsuspend(&open_to);
        give_byte(done[1]);
    }
    return unused;
}

int main(void) {
    sigset_t all, pending;
    sigfillset(&all);
    MUST(pipe(done));
    on_signal(SIGUSR1, take, 0);
    QUIET(0, pthread_sigmask(SIG_BLOCK, &all, NULL));
    QUIET(0, pthread_create(&worker, NULL, work, NULL));
    take_byte(done[0]);
    CHECK(0, kill(getpid(), SIGUSR1));
    take_byte(done[0]);
    HOLDS(handled_by == worker_tid && count == 1);
    CHECK(0, pthread_kill(worker, SIGUSR1));
    take_byte(done[0]);
    HOLDS(handled_by == worker_tid && count == 2);
    QUIET(0, pthread_join(worker, NULL));
    CHECK(0, pthread_kill(pthread_self(), SIGUSR2));
    MUST(sigpending(&pending));
    HOLDS(sigismember(&pending, SIGUSR2) && !sigismember(&pending, SIGUSR1));
    OK();
}
