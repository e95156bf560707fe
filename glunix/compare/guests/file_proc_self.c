/* guest: /proc/self tells of this process: descriptors, arguments, program, working directory
 * area: files
 * source: proc(5)
 * calls: readlink, openat, read, getcwd
 * broken-by: readlink:retval=3
 */
#include "check.h"

static long slurp(const char *name, char *buf, size_t size) {
    int fd = MUST(open(name, O_RDONLY));
    long n = MUST(read(fd, buf, size));
    close(fd);
    return n;
}

int main(int argc, char **argv) {
    char here[4096], link[4096], name[64], buf[8192];
    if (argc == 1) {
        execl("/proc/self/exe", "guest", "two words", "", "end", NULL);
        return 1;
    }
    MUST(getcwd(here, sizeof here));
    int fd = MUST(open("some file", O_RDWR | O_CREAT, 0600));
    QUIET(2, write(fd, "ab", 2));
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    long n = MUST(readlink(name, link, sizeof link - 1));
    link[n] = 0;
    size_t length = strlen(here);
    HOLDS(strncmp(link, here, length) == 0 && strcmp(link + length, "/some file") == 0);
    int again = MUST(open(name, O_RDONLY)); /* a new open file, with its own offset */
    CHECK(2, read(again, buf, 2));
    n = MUST(readlink("/proc/self/cwd", link, sizeof link - 1));
    link[n] = 0;
    HOLDS(strcmp(link, here) == 0);
    HOLDS(strcmp(argv[1], "two words") == 0);
    n = slurp("/proc/self/cmdline", buf, sizeof buf);
    CHECK(21, n);
    HOLDS(memcmp(buf, "guest\0two words\0\0end\0", 21) == 0);
    MUST(slurp("/proc/self/stat", buf, sizeof buf));
    CHECK(getpid(), atoi(buf));
    MUST(unlink("some file"));
    n = MUST(readlink(name, link, sizeof link - 1));
    link[n] = 0;
    HOLDS(strcmp(link + length, "/some file (deleted)") == 0);
    OK();
}
