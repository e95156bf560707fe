/* guest: while a handler runs its signal and sa_mask are blocked; SA_NODEFER, SA_RESETHAND
 * area: signals
 * source: sigaction(2)
 * calls: rt_sigaction, rt_sigreturn, tgkill|kill
 * broken-by: tgkill:retval=0
 */
#include "check.h"

static volatile int depth, deepest, turns;
static char order[32];
static volatile int length;

static void nested(int sig) {
    if (++depth > deepest)
        deepest = depth;
    order[length++] = sig == SIGUSR1 ? '(' : '[';
    if (turns-- > 0)
        raise(sig);
    if (sig == SIGUSR1 && turns == 0)
        raise(SIGUSR2);
    order[length++] = sig == SIGUSR1 ? ')' : ']';
    depth--;
}

int main(void) {
    struct sigaction action = {.sa_handler = nested}, now;
    MUST(sigaction(SIGUSR2, &action, NULL));
    sigemptyset(&action.sa_mask);
    MUST(sigaction(SIGUSR1, &action, NULL));
    turns = 1;
    raise(SIGUSR1);
    TEXT("([])()", order, length);
    CHECK(2, deepest);
    sigaddset(&action.sa_mask, SIGUSR2);
    MUST(sigaction(SIGUSR1, &action, NULL));
    turns = 1, length = deepest = 0;
    raise(SIGUSR1);
    TEXT("()()[]", order, length);
    CHECK(1, deepest);
    action.sa_flags = SA_NODEFER;
    MUST(sigaction(SIGUSR1, &action, NULL));
    turns = 2, length = deepest = 0;
    raise(SIGUSR1);
    HOLDS(strncmp(order, "(((", 3) == 0);
    CHECK(3, deepest);
    action.sa_flags = SA_RESETHAND;
    MUST(sigaction(SIGUSR1, &action, NULL));
    turns = 0;
    raise(SIGUSR1);
    MUST(sigaction(SIGUSR1, NULL, &now));
    HOLDS(now.sa_handler == SIG_DFL);
    ERR(EINVAL, sigaction(SIGKILL, &action, NULL));
    ERR(EINVAL, sigaction(SIGSTOP, &action, NULL));
    ERR(EINVAL, sigaction(99, &action, NULL));
    OK();
}
