/* A memfd: one file by descriptor and by two mappings, its size and its hole. */
#include "guest.h"
static void guest(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	check(ftruncate(fd, 1 << 20) == 0);
	char *one = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *two = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 8192);
	strcpy(one + 8192, "in memory");
	barrier();
	check(strcmp(two, "in memory") == 0);
	strcpy(one + 8192, "changed");
	char back[16];
	check(pread(fd, back, 8, 8192) == 8 && strcmp(back, "changed") == 0);
	check(strcmp(two, "changed") == 0);
	struct stat st;
	check(fstat(fd, &st) == 0 && st.st_size == 1 << 20);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC);
}
