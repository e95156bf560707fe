/* guest: inotify tells of a directory's changes in order, and is readable when it has some
 * area: files
 * source: inotify(7)
 * calls: inotify_init1, inotify_add_watch, inotify_rm_watch, read, poll, rename
 * broken-by: inotify_rm_watch:retval=0
 */
#include "check.h"
#include <sys/inotify.h>

static char told[400];

/* What one read gives, as "mask name; " for each event. */
static long tell(int fd) {
    char buf[4096] __attribute__((aligned(8)));
    long n = MUST(read(fd, buf, sizeof buf)), length = 0;
    for (char *p = buf; p < buf + n;) {
        struct inotify_event *e = (void *)p;
        length += sprintf(told + length, "%x %s; ", e->mask, e->len ? e->name : "-");
        p += sizeof *e + e->len;
    }
    return length;
}

int main(void) {
    MUST(mkdir("d", 0700));
    int fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    int wanted = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE | IN_DELETE;
    int watch = inotify_add_watch(fd, "d", wanted);
    CHECK(1, watch);
    char byte;
    ERR(EAGAIN, read(fd, &byte, 1));
    CHECK(0, waits_for(fd, POLLIN, 0));
    int f = MUST(open("d/a", O_CREAT | O_WRONLY, 0600));
    QUIET(1, write(f, "x", 1));
    close(f);
    MUST(rename("d/a", "d/b"));
    MUST(unlink("d/b"));
    CHECK(1, waits_for(fd, POLLIN, 1000));
    ERR(EINVAL, read(fd, &byte, 1));
    TEXT("100 a; 2 a; 8 a; 40 a; 80 b; 200 b; ", told, tell(fd));
    MUST(mkdir("d/sub", 0700));
    TEXT("40000100 sub; ", told, tell(fd));
    CHECK(0, inotify_rm_watch(fd, watch));
    TEXT("8000 -; ", told, tell(fd));
    ERR(EINVAL, inotify_rm_watch(fd, watch));
    ERR(ENOENT, inotify_add_watch(fd, "missing", IN_CREATE));
    OK();
}
