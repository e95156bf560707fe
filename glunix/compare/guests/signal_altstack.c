/* guest: a handler runs on the alternate stack, also when the normal one has overflowed
 * area: signals
 * source: sigaltstack(2)
 * calls: sigaltstack, rt_sigaction
 * broken-by: sigaltstack:error=ENOMEM
 */
#include "check.h"
#include <setjmp.h>
#include <sys/resource.h>

static char alternate[65536];
static volatile int on_it, flagged;
static sigjmp_buf back;

static void handler(int sig) {
    char here;
    stack_t now;
    on_it = &here >= alternate && &here < alternate + sizeof alternate;
    sigaltstack(NULL, &now);
    flagged = now.ss_flags;
    if (sig == SIGSEGV)
        siglongjmp(back, 1);
}

static int deeper(int n) {
    volatile char space[4096];
    space[0] = (char)n;
    return n == 0 ? space[0] : deeper(n + 1) + space[0];
}

int main(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
    struct rlimit limit = {1 << 20, 1 << 20};
    CHECK(0, sigaltstack(&stack, &old));
    CHECK(SS_DISABLE, old.ss_flags);
    on_signal(SIGUSR1, handler, 0);
    raise(SIGUSR1);
    CHECK(0, on_it);
    CHECK(0, flagged);
    on_signal(SIGUSR1, handler, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(1, on_it);
    CHECK(SS_ONSTACK, flagged);
    on_signal(SIGSEGV, handler, SA_ONSTACK);
    MUST(setrlimit(RLIMIT_STACK, &limit));
    if (sigsetjmp(back, 1) == 0)
        deeper(1);
    CHECK(1, on_it);
    CHECK(0, sigaltstack(NULL, &old));
    CHECK(0, old.ss_flags);
    stack.ss_size = 1;
    ERR(ENOMEM, sigaltstack(&stack, NULL));
    OK();
}
