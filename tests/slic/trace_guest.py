"""The C guest of the comparison with strace: one of each call and flag, good and failing."""

SOURCE = r"""
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <arpa/inet.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <termios.h>
#include <time.h>
static char got[10000];
static void handler(int s, siginfo_t *i, void *c) { (void)s; (void)i; (void)c; }
static void files(void) {
  int fd = open("f", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640), other; struct stat st;
  struct statfs fs; struct statx sx; struct iovec v[2] = {{"ab", 2}, {"cd\n\001\0012", 6}};
  struct timespec times[2] = {{5, 6}, {0, UTIME_OMIT}}; struct flock lock = {F_WRLCK, 0, 3, 4, 0};
  write(fd, "text \"quoted\"\t\\ \377\0 and more than thirty-two", 42); lseek(fd, -4, SEEK_CUR);
  writev(fd, v, 2); pread(fd, got, 100, 1); pwrite(fd, "x", 1, 0); lseek(fd, 0, SEEK_SET);
  readv(fd, (struct iovec[]){{got, 3}, {got + 10, 5}}, 2); read(fd, got, 0); read(-1, got, 5);
  preadv2(fd, (struct iovec[]){{got, 3}}, 1, 2, RWF_HIPRI);
  fstat(fd, &st); stat("/dev/null", &st); lstat("nothing", &st); fstatfs(fd, &fs);
  statx(AT_FDCWD, "f", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &sx);
  access("f", R_OK | W_OK | X_OK); access("f", F_OK); faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS);
  ftruncate(fd, 100); truncate("f", 50); fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10); fsync(fd);
  fdatasync(fd); fchmod(fd, 0600); chmod("f", 04755); fchown(fd, -1, -1); chown("nothing", 1, 2);
  utimensat(AT_FDCWD, "f", times, 0); futimens(fd, 0); flock(fd, LOCK_EX | LOCK_NB);
  flock(fd, LOCK_UN); fcntl(fd, F_GETFD); fcntl(fd, F_SETFD, 0); fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK); fcntl(fd, F_SETLK, &lock); fcntl(fd, F_GETLK, &lock);
  other = fcntl(fd, F_DUPFD_CLOEXEC, 50); close(other); dup2(fd, 60); dup3(fd, 61, O_CLOEXEC);
  close(dup(fd)); close_range(60, 61, 0); mkdir("d", 0755); rename("f", "g"); link("g", "h");
  symlink("g", "s"); readlink("s", got, 100); unlink("h"); unlink("s"); rmdir("nothing");
  syscall(SYS_renameat2, AT_FDCWD, "g", AT_FDCWD, "d/g", RENAME_NOREPLACE); other = open("d",
  O_RDONLY | O_DIRECTORY); syscall(SYS_getdents64, other, got, 10000); fchdir(other);
  getcwd(got, 10000); chdir(".."); unlinkat(other, "g", 0); close(other);
  unlinkat(AT_FDCWD, "d", AT_REMOVEDIR); umask(umask(022)); creat("c", 0600); open("c", O_WRONLY |
  O_APPEND | O_SYNC | O_NOCTTY); open("c", O_PATH | O_NOFOLLOW); open(".", O_TMPFILE | O_RDWR, 0);
  open("nothing", O_RDONLY | O_EXCL | O_DSYNC | O_NOATIME); setxattr("c", "user.a", "v", 1, 0);
  getxattr("c", "user.b", got, 10); open((char *)8, O_RDONLY); unlink("c"); sync();
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); statfs("/proc", &fs); close(fd); close(fd); }
static void memory(void) {
  char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
  -1, 0);
  mmap(0, 4096, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
  mprotect(m, 4096, PROT_READ | PROT_EXEC); madvise(m, 4096, MADV_DONTNEED); msync(m, 4096,
  MS_SYNC); mlock(m, 10); munlock(m, 10); m = mremap(m, 8192, 16384, MREMAP_MAYMOVE);
  munmap(m, 16384); mmap((void *)1, 1, 8, MAP_FIXED | 3, 77, 4096);
  memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING); }
static void signals(void) {
  struct sigaction a; sigset_t s; struct itimerval t = {{0, 0}, {100, 5}}; stack_t st;
  memset(&a, 0, sizeof a); a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
  sigemptyset(&a.sa_mask); sigaddset(&a.sa_mask, SIGUSR2); sigaddset(&a.sa_mask, 40);
  sigaction(SIGUSR1, &a, 0); sigaction(SIGUSR1, 0, &a); signal(SIGPIPE, SIG_IGN); sigfillset(&s);
  sigprocmask(SIG_BLOCK, &s, 0); sigemptyset(&s); sigaddset(&s, SIGTERM);
  sigprocmask(SIG_SETMASK, &s, &s); raise(SIGUSR1); kill(getpid(), 0); kill(-1, 77);
  sigpending(&s); sigaltstack(0, &st); setitimer(ITIMER_REAL, &t, 0); getitimer(ITIMER_REAL, 0);
  alarm(0); sigemptyset(&s); sigtimedwait(&s, 0, &(struct timespec){0, 1000}); }
static void times_(void) {
  struct timespec t = {0, 1000}; struct timeval v; struct rlimit r; struct rusage u; struct tms m;
  struct itimerspec i = {{0, 0}, {5, 6}}; struct sysinfo info;
  syscall(SYS_clock_gettime, 99, &t); syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8);
  syscall(SYS_clock_getres, CLOCK_REALTIME, &t); t.tv_sec = 0; t.tv_nsec = 1000;
  nanosleep(&t, 0); clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0); (void)v;
  getrlimit(RLIMIT_NOFILE, &r); setrlimit(RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY});
  syscall(SYS_getrusage, 0, 8); syscall(SYS_times, 8); syscall(SYS_sysinfo, 8);
  int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &i, 0); close(fd); (void)u; (void)m; (void)info; }
static void waiting(void) {
  int p[2], e; struct epoll_event ev = {EPOLLIN | EPOLLET | EPOLLRDHUP, {.u64 = 7}}, out[4];
  pipe(p); pipe2(p, O_CLOEXEC | O_NONBLOCK); read(p[0], got, 10); write(p[1], "xyz", 3);
  struct pollfd f[2] = {{p[0], POLLIN | POLLPRI, 0}, {p[1], POLLOUT, 0}};
  poll(f, 2, 1000); poll(f, 0, 1); ppoll(f, 1, &(struct timespec){1, 2}, 0); fd_set in, no;
  FD_ZERO(&in); FD_SET(p[0], &in); FD_ZERO(&no);
  select(p[0] + 1, &in, 0, &no, &(struct timeval){1, 5});
  FD_ZERO(&in); pselect(1, &in, 0, 0, &(struct timespec){0, 100}, 0);
  e = epoll_create1(EPOLL_CLOEXEC); epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev);
  epoll_wait(e, out, 4, 100);
  epoll_ctl(e, EPOLL_CTL_DEL, p[0], 0); epoll_ctl(e, EPOLL_CTL_MOD, -1, &ev);
  eventfd(5, EFD_NONBLOCK | EFD_SEMAPHORE); sigset_t s; sigemptyset(&s); sigaddset(&s, SIGINT);
  signalfd(-1, &s, SFD_CLOEXEC); e = inotify_init1(IN_NONBLOCK);
  inotify_add_watch(e, ".", IN_CREATE | IN_DELETE | IN_ONLYDIR);
  ioctl(p[0], FIONREAD, &e); ioctl(p[0], FIONBIO, &e); struct termios t;
  struct winsize w; ioctl(0, TCGETS, &t); ioctl(0, TIOCGWINSZ, &w); ioctl(p[0], FIOCLEX);
  ioctl(p[0], 0x12345678, 5); ioctl(0, FICLONE, p[0]); off_t at = 3; sendfile(p[1], 0, &at, 5);
  splice(p[0], 0, p[1], 0, 5, SPLICE_F_NONBLOCK | SPLICE_F_MOVE); }
static void network(void) {
  struct sockaddr_in a = {AF_INET, htons(0), {htonl(INADDR_LOOPBACK)}, {0}}; socklen_t n = sizeof a;
  struct sockaddr_in6 six = {AF_INET6, htons(9), 0, IN6ADDR_LOOPBACK_INIT, 0}; int one = 1, p[2];
  struct sockaddr_un u = {AF_UNIX, "/nowhere/sock"}; struct linger l = {1, 5};
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), c, d;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, 4);
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, 4);
  setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  getsockopt(s, SOL_SOCKET, SO_ERROR, &one, &n);
  bind(s, (void *)&a, sizeof a); listen(s, 5); n = sizeof a; getsockname(s, (void *)&a, &n);
  c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); connect(c, (void *)&a, sizeof a);
  n = sizeof a; d = accept4(s, (void *)&a, &n, SOCK_CLOEXEC); getpeername(c, (void *)&a, &n);
  sendto(d, "hello", 5, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
  poll(&(struct pollfd){c, POLLIN, 0}, 1, 500);
  recvfrom(c, got, 100, MSG_PEEK, 0, 0); recv(c, got, 100, 0); shutdown(d, SHUT_WR); close(d);
  struct iovec v = {"message", 7}; struct msghdr h = {0, 0, &v, 1, 0, 0, 0};
  socketpair(AF_UNIX, SOCK_DGRAM, 0, p); sendmsg(p[0], &h, 0); v.iov_base = got; v.iov_len = 50;
  recvmsg(p[1], &h, MSG_DONTWAIT); recvmsg(p[1], &h, MSG_DONTWAIT);
  c = socket(AF_UNIX, SOCK_STREAM, 0); connect(c, (void *)&u, sizeof u);
  memcpy(u.sun_path, "\0name", 5);
  connect(c, (void *)&u, 7); d = socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
  sendto(d, "x", 1, MSG_DONTWAIT, (void *)&six, sizeof six); socket(AF_NETLINK, SOCK_RAW, 0); }
/* It lives longer than main takes to wait for it. */
static void *thread(void *x) { usleep(50000); return x; }
static void processes(void) {
  int status; struct utsname n; cpu_set_t cpus; pthread_t t; struct rusage u; gid_t g[100];
  siginfo_t info = {0}; char *argv[] = {"/bin/sh", "-c", "exit 3", 0}, *env[] = {"A=1", 0};
  prctl(PR_SET_NAME, "short"); prctl(PR_SET_PDEATHSIG, SIGKILL); prctl(PR_GET_DUMPABLE);
  uname(&n); sched_getaffinity(0, sizeof cpus, &cpus); sched_yield(); getgroups(100, g);
  getresuid((void *)got, (void *)(got + 8), (void *)(got + 16)); getpgid(0); getsid(0); setsid();
  getpriority(PRIO_PROCESS, 0); getrandom(got, 3, GRND_NONBLOCK | GRND_RANDOM);
  int pid = fork(); if (!pid) _exit(5); wait4(pid, &status, 0, 0);
  wait4(-1, &status, WNOHANG, &u);
  pid = vfork();
  if (!pid) { execve("/nowhere", argv, env); execve("/bin/sh", argv, env); _exit(9); }
  waitid(P_PID, pid, &info, WEXITED | WNOWAIT); waitpid(pid, &status, WUNTRACED | __WALL);
  pid = fork(); if (!pid) { raise(SIGKILL); } waitpid(pid, &status, 0);
  pthread_create(&t, 0, thread, 0); pthread_join(t, 0);
  syscall(SYS_futex, got, FUTEX_WAIT, 1, &(struct timespec){0, 5}, 0, 0);
  syscall(SYS_futex, got, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0); }
int main(void) {
  memset(got, 0, sizeof got);
  files(); memory(); signals(); times_(); waiting(); network(); processes(); return 7; }
"""
