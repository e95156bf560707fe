/* Files in the directory that argv[1] names, through every call that takes a name or a descriptor:
 * prints what each gives. Run natively and under -T --home, it must print the same. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(...) (printf(__VA_ARGS__), putchar('\n'))
#define TRY(call)                                                                                  \
    ({                                                                                             \
        errno = 0;                                                                                 \
        long got_ = (long)(call);                                                                  \
        SAY("%s = %ld %s", #call, got_, errno ? strerrorname_np(errno) : "");                      \
        got_;                                                                                      \
    })

static char *volatile wrong = (char *)8;

static void content(const char *name) {
    char buf[200];
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf);
    SAY("%s holds %zd: %.*s", name, n, (int)(n < 0 ? 0 : n), buf);
    close(fd);
}

static void facts(const char *what, struct stat *s) {
    SAY("%s: mode %o, %ld links, owner %d:%d, %ld bytes", what, s->st_mode, (long)s->st_nlink,
        s->st_uid, s->st_gid, (long)s->st_size);
}

static void descriptors(void) {
    char buf[64] = "";
    struct stat s, t;
    int n;
    umask(027);
    int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0666);
    SAY("made %d", fd >= 0);
    TRY(open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
    TRY(write(fd, "0123456789", 10));
    TRY(lseek(fd, 2, SEEK_SET));
    TRY(read(fd, buf, 3));
    SAY("%s", buf);
    TRY(pwrite(fd, "AB", 2, 8));
    TRY(pwrite(fd, "x", 1, -1));
    TRY(pread(fd, buf, 4, 6));
    SAY("%.4s", buf);
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(lseek(fd, 100, SEEK_END));
    TRY(lseek(fd, 0, SEEK_HOLE));
    TRY(lseek(fd, 0, SEEK_DATA));
    TRY(lseek(fd, -1, SEEK_SET));
    TRY(lseek(fd, 10, SEEK_SET));
    struct iovec v[3] = {{"one", 3}, {"", 0}, {"two", 3}};
    TRY(writev(fd, v, 3));
    TRY(pwritev(fd, v, 3, 20));
    char a[4] = "", b[8] = "";
    struct iovec r[2] = {{a, 3}, {b, 7}};
    TRY(preadv(fd, r, 2, 10));
    SAY("%.3s %.7s", a, b);
    TRY(fstat(fd, &s));
    facts("f", &s);
    TRY(stat("f", &t));
    SAY("the same: %d", s.st_ino == t.st_ino && s.st_dev == t.st_dev);
    TRY(ioctl(fd, FIONREAD, &n));
    SAY("%d to read", n);
    TRY(ioctl(fd, TIOCGWINSZ, buf));
    TRY(isatty(fd));
    TRY(ftruncate(fd, 12));
    TRY(ftruncate(fd, -1));
    TRY(fallocate(fd, 0, 0, 15));
    content("f");
    TRY(fsync(fd));
    TRY(fdatasync(fd));
    TRY(fchmod(fd, 0604));
    TRY(fstat(fd, &s));
    facts("f", &s);
    lseek(fd, 0, SEEK_SET);
    TRY(write(fd, wrong, 5));
    TRY(read(fd, wrong, 5));
    TRY(fcntl(fd, F_GETFL) & ~0100000);
    TRY(fcntl(fd, F_GETFD));
    /* An offset is shared by copies and children, not by another open. */
    int copy = dup(fd), other = open("f", O_WRONLY | O_APPEND | O_CLOEXEC);
    TRY(lseek(fd, 3, SEEK_SET));
    TRY(lseek(copy, 0, SEEK_CUR));
    TRY(lseek(other, 0, SEEK_CUR));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        n = (int)read(copy, buf, 2);
        write(other, "child", 5);
        _exit(n);
    }
    waitpid(pid, &n, 0);
    SAY("the child read %d", WEXITSTATUS(n));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(lseek(other, 0, SEEK_CUR));
    TRY(write(other, "+", 1));
    TRY(read(other, buf, 1));
    TRY(fcntl(other, F_GETFD));
    close(copy);
    TRY(write(copy, "x", 1));
    fcntl(fd, F_SETFD, 0);
    lseek(fd, 0, SEEK_SET);
    char line[64];
    snprintf(line, sizeof line, "cat <&%d; echo; echo >&%d 2>/dev/null || echo closed", fd, other);
    fflush(stdout);
    TRY(system(line));
    TRY(fcntl(fd, F_SETFL, O_APPEND));
    TRY((fcntl(fd, F_GETFL) & O_APPEND) != 0);
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(write(fd, "end", 3));
    TRY(fcntl(fd, F_SETFL, 0));
    TRY(pwrite(fd, "S", 1, 0));
    content("f");
    int only = open("f", O_RDONLY);
    TRY(write(only, "x", 1));
    TRY(ftruncate(only, 1));
    struct timespec when[2] = {{1000000000, 5}, {1000000001, 7}};
    TRY(futimens(fd, when));
    TRY(fstat(only, &s));
    SAY("%ld.%09ld %ld.%09ld", s.st_atim.tv_sec, s.st_atim.tv_nsec, s.st_mtim.tv_sec,
        s.st_mtim.tv_nsec);
    /* Readiness of a file. */
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    TRY(poll(&p, 1, 0));
    SAY("%x", p.revents);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    TRY(select(fd + 1, &set, NULL, NULL, NULL));
    int e = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    TRY(epoll_ctl(e, EPOLL_CTL_ADD, fd, &event));
    /* It lives on without a name. */
    TRY(unlink("f"));
    TRY(fstat(fd, &s));
    facts("f", &s);
    TRY(pread(fd, buf, 3, 0));
    close(fd);
    close(other);
    close(only);
    TRY(fstat(fd, &s));
    for (int i = 0; i < 100; i++) {
        int each = open("many", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (each < 0 || write(each, "m", 1) != 1 || close(each)) {
            SAY("open %d: %s", i, strerrorname_np(errno));
            break;
        }
    }
    content("many");
    static char big[700000];
    memset(big, 'b', sizeof big);
    fd = open("big", O_RDWR | O_CREAT, 0600);
    TRY(write(fd, big, sizeof big));
    TRY(lseek(fd, 0, SEEK_END));
    TRY(pwrite(fd, big, sizeof big, 5));
    TRY(fstat(fd, &s));
    facts("big", &s);
    close(fd);
    fd = open(".", O_RDWR | O_TMPFILE, 0600);
    TRY(write(fd, "unnamed", 7));
    TRY(fstat(fd, &s));
    facts("unnamed", &s);
    close(fd);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return alphasort(a, b); }

static void names(void) {
    struct stat s;
    struct statx x;
    struct statfs fs;
    char buf[64] = "";
    TRY(mkdir("d", 0777));
    TRY(mkdir("d", 0777));
    TRY(stat("d", &s));
    SAY("mode %o", s.st_mode);
    int d = open("d", O_RDONLY | O_DIRECTORY);
    SAY("opened %d", d >= 0);
    int fd = openat(d, "in", O_WRONLY | O_CREAT, 0640);
    TRY(write(fd, "inside", 6));
    close(fd);
    TRY(fstatat(d, "in", &s, 0));
    facts("in", &s);
    TRY(faccessat(d, "in", R_OK, 0));
    TRY(access("d/nobody", F_OK));
    TRY(access("d/in", 99));
    TRY(renameat(d, "in", AT_FDCWD, "out"));
    content("out");
    TRY(rename("nobody", "x"));
    TRY(link("out", "d/again"));
    TRY(stat("out", &s));
    facts("out", &s);
    TRY(symlink("out", "link"));
    memset(buf, 0, sizeof buf);
    TRY(readlink("link", buf, 2));
    TRY(readlink("link", buf, sizeof buf));
    TRY(readlink("out", buf, sizeof buf));
    SAY("%s", buf);
    TRY(lstat("link", &s));
    SAY("%d", S_ISLNK(s.st_mode));
    content("link");
    TRY(open("link", O_RDONLY | O_NOFOLLOW));
    TRY(open("out", O_RDONLY | O_DIRECTORY));
    TRY(open("out/x", O_RDONLY));
    TRY(open("d", O_WRONLY));
    TRY(open("nobody/x", O_WRONLY | O_CREAT, 0600));
    TRY(open("", O_RDONLY));
    TRY(chmod("link", 0600));
    TRY(truncate("link", 3));
    TRY(statx(AT_FDCWD, "out", 0, STATX_BASIC_STATS, &x));
    SAY("%o %d %lld", x.stx_mode, x.stx_nlink, (long long)x.stx_size);
    TRY(statx(d, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
    SAY("%o", x.stx_mode);
    TRY(statfs("out", &fs));
    SAY("%ld %ld", (long)fs.f_bsize, (long)fs.f_namelen);
    struct timespec when[2] = {{0, UTIME_OMIT}, {5, 6}};
    TRY(utimensat(AT_FDCWD, "link", when, AT_SYMLINK_NOFOLLOW));
    TRY(utimensat(d, "again", when, 0));
    TRY(stat("out", &s));
    SAY("%ld.%ld", s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    TRY(mkfifo("fifo", 0600));
    TRY(lstat("fifo", &s));
    SAY("%d", S_ISFIFO(s.st_mode));
    TRY(rmdir("d"));
    TRY(unlink("d"));
    TRY(unlinkat(d, "nobody", 0));
    for (int i = 0; i < 300; i++) {
        snprintf(buf, sizeof buf, "d/%03d", i);
        close(open(buf, O_WRONLY | O_CREAT, 0600));
    }
    struct dirent **list;
    int n = scandir("d", &list, NULL, by_name);
    SAY("%d entries: %s %s %s ... %s", n, list[0]->d_name, list[1]->d_name, list[2]->d_name,
        list[n - 1]->d_name);
    DIR *dir = fdopendir(d);
    for (int i = 0; i < 5; i++)
        readdir(dir);
    long here = telldir(dir);
    strcpy(buf, readdir(dir)->d_name);
    readdir(dir);
    seekdir(dir, here);
    SAY("found again: %d", strcmp(buf, readdir(dir)->d_name) == 0);
    rewinddir(dir);
    for (n = 0; readdir(dir); n++)
        ;
    SAY("%d after rewinding", n);
    /* Being there. */
    int top = open(".", O_RDONLY | O_DIRECTORY);
    TRY(fchdir(dirfd(dir)));
    TRY(access("005", F_OK));
    SAY("%s", strrchr(getcwd(buf, sizeof buf) ? buf : "/?", '/'));
    TRY(access("../out", F_OK));
    TRY(fchdir(top));
    TRY(access("out", F_OK));
    close(top);
    closedir(dir);
    SAY("%s", strrchr(realpath("d/../link", NULL), '/'));
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    TRY(chdir(argv[1]));
    descriptors();
    names();
    return 0;
}
