/* guest: a mapping beyond the end of its file gives SIGBUS, inside the last page zeros
 * area: memory
 * source: mmap(2), sigaction(2) SIGBUS
 * calls: mmap, rt_sigaction, ftruncate
 * broken-by: ftruncate:error=EIO
 */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>

static sigjmp_buf back;
static void *volatile where;
static volatile int code;
static void bus(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    where = info->si_addr;
    code = info->si_code;
    siglongjmp(back, 1);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = bus, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGBUS, &action, NULL));
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    QUIET(3, write(fd, "abc", 3));
    volatile char *map = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK('c', map[2]);
    CHECK(0, map[4095]);
    if (sigsetjmp(back, 1) == 0)
        map[4096] = 'x';
    HOLDS(where == map + 4096 && code == BUS_ADRERR);
    CHECK(0, ftruncate(fd, 5000));
    map[4096] = 'x';
    char buf[4];
    CHECK(1, pread(fd, buf, 1, 4096));
    CHECK('x', buf[0]);
    CHECK(0, ftruncate(fd, 1));
    CHECK(0, map[2]);
    if (sigsetjmp(back, 1) == 0)
        map[4096] = 'y';
    CHECK(0, ftruncate(fd, 8192));
    CHECK(0, map[4096]);
    OK();
}
