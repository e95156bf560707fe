/* Limits, priority, processors, name, personality, dumpable, parent's death, timer slack. */
#include "guest.h"
#include <sched.h>
#include <sys/personality.h>
static void guest(void)
{
	struct rlimit files = {100, 200}, core = {0, RLIM_INFINITY}, found;
	check(setrlimit(RLIMIT_NOFILE, &files) == 0 && setrlimit(RLIMIT_CORE, &core) == 0);
	check(setpriority(PRIO_PROCESS, 0, 5) == 0);
	cpu_set_t one, now_set;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	check(sched_setaffinity(0, sizeof one, &one) == 0);
	struct sched_param param = {0};
	check(sched_setscheduler(0, SCHED_BATCH, &param) == 0);
	prctl(PR_SET_NAME, "a (odd) name");
	personality(ADDR_NO_RANDOMIZE);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_TIMERSLACK, 77777UL);
	prctl(PR_SET_PDEATHSIG, SIGUSR2);
	barrier();
	check(getrlimit(RLIMIT_NOFILE, &found) == 0 && found.rlim_cur == 100 && found.rlim_max == 200);
	check(getrlimit(RLIMIT_CORE, &found) == 0 && found.rlim_cur == 0 &&
	      found.rlim_max == RLIM_INFINITY);
	check(getpriority(PRIO_PROCESS, 0) == 5 && sched_getscheduler(0) == SCHED_BATCH);
	check(sched_getaffinity(0, sizeof now_set, &now_set) == 0 && CPU_EQUAL(&one, &now_set));
	char name[16];
	prctl(PR_GET_NAME, name);
	check(strcmp(name, "a (odd) name") == 0);
	check(personality(0xffffffff) == ADDR_NO_RANDOMIZE);
	check(prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_TIMERSLACK) == 77777);
	int sig = 0;
	check(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == SIGUSR2);
}
