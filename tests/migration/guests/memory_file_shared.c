/* A shared mapping of a file: what is written is the file's. */
#include "guest.h"
static void guest(void)
{
	int fd = open("shared.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(ftruncate(fd, 8192) == 0);
	char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	strcpy(m + 4096, "before");
	barrier();
	check(strcmp(m + 4096, "before") == 0);
	strcpy(m + 4096, "after");
	char back[8];
	check(pread(fd, back, 6, 4096) == 6 && strcmp(back, "after") == 0);
}
