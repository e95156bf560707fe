"""What `slic bench` compiles: the measured loop, bare C supervisors, and files for a build."""

# Times calls in small batches and takes the best batch: other load only ever adds.
LOOP = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static double batch(long call, int n) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (int i = 0; i < n; i++) syscall(call);
  clock_gettime(CLOCK_MONOTONIC, &b);
  return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n;
}
static double best(long call, int n, int batches) {
  double t, least = 1e18;
  while (batches-- > 0) if ((t = batch(call, n)) < least) least = t;
  return least;
}
int main(int argc, char **argv) {
  FILE *out = fopen(argv[2], "w");
  fprintf(out, "%f ", best(SYS_getppid, 20, atoi(argv[1]) / 20));
  fprintf(out, "%f\n", best(SYS_getuid, 200, 100));
  return fclose(out);
}
"""

# The same mechanisms driven from C as barely as can be: `bare MECHANISM PROGRAM ARGS`. getppid is
# answered with 1, and nothing else is caught.
BARE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#define SYNC_WAKE_UP_FLAGS _IOW('!', 4, unsigned long long)
static int install(unsigned action, unsigned flags) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, action), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static int notified(int listener) {
  struct seccomp_notif call; struct seccomp_notif_resp answer;
  struct pollfd hung = {listener, POLLIN, 0};
  ioctl(listener, SYNC_WAKE_UP_FLAGS, 1);
  for (;;) {
    memset(&call, 0, sizeof call);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
      if (poll(&hung, 1, 0) > 0 && hung.revents & POLLHUP) return 0;
      continue; }
    memset(&answer, 0, sizeof answer); answer.id = call.id; answer.val = 1;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer); }
}
static int traced(pid_t child, int every) {
  struct user_regs_struct r; int status, entry = 0; long go = every ? PTRACE_SYSCALL : PTRACE_CONT;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, 0,
         PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC);
  ptrace(go, child, 0, 0);
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    int number = WSTOPSIG(status), event = status >> 16, deliver = 0;
    if (number == (SIGTRAP | 0x80)) entry = !entry;
    if (event == PTRACE_EVENT_SECCOMP || (number == (SIGTRAP | 0x80) && entry)) {
      ptrace(PTRACE_GETREGS, child, 0, &r);
      if (r.orig_rax == SYS_getppid) {
        r.orig_rax = -1; r.rax = 1; ptrace(PTRACE_SETREGS, child, 0, &r); }
    } else if (!event && number != (SIGTRAP | 0x80)) deliver = number;
    ptrace(go, child, 0, deliver); }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
int main(int argc, char **argv) {
  int ready[2], number, status, notify = !strcmp(argv[1], "unotify");
  int every = !strcmp(argv[1], "ptrace");
  if (pipe(ready)) return 1;
  pid_t child = fork();
  if (!child) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (notify) {
      number = install(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
      if (write(ready[1], &number, sizeof number) < 0 || read(ready[0], &status, 1) < 0) _exit(9);
      /* The parent's byte comes when it has its copy: this one would keep calls waiting. */
      close(number);
    } else {
      ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP);
      if (!every) install(SECCOMP_RET_TRACE, 0); }
    execv(argv[2], argv + 2); _exit(9); }
  if (!notify) return traced(child, every);
  if (read(ready[0], &number, sizeof number) < 0) return 1;
  int listener = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), number, 0);
  if (listener < 0 || write(ready[1], "x", 1) < 0) return 1;
  notified(listener); waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
"""

FILES = 16
SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
int f%d(int x) { char b[100]; snprintf(b, sizeof b, "%%d", x); return strlen(b); }
"""
MAKEFILE = """
all: $(patsubst %.c,%.o,$(wildcard f*.c))
%.o: %.c
\tcc -O2 -c $<
"""
