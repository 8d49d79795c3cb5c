/* Finds from the environment how this process was started. A launcher that MPI does not recognize starts N
 * programs of one rank each, which all do the same work and write the same files; this module detects that.
 * Not collective; no MPI. */
#ifndef OLICA_PAR_LAUNCH_H
#define OLICA_PAR_LAUNCH_H

#include <stdbool.h>

#include "base/env.h"

/* The variable that allows N programs of one rank each: a farm of jobs inside one step. */
#define OLICA_ALONE "OLICA_ALONE"

/* The launcher of this process, its number of tasks, and this process's number. */
typedef struct olica_launch {
  const char *launcher; /* NULL: none found */
  const char *variable; /* the variable it was found by */
  long tasks, rank;     /* `tasks` is a lower bound if the launcher only numbers them */
} olica_launch;

/* Reads the environment. Call it before MPI starts, since MPI marks a single process as one of an mpirun. An
 * allocation of several tasks is not a launcher (a batch script without srun, a login shell in it), nor is
 * the launcher around an mpirun -n 1. */
olica_launch olica_launch_find(void);

/* Checks the number of ranks `size` of MPI: if it is 1 although the launcher started several tasks, returns
 * OLICA_ERR_CONFIG with the launcher, its variable and the right way to start the program. */
olica_status olica_launch_check(olica_env *env, const olica_launch *launch, int size);

/* Checks, before MPI starts, the directory for Open MPI's own files. A process without launcher needs it, and
 * Open MPI's own message gives no reason. OLICA_ERR_IO if it exists and cannot be written to. */
olica_status olica_launch_check_session(olica_env *env, const olica_launch *launch);

#endif
