/* Restarts the program if OpenBLAS chose a kernel below the processor's level: OpenBLAS goes by model
 * numbers, gives an unknown one its slowest kernel, and reads OPENBLAS_CORETYPE only when a process starts. A
 * user's own setting is never overridden. */
#ifndef OLICA_LA_BLAS_START_H
#define OLICA_LA_BLAS_START_H

#include "par/context.h"

/* OLICA_BLAS_KERNEL=keep in the environment keeps the kernel that OpenBLAS chose. */
#define OLICA_BLAS_KEEP "OLICA_BLAS_KERNEL"

/* Replaces the process by a new start of the program if that gives a better kernel, with the same arguments,
 * files and process id; does not return then. Otherwise returns 0, or the errno of a failed restart. Call it
 * before MPI starts and before anything is opened. Not collective. */
int olica_blas_start(char **argv);

/* Returns who chose the kernel in use: "library", "user" (OPENBLAS_CORETYPE) or "program". Not collective. */
const char *olica_blas_start_chooser(void);

/* Logs that the program was restarted. Warns if the kernel is still below the processor's level (`refused`:
 * the return value of olica_blas_start), and if ranks have different kernels, since the last bits of a result
 * then depend on which rank computes it. Collective. */
olica_status olica_blas_start_tell(olica_context *context, int refused);

#endif
