/* guest: arguments and environment pass through exec byte for byte, and scripts get theirs
 * area: exec
 * source: execve(2) Interpreter scripts
 * calls: execve, wait4
 * also: static
 * broken-by: wait4:error=ECHILD
 */
#include "check.h"

extern char **environ;

static int start(const char *program, char **argv, char **env) {
    pid_t pid = MUST(fork());
    if (pid == 0) {
        execve(program, argv, env);
        _exit(99);
    }
    return status_of(pid) >> 8;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[0], "odd") == 0) {
        QUIET(5, argc);
        QUIET(0, strcmp(argv[1], "") | strcmp(argv[2], "two words") | strcmp(argv[3], "\1\377\n"));
        QUIET(0, strcmp(argv[4], "--x=*"));
        QUIET(0, strcmp(environ[0], "A=") | strcmp(environ[1], "no equals"));
        QUIET(0, strcmp(environ[2], "A=2"));
        QUIET(0, (long)environ[3]);
        return 33;
    }
    char *odd[] = {"odd", "", "two words", "\1\377\n", "--x=*", NULL};
    char *env[] = {"A=", "no equals", "A=2", NULL};
    CHECK(33, start("/proc/self/exe", odd, env));
    int fd = MUST(open("script", O_CREAT | O_WRONLY, 0700));
    dprintf(fd, "#!/bin/sh -f\necho \"$0|$1|$2|$#|$-\"; exit 34\n");
    close(fd);
    char *args[] = {"ignored", "first", "*", NULL};
    CHECK(34, start("./script", args, environ));
    char *many[2001];
    for (int i = 0; i < 2000; i++)
        many[i] = "argument";
    many[2000] = NULL;
    CHECK(0, start("/bin/true", many, environ));
    OK();
}
