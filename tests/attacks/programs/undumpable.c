/* Lets nobody look into itself, as ssh-agent does, and copies its input. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void) {
    char data[100];
    ssize_t got;
    if (prctl(PR_SET_DUMPABLE, 0)) return 3;
    while ((got = read(0, data, sizeof data)) > 0)
        if (write(1, data, got) != got) return 4;
    return got ? 5 : 0;
}
