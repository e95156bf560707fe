/* What forkserver.c needs of a libc and of the kernel's headers. x86-64. */

typedef unsigned long u64;
typedef unsigned int u32;
typedef int i32;
typedef long i64;

enum {
	SYS_close = 3, SYS_rt_sigprocmask = 14, SYS_getpid = 39, SYS_sendto = 44,
	SYS_recvfrom = 45, SYS_clone = 56, SYS_exit = 60, SYS_wait4 = 61, SYS_kill = 62,
	SYS_getpgid = 121, SYS_setpgid = 109, SYS_getppid = 110, SYS_setsid = 112, SYS_brk = 12,
	SYS_rt_sigtimedwait = 128, SYS_rt_sigqueueinfo = 129, SYS_prctl = 157, SYS_open = 2,
	SYS_read = 0, SYS_stat = 4, SYS_poll = 7, SYS_signalfd4 = 289, SYS_process_vm_writev = 311,
	SYS_close_range = 436, SYS_clone3 = 435, SYS_mmap = 9, SYS_futex = 202,
	SYS_getsockopt = 55, SYS_capget = 125, SYS_capset = 126,
};
enum { SIGKILL = 9, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, COMMAND = 64, SI_QUEUE = -1 };
enum { WNOHANG = 1, WUNTRACED = 2, WCONTINUED = 8 };
enum { EPERM = 1, ESRCH = 3, EINTR = 4, EEXIST = 17, ETIMEDOUT = 110 };
enum { PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15, PR_SET_MM = 35, PR_SET_MM_MAP = 14 };
enum { PR_SET_DUMPABLE = 4, CAP_CHECKPOINT_RESTORE = 40, SOL_SOCKET = 1, SO_PEERCRED = 17 };
enum { CLONE_PARENT = 0x8000, FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

#define INLINE static inline __attribute__((always_inline))

INLINE i64 call6(i64 n, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f)
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

void *memset(void *to, int byte, u64 size)
{
	char *at = to;
	while (size--)
		*at++ = (char)byte;
	return to;
}

void *memcpy(void *to, const void *from, u64 size)
{
	char *at = to;
	const char *source = from;
	while (size--)
		*at++ = *source++;
	return to;
}

/* The next number of a text; `at` is then behind it. */
static u64 number(const char **at)
{
	u64 value = 0;
	while (**at < '0' || **at > '9')
		++*at;
	while (**at >= '0' && **at <= '9')
		value = value * 10 + (u64)(*(*at)++ - '0');
	return value;
}
