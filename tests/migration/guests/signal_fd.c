/* signalfd: its set, and a pending signal that is read from it. */
#include "guest.h"
#include <sys/signalfd.h>
static void guest(void)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	sigaddset(&s, SIGRTMIN + 5);
	sigprocmask(SIG_BLOCK, &s, 0);
	int fd = signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC);
	sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 9});
	barrier();
	struct signalfd_siginfo i;
	check(read(fd, &i, sizeof i) == sizeof i);
	check((int)i.ssi_signo == SIGRTMIN + 5 && i.ssi_int == 9);
	kill(getpid(), SIGUSR2);
	check(read(fd, &i, sizeof i) == sizeof i && i.ssi_signo == SIGUSR2);
	check(read(fd, &i, sizeof i) < 0 && errno == EAGAIN);
}
