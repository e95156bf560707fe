/* A stopped child stays stopped, its stop is told no second time, and SIGCONT wakes it. */
#include "guest.h"
static volatile int children;
static void on_child(int s) { (void)s; children++; }
static void guest(void)
{
	volatile int *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t told = fork();
	if (!told)
		for (;;) {
			m[0]++;
			doze(1);
		}
	pid_t untold = fork();
	if (!untold)
		for (;;) {
			m[1]++;
			doze(1);
		}
	int status;
	kill(told, SIGSTOP);
	kill(untold, SIGSTOP);
	check(waitpid(told, &status, WUNTRACED) == told && WIFSTOPPED(status));
	siginfo_t info;
	check(waitid(P_PID, untold, &info, WSTOPPED | WNOWAIT) == 0);
	signal(SIGCHLD, on_child);
	int before = m[0];
	barrier();
	check(children == 0 || guest_round == 0);
	doze(30);
	check(m[0] == before);
	check(waitpid(told, &status, WUNTRACED | WNOHANG) == 0);
	check(waitpid(untold, &status, WUNTRACED | WNOHANG) == untold && WIFSTOPPED(status));
	kill(told, SIGCONT);
	for (int i = 0; i < 500 && m[0] <= before + 2; i++)
		doze(2);
	check(m[0] > before + 2);
	kill(told, SIGKILL);
	kill(untold, SIGKILL);
	check(waitpid(told, &status, 0) == told && WTERMSIG(status) == SIGKILL);
	check(waitpid(untold, &status, 0) == untold);
}
