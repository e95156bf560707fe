/* Seals of a memfd hold, and a private mapping of it keeps its own page. */
#include "guest.h"
static void guest(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
	check(write(fd, "sealed bytes", 12) == 12);
	check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	char *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	own[0] = 'S';
	barrier();
	check(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	check(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
	check(memcmp(own, "Sealed bytes", 12) == 0);
	char back[12];
	check(pread(fd, back, 12, 0) == 12 && back[0] == 's');
}
