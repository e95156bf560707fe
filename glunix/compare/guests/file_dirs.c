/* guest: directories: making, listing, removing, and the working directory
 * area: files
 * source: mkdir(2), getdents64(2), rmdir(2), chdir(2), getcwd(3)
 * calls: mkdir, getdents64, rmdir, chdir, fchdir, getcwd, unlinkat
 * broken-by: rmdir:retval=0
 * broken-by: chdir:retval=0
 */
#include "check.h"
#include <dirent.h>

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

int main(void) {
    char before[4096], inside[4096];
    MUST(getcwd(before, sizeof before));
    int home = MUST(open(".", O_RDONLY | O_DIRECTORY));
    CHECK(0, mkdir("d", 0755));
    ERR(EEXIST, mkdir("d", 0755));
    ERR(ENOENT, mkdir("x/y", 0755));
    const char *names[] = {"d/one", "d/two", "d/.hidden"};
    for (int i = 0; i < 3; i++)
        close(MUST(open(names[i], O_CREAT | O_WRONLY, 0600)));
    MUST(mkdir("d/sub", 0700));
    struct dirent **list;
    int n = scandir("d", &list, NULL, by_name);
    CHECK(6, n);
    for (int i = 0; i < n; i++)
        SAY("%s %s", list[i]->d_name, list[i]->d_type == DT_DIR ? "directory" : "file");
    ERR(ENOTEMPTY, rmdir("d"));
    ERR(ENOTDIR, rmdir("d/one"));
    CHECK(0, chdir("d"));
    MUST(getcwd(inside, sizeof inside));
    size_t length = strlen(before);
    HOLDS(strncmp(before, inside, length) == 0 && strcmp(inside + length, "/d") == 0);
    CHECK(0, access("two", F_OK));
    CHECK(0, fchdir(home));
    CHECK(0, access("d/two", F_OK));
    ERR(ENOTDIR, chdir("d/one"));
    ERR(ENOENT, chdir("nowhere"));
    int d = MUST(open("d", O_RDONLY));
    CHECK(0, unlinkat(d, "one", 0) + unlinkat(d, "two", 0) + unlinkat(d, ".hidden", 0));
    ERR(EISDIR, unlinkat(d, "sub", 0));
    CHECK(0, unlinkat(d, "sub", AT_REMOVEDIR));
    CHECK(0, rmdir("d"));
    ERR(ENOENT, chdir("d"));
    ERR(ERANGE, syscall(SYS_getcwd, inside, 2));
    OK();
}
