/* Mappings of a file that has been deleted: shared and private ones, its bytes travel. */
#include "guest.h"
static void guest(void)
{
	int fd = open("gone.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(write(fd, "still here", 11) == 11);
	char *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(unlink("gone.data") == 0);
	own[0] = 'S';
	barrier();
	check(strcmp(shared, "still here") == 0 && strcmp(own, "Still here") == 0);
	shared[0] = 'T';
	char back[16];
	check(pread(fd, back, 11, 0) == 11 && strcmp(back, "Till here") != 0 && back[0] == 'T');
	struct stat st;
	check(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 11);
}
