/* Moved inside a handler that runs on its alternate stack. */
#include "guest.h"
static char stack[65536];
static volatile int on, after;
static int here_on_it(void)
{
	char here;
	return &here > stack && &here < stack + sizeof stack;
}
static void handler(int s)
{
	on = here_on_it();
	barrier();
	after = here_on_it();
	stack_t now_set;
	check(sigaltstack(0, &now_set) == 0 && now_set.ss_flags & SS_ONSTACK);
	(void)s;
}
static void guest(void)
{
	stack_t st = {.ss_sp = stack, .ss_size = sizeof stack};
	check(sigaltstack(&st, 0) == 0);
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	sigaction(SIGUSR1, &sa, 0);
	raise(SIGUSR1);
	check(on == 1 && after == 1);
	stack_t now_set;
	check(sigaltstack(0, &now_set) == 0 && now_set.ss_sp == stack && !now_set.ss_flags);
	on = 0;
	guest_round++;
	(void)on;
}
