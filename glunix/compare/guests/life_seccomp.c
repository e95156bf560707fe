/* guest: no filter is seen before the program installs one; its own one holds, in children too
 * area: identity
 * source: prctl(2) PR_GET_SECCOMP, seccomp(2)
 * calls: prctl
 * broken-by: prctl:retval=0:when=4+
 */
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

int main(void) {
    CHECK(0, prctl(PR_GET_SECCOMP));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, prctl(PR_GET_SECCOMP));
        _exit(0);
    }
    JOIN(pid);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    CHECK(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    CHECK(2, prctl(PR_GET_SECCOMP));
    ERR(EXDEV, getpgid(0));
    pid = MUST(fork());
    if (pid == 0) {
        CHECK(2, prctl(PR_GET_SECCOMP));
        ERR(EXDEV, getpgid(0));
        _exit(0);
    }
    JOIN(pid);
    ERR(EINVAL, prctl(PR_SET_SECCOMP, 99, 0));
    OK();
}
