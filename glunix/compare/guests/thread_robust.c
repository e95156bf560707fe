/* guest: a robust mutex shared with a process that dies tells the next owner
 * area: threads
 * source: pthread_mutexattr_setrobust(3)
 * calls: set_robust_list, mmap, wait4
 * broken-by: wait4:error=ECHILD
 */
#include "check.h"
#include <sys/mman.h>

int main(void) {
    struct shared {
        pthread_mutex_t lock;
        int value;
    } *s = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    QUIET(0, pthread_mutex_init(&s->lock, &attributes));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        QUIET(0, pthread_mutex_lock(&s->lock));
        s->value = 42;
        kill(getpid(), SIGKILL);
    }
    CHECK(SIGKILL, status_of(pid));
    CHECK(EOWNERDEAD, pthread_mutex_lock(&s->lock));
    CHECK(42, s->value);
    CHECK(0, pthread_mutex_consistent(&s->lock));
    CHECK(0, pthread_mutex_unlock(&s->lock));
    CHECK(0, pthread_mutex_lock(&s->lock));
    int tried[2];
    MUST(pipe(tried));
    pid = MUST(fork());
    if (pid == 0) {
        QUIET(EBUSY, pthread_mutex_trylock(&s->lock));
        give_byte(tried[1]);
        QUIET(0, pthread_mutex_lock(&s->lock)); /* waits for the parent */
        s->value = 43;
        pthread_mutex_unlock(&s->lock);
        _exit(0);
    }
    take_byte(tried[0]);
    QUIET(42, s->value);
    CHECK(0, pthread_mutex_unlock(&s->lock));
    JOIN(pid);
    CHECK(43, s->value);
    OK();
}
