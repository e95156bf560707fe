/* guest: a protection fault tells its address, and the handler may mend it and go on
 * area: memory
 * source: sigaction(2) SIGSEGV, mprotect(2)
 * calls: mprotect, mmap, munmap, rt_sigaction
 * also: static
 * broken-by: munmap:retval=0:when=2+
 */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>

static char *page;
static volatile int faults, code;
static void *volatile where;
static sigjmp_buf back;

static void mend(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    faults++;
    code = info->si_code;
    where = info->si_addr;
    if (where < (void *)(page + 4096))
        mprotect(page, 4096, PROT_READ | PROT_WRITE);
    else
        siglongjmp(back, 1);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSEGV, &action, NULL));
    page = MUST(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    page[100] = 'x';
    CHECK(1, faults);
    HOLDS(where == page + 100 && code == SEGV_ACCERR);
    CHECK('x', page[100]);
    page[101] = 'y';
    CHECK(1, faults);
    CHECK(0, mprotect(page, 4096, PROT_NONE));
    CHECK('y', *(volatile char *)(page + 101));
    CHECK(2, faults);
    CHECK(0, munmap(page + 4096, 4096));
    if (sigsetjmp(back, 1) == 0)
        page[4096] = 'z';
    CHECK(3, faults);
    HOLDS(where == page + 4096 && code == SEGV_MAPERR);
    ERR(ENOMEM, mprotect(page + 4096, 4096, PROT_READ));
    ERR(EINVAL, mprotect(page + 1, 4096, PROT_READ));
    int p[2];
    MUST(pipe(p));
    ERR(EFAULT, write(p[1], page + 4096, 1)); /* the kernel's own accesses do not fault */
    CHECK(3, faults);
    OK();
}
