/* A thread puts the file ARG behind fd 0 and back, as fast as it can, while maps of fd 0 are made:
 * what fills them must not be written into ARG. Prints how many maps were made. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int home, victim;
static volatile int over;

static void *exchange(void *unused) {
    (void)unused;
    while (!over) {
        dup2(victim, 0);
        dup2(home, 0);
    }
    return NULL;
}

int main(int argc, char **argv) {
    home = dup(0);
    victim = open(argv[argc - 1], O_PATH);
    if (victim < 0 || home < 0) return 3;
    pthread_t thread;
    if (pthread_create(&thread, NULL, exchange, NULL)) return 4;
    int made = 0;
    time_t end = time(NULL) + 3;
    for (int i = 0; i < 2000 && time(NULL) < end; i++) {
        void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0);
        if (at == MAP_FAILED) continue;
        made++;
        munmap(at, 4096);
    }
    over = 1;
    pthread_join(thread, NULL);
    dup2(home, 0);
    printf("%d\n", made);
    return 0;
}
