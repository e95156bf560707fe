/* Handlers with flags and masks, ignored signals, defaults. */
#include "guest.h"
static volatile int got;
static void handler(int s, siginfo_t *i, void *u) { (void)u; got = s * 1000 + i->si_value.sival_int; }
static void guest(void)
{
	struct sigaction set = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART}, now_set;
	sigaddset(&set.sa_mask, SIGHUP);
	sigaction(SIGRTMIN + 3, &set, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTRAP, SIG_IGN);
	barrier();
	sigaction(SIGRTMIN + 3, 0, &now_set);
	check(now_set.sa_sigaction == handler && now_set.sa_flags & SA_RESTART);
	check(sigismember(&now_set.sa_mask, SIGHUP) && !sigismember(&now_set.sa_mask, SIGINT));
	sigaction(SIGPIPE, 0, &now_set);
	check(now_set.sa_handler == SIG_IGN);
	sigaction(SIGTRAP, 0, &now_set);
	check(now_set.sa_handler == SIG_IGN);
	sigaction(SIGINT, 0, &now_set);
	check(now_set.sa_handler == SIG_DFL);
	sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 77});
	check(got == (SIGRTMIN + 3) * 1000 + 77);
}
