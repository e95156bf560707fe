/* guest: posix_spawn with file actions, groups, signal defaults and masks; errors come back
 * area: exec
 * source: posix_spawn(3)
 * calls: clone3|clone|vfork, execve, dup2, setpgid, wait4
 * broken-by: dup2:error=EBADF
 */
#include "check.h"
#include <spawn.h>

extern char **environ;

int main(void) {
    pid_t pid;
    char buf[128] = "";
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t set;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 5, "out", O_CREAT | O_WRONLY, 0600);
    posix_spawn_file_actions_adddup2(&actions, 5, 1);
    posix_spawn_file_actions_addclose(&actions, 5);
    char *echo[] = {"sh", "-c", "echo spawned; kill -INT $$; exit 6", NULL};
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigaddset(&set, SIGINT);
    signal(SIGINT, SIG_IGN);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    CHECK(0, posix_spawn(&pid, "/bin/sh", &actions, &attributes, echo, environ));
    CHECK(SIGINT, status_of(pid));
    int fd = MUST(open("out", O_RDONLY));
    CHECK(8, read(fd, buf, sizeof buf));
    char *ignoring[] = {"sh", "-c", "kill -INT $$; exit 6", NULL};
    CHECK(0, posix_spawn(&pid, "/bin/sh", NULL, NULL, ignoring, environ));
    CHECK(6 << 8, status_of(pid));
    CHECK(ENOENT, posix_spawn(&pid, "/nowhere", NULL, NULL, echo, environ));
    CHECK(0, posix_spawnp(&pid, "true", NULL, NULL, echo, environ));
    JOIN(pid);
    ERR(ECHILD, waitpid(-1, NULL, 0));
    CHECK(3 << 8, system("exit 3"));
    FILE *p = popen("cat >copy; exit 9", "w");
    HOLDS(p != NULL && fputs("through a pipe", p) >= 0);
    CHECK(9 << 8, pclose(p));
    CHECK(14, read(MUST(open("copy", O_RDONLY)), buf, sizeof buf));
    OK();
}
