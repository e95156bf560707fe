/* guest: POSIX and System V shared memory, semaphores and message queues between processes
 * area: memory
 * source: shm_overview(7), sysvipc(7)
 * calls: shmget, shmat, shmctl, semget, semop|semtimedop, msgget, msgsnd, msgrcv
 * broken-by: msgrcv:retval=3
 */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

struct message {
    long type;
    char text[32];
};

int main(void) {
    int shm = MUST(shmget(IPC_PRIVATE, 4096, 0600)), sem = MUST(semget(IPC_PRIVATE, 1, 0600));
    int queue = MUST(msgget(IPC_PRIVATE, 0600));
    char *memory = MUST(shmat(shm, NULL, 0));
    CHECK(0, shmctl(shm, IPC_RMID, NULL)); /* goes when the last one detaches */
    struct message m;
    pid_t pid = MUST(fork());
    if (pid == 0) {
        strcpy(memory, "written by the child");
        struct sembuf up = {0, 2, 0};
        MUST(semop(sem, &up, 1));
        m = (struct message){7, "seven"};
        MUST(msgsnd(queue, &m, 6, 0));
        m = (struct message){3, "three"};
        MUST(msgsnd(queue, &m, 6, 0));
        _exit(0);
    }
    struct sembuf down = {0, -2, 0};
    CHECK(0, semop(sem, &down, 1));
    TEXT("written by the child", memory, strlen(memory));
    CHECK(0, semctl(sem, 0, GETVAL));
    down.sem_flg = IPC_NOWAIT;
    ERR(EAGAIN, semop(sem, &down, 1));
    JOIN(pid);
    CHECK(6, msgrcv(queue, &m, sizeof m.text, 3, 0));
    TEXT("three", m.text, strlen(m.text));
    CHECK(6, msgrcv(queue, &m, sizeof m.text, 0, 0));
    CHECK(7, m.type);
    ERR(ENOMSG, msgrcv(queue, &m, sizeof m.text, 0, IPC_NOWAIT));
    CHECK(0, shmdt(memory));
    ERR(EINVAL, shmdt(memory));
    CHECK(0, semctl(sem, 0, IPC_RMID));
    CHECK(0, msgctl(queue, IPC_RMID, NULL));
    ERR(EINVAL, semctl(sem, 0, GETVAL));
    OK();
}
