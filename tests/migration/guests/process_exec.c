/* After the move: fork, exec, a shell's pipeline. */
#include "guest.h"
static void guest(void)
{
	check(system("true") == 0);
	barrier();
	check(WEXITSTATUS(system("exit 3")) == 3);
	FILE *f = popen("printf 'b\\na\\n' | sort | head -n 1", "r");
	char line[16] = "";
	check(f && fgets(line, sizeof line, f) && strcmp(line, "a\n") == 0 && pclose(f) == 0);
}
