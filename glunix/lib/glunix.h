/* libglunix: what a program may ask of its cluster (GLUnix, 1997: Table 2).
 *
 * Every call fails at once, with -1 and a reason in Glib_ErrorString(), when there is no cluster or
 * when this process is of no job. The library makes no thread and handles no signal; a child made by
 * fork() connects anew when it first asks. One thread at a time may call it.
 *
 *     cc $(glunix config --cflags) prog.c $(glunix config --libs)
 */
#ifndef GLUNIX_H
#define GLUNIX_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GLIB_ALL (-1) /* all processes of a job, in place of a VNN */

/* Connect to this node's daemon and learn which process of which job this is. 0, or -1. Every other
 * call does it by itself when needed. */
int Glib_Initialize(void);

/* Network process id of this job; number of this process in it, from 0; how many it has. */
int Glib_GetMyNpid(void);
int Glib_GetMyVNN(void);
int Glib_GetMyParDegree(void);

/* Run argv (ended by NULL, looked up by PATH) as `degree` processes on the least loaded nodes, with
 * this process's environment, directory and standard streams. Returns the new job's NPID. glurun is
 * looked up by PATH. Not a child: wait for it by Glib_Wait. */
int Glib_Spawn(int degree, char *const argv[]);

/* The same beside a running job: one process on the node of each of its processes, same VNNs. */
int Glib_CoSpawn(int npid, char *const argv[]);

/* Send a signal to a process of a job, or to all (GLIB_ALL); 0 only asks. Returns how many. */
int Glib_Signal(int npid, int vnn, int signal);

/* Return 0 when every process of this job has called it. -1 when one of them has ended: then no
 * barrier of this job can be passed any more. GLUNIX_WAIT=block, spin or adaptive (the default). */
int Glib_Barrier(void);

/* Wait until a job is over. Returns its exit status as a shell has it (128 and the signal). */
int Glib_Wait(int npid);

/* "running", "queued", "exited", ... (as glups shows it); and the number of its processes: which nodes they are on, by
 * VNN, one name a line. Both return the parallel degree; text that does not fit is cut. */
int Glib_GetState(int npid, char *state, size_t size);
int Glib_GetNodes(int npid, char *names, size_t size);

/* Why the last call failed, one sentence; never NULL. */
const char *Glib_ErrorString(void);

#ifdef __cplusplus
}
#endif
#endif
