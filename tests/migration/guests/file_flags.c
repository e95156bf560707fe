/* Flags of files and of descriptors. */
#include "guest.h"
static void guest(void)
{
	int append = open("flags.data", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	int other = open("flags.data", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int high = fcntl(other, F_DUPFD, 200), path = open("flags.data", O_PATH);
	check(write(append, "abc", 3) == 3);
	barrier();
	check(lseek(append, 0, SEEK_SET) == 0 && write(append, "def", 3) == 3);
	char back[7] = "";
	check(read(high, back, 6) == 6 && strcmp(back, "abcdef") == 0);
	check(fcntl(append, F_GETFL) & O_APPEND && (fcntl(append, F_GETFL) & O_ACCMODE) == O_WRONLY);
	check(fcntl(other, F_GETFL) & O_NONBLOCK);
	check(fcntl(other, F_GETFD) == FD_CLOEXEC && fcntl(high, F_GETFD) == 0 && high >= 200);
	check(read(path, back, 1) < 0 && errno == EBADF);
	struct stat st;
	check(fstat(path, &st) == 0 && st.st_size == 6);
}
