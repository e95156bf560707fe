/* guest: mutexes, condition variables, barriers and semaphores keep threads in order
 * area: threads
 * source: pthreads(7)
 * calls: clone|clone3, futex, exit|munmap
 * broken-by: clone3:error=EAGAIN
 */
#include "check.h"
#include <semaphore.h>

enum { THREADS = 4, TURNS = 5000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t slots;
static int counter, next, inside, most;
static char order[THREADS + 1];

static void *work(void *index) {
    int me = (int)(long)index;
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
    }
    pthread_barrier_wait(&barrier);
    sem_wait(&slots);
    int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    if (now > 2)
        __atomic_store_n(&most, now, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    sem_post(&slots);
    pthread_mutex_lock(&lock);
    while (next != me)
        pthread_cond_wait(&turn, &lock);
    order[next++] = 'a' + me;
    pthread_cond_broadcast(&turn);
    pthread_mutex_unlock(&lock);
    return (void *)(long)(me * me);
}

int main(void) {
    pthread_t t[THREADS];
    MUST(sem_init(&slots, 0, 2));
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        QUIET(0, pthread_create(&t[i], NULL, work, (void *)i));
    for (long i = 0; i < THREADS; i++) {
        void *result;
        QUIET(0, pthread_join(t[i], &result));
        CHECK(i * i, result);
    }
    CHECK(THREADS * TURNS, counter);
    TEXT("abcd", order, strlen(order));
    CHECK(0, most);
    OK();
}
