/* The reaper of one process of a job: its parent, and the subreaper of all that it leaves behind
 * (PR_SET_CHILD_SUBREAPER, prctl(2)). What belongs to the job is below the reaper, whatever it says
 * of itself, and is ended with the program: SIGHUP and SIGCONT, after a second SIGKILL. With `keep`
 * the reaper only waits until nothing is left.
 *
 * No libc, so that it costs 0.3 ms and 10 kB. glunix.node.userlevel.session_leader does the same in Python, for
 * programs that need a terminal, another user or other limits; the packets are the same:
 *
 *     reaper MODE FILE WORD...     MODE: `k` keep, `-` end; then `i`: the daemon is an init, with which
 *                                  all ends; then `l`: descriptor 4 is the program's, too. Descriptors 0-2 are the program's, if they are open, 3 is
 *                                  a SOCK_SEQPACKET to the daemon
 *     to the daemon    S pid       the program runs        F errno     it could not be executed
 *                      W status    its state changed (wait4(2)); after its end the socket is closed
 *     from the daemon  one byte    a signal for the program's group; the end: SIGKILL
 *
 * The kernel kills the reaper with the daemon, and without an init the program with the reaper
 * (PR_SET_PDEATHSIG). */

typedef unsigned long u64;
typedef unsigned int u32;
typedef int i32;
typedef long i64;

enum {
	SYS_read = 0, SYS_close = 3, SYS_poll = 7, SYS_mmap = 9, SYS_rt_sigprocmask = 14,
	SYS_getpid = 39, SYS_sendto = 44, SYS_clone = 56, SYS_execve = 59, SYS_exit = 60, SYS_wait4 = 61,
	SYS_kill = 62, SYS_fcntl = 72, SYS_chdir = 80, SYS_setpgid = 109, SYS_prctl = 157,
	SYS_open = 2, SYS_clock_gettime = 228, SYS_signalfd4 = 289,
};
enum { SIGHUP = 1, SIGKILL = 9, SIGCHLD = 17, SIGCONT = 18, SIG_SETMASK = 2 };
enum { WNOHANG = 1, WUNTRACED = 2, WCONTINUED = 8, ECHILD = 10, EINTR = 4 };
enum { PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15, PR_SET_CHILD_SUBREAPER = 36 };
enum { CLONE_VFORK = 0x4000, F_SETFD = 2, F_DUPFD_CLOEXEC = 1030, FD_CLOEXEC = 1, POLLIN = 1, NOSIGNAL = 0x4000 };
enum { DAEMON = 3, LINE = 4, TOLD = 4096, GRACE = 1000, GIVE_UP = 10000, AGAIN = 200 };

struct look { i32 fd; short events, revents; };

static inline __attribute__((always_inline)) i64 call6(i64 n, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f)
{
	register i64 r10 __asm__("r10") = d;
	register i64 r8 __asm__("r8") = e;
	register i64 r9 __asm__("r9") = f;
	i64 result;
	__asm__ volatile("syscall" : "=a"(result)
		: "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		: "rcx", "r11", "memory");
	return result;
}
#define call(n, a, b, c) call6(n, (i64)(a), (i64)(b), (i64)(c), 0, 0, 0)
#define call4(n, a, b, c, d) call6(n, (i64)(a), (i64)(b), (i64)(c), (i64)(d), 0, 0)

static i32 program, is_over;
static u32 told[TOLD / 32 * 32]; /* who got SIGHUP: pids, 0 ends the list */

__attribute__((noreturn)) static void die(int status)
{
	for (;;)
		call(SYS_exit, status, 0, 0);
}

static void say(char what, i32 value)
{
	char packet[6] = {what}; /* no step: the zero that ends its name */
	__builtin_memcpy(packet + 1, &value, 4);
	while (call6(SYS_sendto, DAEMON, (i64)packet, 6, NOSIGNAL, 0, 0) == -EINTR)
		;
}

static i64 now(void)
{
	i64 time[2];
	call(SYS_clock_gettime, 1 /* CLOCK_MONOTONIC */, time, 0);
	return time[0] * 1000 + time[1] / 1000000;
}

/* Start the program; 0, or errno. The kernel lets us go on when it is executed, or has ended. */
static i32 start(const char *file, char **words, char **environment, int has_init)
{
	u64 none = 0;
	volatile i32 *fault = (i32 *)call6(SYS_mmap, 0, 4096, 3 /* read, write */, 0x21 /* shared */, -1, 0);
	i64 pid = call(SYS_clone, SIGCHLD | CLONE_VFORK, 0, 0);
	if (pid < 0)
		return (i32)-pid;
	if (pid == 0) {
		call(SYS_setpgid, 0, 0, 0);
		if (!has_init)
			call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
		call4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
		*fault = (i32)-call(SYS_execve, file, words, environment);
		die(127);
	}
	program = (i32)pid;
	return *fault;
}

/* Reap; tell of the program. Whether there are children yet. */
static int collect(void)
{
	for (;;) {
		i32 status = 0;
		i64 pid = call4(SYS_wait4, -1, &status, WNOHANG | WUNTRACED | WCONTINUED, 0);
		if (pid <= 0)
			return pid != -ECHILD;
		if (pid != program || is_over)
			continue;
		say('W', status);
		if (status == 0xffff || (status & 0xff) == 0x7f)
			continue; /* continued, stopped */
		is_over = 1;
		call(SYS_close, DAEMON, 0, 0);
	}
}

/* A word of the daemon's; whether there will be more. */
static int obey(void)
{
	unsigned char word[16];
	i64 size = call(SYS_read, DAEMON, word, sizeof word);
	i32 signal = size > 0 ? word[0] : SIGKILL;
	call(SYS_kill, -program, signal, 0);
	if (signal == SIGKILL) /* a group of its own making must not escape */
		call(SYS_kill, program, signal, 0);
	return size > 0;
}

static int is_told(i32 pid)
{
	i32 at = 0;
	while (at < TOLD && told[at])
		if (told[at++] == (u32)pid)
			return 1;
	if (at < TOLD)
		told[at] = (u32)pid;
	return 0;
}

static void end(i32 pid, int is_late)
{
	if (is_late) {
		call(SYS_kill, pid, SIGKILL, 0);
	} else if (!is_told(pid)) {
		call(SYS_kill, pid, SIGHUP, 0);
		call(SYS_kill, pid, SIGCONT, 0);
	}
}

/* All children, by the kernel's list of them (proc(5), task/TID/children). */
static void end_children(int is_late)
{
	static char text[65536];
	i64 size, fd = call(SYS_open, "/proc/thread-self/children", 02000000 /* O_CLOEXEC */, 0);
	i32 pid = 0;
	if (fd < 0)
		return;
	while ((size = call(SYS_read, fd, text, sizeof text)) > 0)
		for (i64 at = 0; at < size; at++)
			if (text[at] != ' ') {
				pid = pid * 10 + text[at] - '0';
			} else if (pid) {
				end(pid, is_late);
				pid = 0;
			}
	call(SYS_close, fd, 0, 0);
}

static void serve(i32 changes, int keeps)
{
	struct look looks[2] = {{changes, POLLIN, 0}, {DAEMON, POLLIN, 0}};
	char news[128 * 8];
	i64 since = 0;
	while (collect()) {
		i64 wait = -1;
		if (is_over && !keeps) {
			i64 time = now();
			since = since ? since : time;
			if (time - since > GRACE + GIVE_UP)
				return; /* what SIGKILL does not end is left to the kernel */
			end_children(time - since >= GRACE);
			wait = time - since >= GRACE ? AGAIN : GRACE - (time - since);
		}
		if (is_over)
			looks[1].fd = -1;
		if (call(SYS_poll, looks, 2, wait) <= 0)
			continue;
		if (looks[0].revents)
			call(SYS_read, changes, news, sizeof news);
		if (looks[1].fd >= 0 && looks[1].revents && !obey())
			looks[1].fd = -1;
	}
}

__attribute__((noreturn, used)) static void reaper(i64 *stack)
{
	char **words = (char **)(stack + 1);
	char **environment = words + stack[0] + 1;
	u64 all = ~0UL, child = 1UL << (SIGCHLD - 1);
	if (stack[0] < 4)
		die(2);
	call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
	call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0);
	call(SYS_prctl, PR_SET_NAME, "glunix-reaper", 0);
	call(SYS_fcntl, DAEMON, F_SETFD, FD_CLOEXEC);
	call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, 8);
	i64 changes = call4(SYS_signalfd4, -1, &child, 8, 02004000 /* close-on-exec, non-blocking */);
	if (changes >= 0) /* not one of the program's, which may be closed */
		changes = call(SYS_fcntl, changes, F_DUPFD_CLOEXEC, DAEMON + 1);
	i32 fault = changes < 0 ? (i32)-changes
				: start(words[2], words + 3, environment, words[1][1] == 'i');
	if (fault) {
		say('F', fault);
		die(127);
	}
	int keeps = words[1][0] == 'k';
	say('S', program);
	for (i32 fd = 0; fd < 3; fd++)
		call(SYS_close, fd, 0, 0);
	if (words[1][1] && words[1][2] == 'l')
		call(SYS_close, LINE, 0, 0);
	call(SYS_chdir, "/", 0, 0);
	for (i64 at = 1; at < stack[0]; at++) /* the command line is the program's to show */
		for (char *letter = words[at]; *letter; letter++)
			*letter = 0;
	serve((i32)changes, keeps);
	die(0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall reaper\n");
