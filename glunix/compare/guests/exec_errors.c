/* guest: exec's errors, and the program goes on after each of them
 * area: exec
 * source: execve(2)
 * calls: execve, chmod, openat
 * broken-by: execve:error=EPERM:when=2+
 */
#include "check.h"

static void put(const char *name, const char *text, int mode) {
    int fd = MUST(open(name, O_CREAT | O_WRONLY | O_TRUNC, 0700));
    QUIET(strlen(text), write(fd, text, strlen(text)));
    close(fd);
    MUST(chmod(name, mode));
}
static int run(const char *name) {
    char *argv[] = {"name", NULL}, *env[] = {NULL};
    return execve(name, argv, env);
}

int main(void) {
    char *deep[70002];
    ERR(ENOENT, run("missing"));
    ERR(ENOENT, run(""));
    put("plain", "text", 0600);
    ERR(EACCES, run("plain"));
    ERR(EACCES, run("."));
    ERR(ENOTDIR, run("plain/x"));
    put("text", "no magic", 0700);
    ERR(ENOEXEC, run("text"));
    put("empty", "", 0700);
    ERR(ENOEXEC, run("empty"));
    put("script", "#!/nowhere/interpreter\n", 0700);
    ERR(ENOENT, run("script"));
    put("bad", "#!\n", 0700);
    ERR(ENOEXEC, run("bad"));
    put("elf", "\177ELF\2\1\1", 0700);
    ERR(ENOEXEC, run("elf"));
    int fd = MUST(open("text", O_WRONLY));
    ERR(ETXTBSY, run("text"));
    close(fd);
    MUST(symlink("loop", "loop"));
    ERR(ELOOP, run("loop"));
    static char big[140000];
    memset(big, 'x', sizeof big - 1);
    char *too_long[] = {"x", big, NULL};
    ERR(E2BIG, execve("/bin/true", too_long, NULL));
    for (int i = 0; i < 70000; i++)
        deep[i] = big + sizeof big - 100;
    deep[70000] = NULL;
    ERR(E2BIG, execve("/bin/true", deep, NULL));
    ERR(EFAULT, execve((void *)-4096L, too_long, NULL));
    OK();
}
