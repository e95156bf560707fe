/* Reads stdin, sorts its lines, prints how many there are, their digest, and where it ran. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(void) {
    size_t count = 0, room = 0, size = 0;
    char **lines = NULL, *line = NULL;
    while (getline(&line, &size, stdin) > 0) {
        if (count == room)
            lines = realloc(lines, (room = room * 2 + 16) * sizeof *lines);
        lines[count++] = strdup(line);
    }
    qsort(lines, count, sizeof *lines, compare);
    uint64_t digest = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        for (char *p = lines[i]; *p; p++)
            digest = (digest ^ (unsigned char)*p) * 1099511628211u;
    struct utsname name;
    char host[256];
    if (uname(&name) < 0 || gethostname(host, sizeof host) < 0 || strcmp(name.nodename, host) != 0)
        return 2;
    printf("%zu lines, digest %016llx\n", count, (unsigned long long)digest);
    fflush(stdout);
    int p[2], status;
    if (pipe(p) < 0)
        return 3;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[1], 1);
        close(p[0]);
        execlp("sh", "sh", "-c", "echo from a child; exit 5", (char *)NULL);
        _exit(errno);
    }
    close(p[1]);
    char text[64];
    ssize_t n = read(p[0], text, sizeof text);
    if (n < 0 || waitpid(pid, &status, 0) != pid)
        return 4;
    printf("%.*sstatus %d\n", (int)n, text, WEXITSTATUS(status));
    return 6;
}
