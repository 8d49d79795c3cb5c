/* Starts the program once more where OpenBLAS has taken a kernel that falls short of the processor: it goes
 * by model numbers, and one that it does not know gets the slowest. It reads OPENBLAS_CORETYPE only when a
 * process starts. What the user has set is never overridden. */
#ifndef OLICA_LA_BLAS_START_H
#define OLICA_LA_BLAS_START_H

#include "olica/par/context.h"

/* OLICA_BLAS_KERNEL=keep in the environment: the kernel that OpenBLAS takes stays. */
#define OLICA_BLAS_KEEP "OLICA_BLAS_KERNEL"

/* Before MPI starts, and before anything is open: does not return where the program starts again, with the
 * same arguments, files and process id. Else returns 0, or the errno of what kept it from that. Not
 * collective. */
int olica_blas_start(char **argv);

/* Who has chosen the kernel in use: "library", "user" (OPENBLAS_CORETYPE) or "program". Not collective. */
const char *olica_blas_start_chooser(void);

/* Says in the log that the program has started again; warns of a kernel that falls short of the processor all
 * the same (`refused`: what olica_blas_start has returned), and of ranks whose kernels differ, since the last
 * bits then depend on which rank does what. Collective. */
olica_status olica_blas_start_tell(olica_context *context, int refused);

#endif
