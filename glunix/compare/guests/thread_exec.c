/* guest: exec from a thread that is not the first: the pid stays, every other thread ends
 * area: threads
 * source: execve(2), clone(2) CLONE_THREAD
 * calls: execve, clone|clone3, gettid
 * also: static
 * broken-by: gettid:retval=5
 */
#include "check.h"
#include <dirent.h>

static char pid_text[16];

static void *idle(void *unused) {
    for (;;)
        pause();
    return unused;
}
static void *exec(void *unused) {
    execl("/proc/self/exe", "guest", pid_text, NULL);
    check_failed(__LINE__, "execl: expected no return, got %s", strerrorname_np(errno));
    return unused;
}

int main(int argc, char **argv) {
    if (argc > 1) {
        HOLDS(getpid() == atoi(argv[1]) && gettid() == getpid());
        int count = 0;
        DIR *d = opendir("/proc/self/task");
        for (struct dirent *e; (e = readdir(d));)
            count += e->d_name[0] != '.';
        CHECK(1, count);
        OK();
    }
    pthread_t t;
    snprintf(pid_text, sizeof pid_text, "%d", getpid());
    for (int i = 0; i < 3; i++)
        QUIET(0, pthread_create(&t, NULL, idle, NULL));
    SAY("threads run");
    QUIET(0, pthread_create(&t, NULL, exec, NULL));
    idle(NULL);
    return 1;
}
