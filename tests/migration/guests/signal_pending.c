/* Blocked signals stay pending: their order, their values, who sent them. */
#include "guest.h"
static void guest(void)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN);
	sigaddset(&s, SIGRTMIN + 1);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, 0);
	for (int i = 0; i < 40; i++)
		sigqueue(getpid(), SIGRTMIN + (i & 1), (union sigval){.sival_int = i});
	kill(getpid(), SIGUSR1);
	barrier();
	siginfo_t info;
	struct timespec none = {0, 0};
	check(sigtimedwait(&s, &info, &none) == SIGUSR1 && info.si_code == SI_USER &&
	      info.si_pid == getpid());
	for (int round = 0; round < 2; round++)
		for (int i = round; i < 40; i += 2) {
			check(sigtimedwait(&s, &info, &none) == SIGRTMIN + round);
			check(info.si_value.sival_int == i && info.si_code == SI_QUEUE);
		}
	check(sigtimedwait(&s, &info, &none) < 0 && errno == EAGAIN);
}
