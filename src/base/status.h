/* Status codes: the return value of every function that can fail, and the exit code of the process.
 *
 * The numbers are the exit codes that users see. A function that fails has put one message into its
 * environment (olica_error_set); callers return the code unchanged with OLICA_TRY, adding context where it
 * helps. */
#ifndef OLICA_BASE_STATUS_H
#define OLICA_BASE_STATUS_H

typedef enum olica_status {
  OLICA_OK = 0,
  OLICA_ERR_CONFIG = 2,    /* usage or configuration: the request cannot be met */
  OLICA_ERR_INPUT = 3,     /* an input file is missing, malformed, inconsistent or hostile */
  OLICA_ERR_IO = 4,        /* the system refuses: permission, disk full, read/write/rename error */
  OLICA_ERR_NUMERIC = 5,   /* a decomposition does not converge or fails its residual check */
  OLICA_ERR_MEMORY = 6,    /* an allocation fails or the memory limit cannot be met */
  OLICA_ERR_INTERNAL = 70, /* a bug of this program */
  OLICA_STOPPED = 75       /* stopped early on a signal or at the walltime; a restart resumes */
} olica_status;

/* One word for the log and the report: "ok", "config", "input", "io", ... Not collective, never fails. */
const char *olica_status_name(olica_status status);

/* Returns from the calling function if `call` fails. */
#define OLICA_TRY(call)                                                                                      \
  do {                                                                                                       \
    olica_status olica_try_ = (call);                                                                        \
    if (olica_try_ != OLICA_OK) return olica_try_;                                                           \
  } while (0)

#endif
