/* How this process was started, as its environment tells: by a launcher that MPI has not heard of, each of N
 * programs believes that it is alone, and all of them do the same work and write the same files. Not
 * collective, no MPI. */
#ifndef OLICA_PAR_LAUNCH_H
#define OLICA_PAR_LAUNCH_H

#include <stdbool.h>

#include "olica/base/env.h"

/* The variable that says "yes, N programs of one rank each": a farm of jobs inside one step. */
#define OLICA_ALONE "OLICA_ALONE"

/* The launcher of this process, its tasks, and this one's number among them. */
typedef struct olica_launch {
  const char *launcher; /* NULL: none tells */
  const char *variable; /* that says so */
  long tasks, rank;     /* `tasks` at least, where the launcher only numbers them */
} olica_launch;

/* What the environment says. To be asked before MPI starts, which marks a process that is alone as one of an
 * mpirun. An allocation of several tasks is no launcher (a batch script without srun, a login shell in it),
 * nor is the launcher around an mpirun -n 1. */
olica_launch olica_launch_find(void);

/* MPI has started with `size` ranks. If that is one, and the launcher has started several:
 * OLICA_ERR_CONFIG with the launcher, its variable and how to start the program instead. */
olica_status olica_launch_check(olica_env *env, const olica_launch *launch, int size);

/* Before MPI starts: a process without launcher needs a directory for Open MPI's own files, whose message
 * names no reason. OLICA_ERR_IO if it is there and cannot be written to. */
olica_status olica_launch_check_session(olica_env *env, const olica_launch *launch);

#endif
