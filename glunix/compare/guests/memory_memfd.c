/* guest: a memfd is a file without a name: it grows, is mapped, passed on and sealed
 * area: memory
 * source: memfd_create(2), fcntl(2) File sealing
 * calls: memfd_create, ftruncate, mmap, fcntl, write
 * broken-by: fcntl:retval=0
 */
#include "check.h"
#include <sys/mman.h>

int main(void) {
    char link[64] = "", name[64];
    int fd = MUST(memfd_create("a name", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    CHECK(0, ftruncate(fd, 4096));
    char *map = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK(5, pwrite(fd, "hello", 5, 10));
    TEXT("hello", map + 10, 5);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    MUST(readlink(name, link, sizeof link - 1));
    HOLDS(strcmp(link, "/memfd:a name (deleted)") == 0);
    CHECK(0, fcntl(fd, F_GET_SEALS));
    ERR(EBUSY, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)); /* there is a writable mapping */
    MUST(munmap(map, 4096));
    CHECK(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
    HOLDS(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_WRITE));
    ERR(EPERM, write(fd, "x", 1));
    ERR(EPERM, ftruncate(fd, 10));
    CHECK(0, ftruncate(fd, 8192));
    CHECK(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    ERR(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    int plain = MUST(memfd_create("", 0));
    ERR(EPERM, fcntl(plain, F_ADD_SEALS, F_SEAL_GROW));
    ERR(EINVAL, memfd_create("x", 0x8000));
    OK();
}
