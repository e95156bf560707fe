/* The launcher: notes what the shell gave us and what Python's start would change, then executes
 * the interpreter. No libc, so that it costs 0.3 ms. docs/launch.md says what it is for.
 *
 * A tool is a script whose first line names this program: the kernel starts
 *
 *     start +PYTHON SCRIPT WORD...      (`-PYTHON`: the limits stay as they are)
 *
 * PYTHON is relative to the folder of `start`, which executes
 *
 *     PYTHON -IS -Xglunix=NOTE,... SCRIPT WORD...
 *
 * The environment is passed as it is: an option of Python's is seen by nothing else. The notes:
 *
 *     i          SIGINT was not blocked: it is until the script knows what ^C shall do
 *     p, x       SIGPIPE, SIGXFSZ were ignored, as Python has them anyway
 *     dN:M       descriptor N is a directory, which the interpreter refuses: it is M meanwhile
 *     lN:S:H     limit N (getrlimit(2)) was S and H, too little for home's half; -1: none
 *
 * Nothing is a right: a note says no more than the user could say himself in a job's submission. */

typedef unsigned long u64;
typedef unsigned int u32;
typedef long i64;

enum {
	SYS_write = 1, SYS_open = 2, SYS_close = 3, SYS_fstat = 5, SYS_rt_sigaction = 13,
	SYS_rt_sigprocmask = 14, SYS_dup2 = 33, SYS_execve = 59, SYS_exit = 60, SYS_fcntl = 72,
	SYS_prlimit64 = 302,
};
enum { SIGINT = 2, SIGPIPE = 13, SIGXFSZ = 25, SIG_IGN = 1, SIG_BLOCK = 0 };
enum { F_DUPFD = 0, O_RDWR = 2, S_IFMT = 0170000, S_IFDIR = 0040000, HIGH = 10, LOW = 3 };
enum { CPU = 0, DATA = 2, STACK = 3, NPROC = 6, NOFILE = 7, AS = 9, RTTIME = 15 };
enum { FAILURE = 125, ROOM = 512, PATH = 4096 };
#define NONE (~0UL) /* RLIM_INFINITY */
#define MEGABYTE (1UL << 20)

struct limit { u64 soft, hard; };
struct action { u64 handler, flags, restorer, mask; };
struct status { u64 device, inode, links; u32 mode; char rest[116]; };

static inline __attribute__((always_inline)) i64 call(i64 n, i64 a, i64 b, i64 c, i64 d)
{
	register i64 r10 __asm__("r10") = d;
	i64 result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
		: "rcx", "r11", "memory");
	return result;
}

static char notes[ROOM] = "-Xglunix=", *end = notes + 9;
static char python[PATH];

static void put(char letter)
{
	*end++ = letter;
}

static void number(u64 value)
{
	char digits[20];
	int count = 0;
	if (value == NONE) {
		put('-');
		value = 1;
	}
	do
		digits[count++] = (char)('0' + value % 10);
	while (value /= 10);
	while (count)
		put(digits[--count]);
}

static u64 length(const char *text)
{
	u64 count = 0;
	while (text[count])
		count++;
	return count;
}

__attribute__((noreturn)) static void fail(const char *what, const char *which)
{
	call(SYS_write, 2, (i64)"glunix: ", 8, 0);
	call(SYS_write, 2, (i64)what, (i64)length(what), 0);
	call(SYS_write, 2, (i64)which, (i64)length(which), 0);
	call(SYS_write, 2, (i64)"\n", 1, 0);
	for (;;)
		call(SYS_exit, FAILURE, 0, 0, 0);
}

static void note_ignored(int signal, char letter)
{
	struct action found = {0, 0, 0, 0};
	if (call(SYS_rt_sigaction, signal, 0, (i64)&found, 8) == 0 && found.handler == SIG_IGN) {
		put(letter);
		put(',');
	}
}

static void hold_interrupt(void)
{
	u64 set = 1UL << (SIGINT - 1), before = 0;
	if (call(SYS_rt_sigprocmask, SIG_BLOCK, (i64)&set, (i64)&before, 8) == 0 && !(before & set)) {
		put('i');
		put(',');
	}
}

/* Have at least so much, where we may. */
static void have(int number_of, u64 least)
{
	struct limit was, wanted;
	if (call(SYS_prlimit64, 0, number_of, 0, (i64)&was) != 0 || was.soft >= least)
		return;
	wanted.soft = least;
	wanted.hard = was.hard > least ? was.hard : least;
	if (call(SYS_prlimit64, 0, number_of, (i64)&wanted, 0) != 0) {
		wanted.soft = was.hard < least ? was.hard : least;
		wanted.hard = was.hard;
		if (wanted.soft == was.soft || call(SYS_prlimit64, 0, number_of, (i64)&wanted, 0) != 0)
			return;
	}
	put('l');
	number((u64)number_of);
	put(':');
	number(was.soft);
	put(':');
	number(was.hard);
	put(',');
}

static void have_enough(void)
{
	have(CPU, NONE);
	have(DATA, NONE);
	have(STACK, 8 * MEGABYTE);
	have(NPROC, 1024);
	have(NOFILE, 1024);
	have(AS, NONE);
	have(RTTIME, NONE);
}

static void move_directory(int fd)
{
	struct status found;
	i64 high, null;
	if (call(SYS_fstat, fd, (i64)&found, 0, 0) != 0 || (found.mode & S_IFMT) != S_IFDIR)
		return;
	high = call(SYS_fcntl, fd, F_DUPFD, HIGH, 0);
	if (high < 0)
		high = call(SYS_fcntl, fd, F_DUPFD, LOW, 0);
	if (high < 0)
		return;
	null = call(SYS_open, (i64)"/dev/null", O_RDWR, 0, 0);
	if (null < 0) {
		call(SYS_close, fd, 0, 0, 0);
	} else {
		call(SYS_dup2, null, fd, 0, 0);
		if (null != fd)
			call(SYS_close, null, 0, 0, 0);
	}
	put('d');
	number((u64)fd);
	put(':');
	number((u64)high);
	put(',');
}

/* The interpreter: a name is beside ourselves. */
static void find_python(const char *self, const char *name)
{
	u64 at = 0, folder = 0;
	if (*name != '/')
		for (u64 i = 0; self[i]; i++)
			if (self[i] == '/')
				folder = i + 1;
	if (folder + length(name) >= PATH)
		fail("a path is too long: ", name);
	for (; at < folder; at++)
		python[at] = self[at];
	while ((python[at++] = *name++))
		;
}

__attribute__((noreturn, used)) static void begin(u64 *stack)
{
	u64 count = stack[0];
	char **words = (char **)(stack + 1), **environment = words + count + 1;
	if (count < 3 || (*words[1] != '+' && *words[1] != '-'))
		fail("start this by a tool: ", "glurun, glunix, ...");
	char *given[count + 3];
	u64 to = 0;
	find_python(words[0], words[1] + 1);
	note_ignored(SIGPIPE, 'p');
	note_ignored(SIGXFSZ, 'x');
	hold_interrupt();
	if (*words[1] == '+')
		have_enough();
	for (int fd = 0; fd < 3; fd++)
		move_directory(fd);
	given[to++] = python;
	given[to++] = "-IS";
	given[to++] = notes;
	for (u64 from = 2; from <= count; from++) /* with the NULL at its end */
		given[to++] = words[from];
	call(SYS_execve, (i64)python, (i64)given, (i64)environment, 0);
	fail("cannot execute ", python);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
