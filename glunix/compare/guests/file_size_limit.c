/* guest: RLIMIT_FSIZE cuts a write short, then gives SIGXFSZ or EFBIG
 * area: files
 * source: getrlimit(2) RLIMIT_FSIZE, write(2)
 * calls: prlimit64, write, ftruncate
 * broken-by: prlimit64:retval=0
 */
#include "check.h"
#include <sys/resource.h>

static volatile sig_atomic_t signals;
static void count(int sig) { signals += sig == SIGXFSZ; }

int main(void) {
    char block[1000] = "";
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    struct rlimit limit = {1500, 1500};
    CHECK(0, setrlimit(RLIMIT_FSIZE, &limit));
    on_signal(SIGXFSZ, count, 0);
    CHECK(1000, write(fd, block, 1000));
    CHECK(500, write(fd, block, 1000));
    CHECK(0, signals);
    ERR(EFBIG, write(fd, block, 1));
    CHECK(1, signals);
    signal(SIGXFSZ, SIG_IGN);
    ERR(EFBIG, pwrite(fd, block, 1, 5000));
    ERR(EFBIG, ftruncate(fd, 1501));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        signal(SIGXFSZ, SIG_DFL);
        write(fd, block, 1);
        _exit(0);
    }
    int status = status_of(pid);
    CHECK(SIGXFSZ, WTERMSIG(status));
    CHECK(1500, lseek(fd, 0, SEEK_END));
    OK();
}
