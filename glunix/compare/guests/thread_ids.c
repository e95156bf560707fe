/* guest: threads share the pid and have their own tid; /proc lists them
 * area: threads
 * source: gettid(2), proc(5) /proc/pid/task
 * calls: gettid, getpid, getdents64, tgkill
 * broken-by: gettid:retval=77
 */
#include "check.h"
#include <dirent.h>

static pid_t tid, pid, parent;
static pthread_barrier_t barrier;
static void *thread(void *unused) {
    tid = gettid();
    pid = getpid();
    parent = getppid();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

static int tasks(void) {
    int count = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

int main(void) {
    pthread_t t;
    HOLDS(gettid() == getpid());
    CHECK(1, tasks());
    pthread_barrier_init(&barrier, NULL, 2);
    QUIET(0, pthread_create(&t, NULL, thread, NULL));
    pthread_barrier_wait(&barrier);
    HOLDS(pid == getpid() && parent == getppid() && tid != pid);
    CHECK(2, tasks());
    CHECK(0, syscall(SYS_tgkill, getpid(), tid, 0));
    ERR(ESRCH, syscall(SYS_tgkill, tid, tid, 0));
    pthread_barrier_wait(&barrier);
    QUIET(0, pthread_join(t, NULL));
    pid_t child = MUST(fork());
    if (child == 0) {
        HOLDS(gettid() == getpid());
        CHECK(1, tasks());
        _exit(0);
    }
    JOIN(child);
    OK();
}
