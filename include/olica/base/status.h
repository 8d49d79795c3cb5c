/* Status codes: what every function that can fail returns, and what the process exits with.
 *
 * The numbers are the exit codes users see. A function that fails has put one message into its environment
 * (olica_error_set); callers hand the code up unchanged with OLICA_TRY, adding context where it helps. */
#ifndef OLICA_BASE_STATUS_H
#define OLICA_BASE_STATUS_H

typedef enum olica_status {
  OLICA_OK = 0,
  OLICA_ERR_CONFIG = 2,    /* usage or configuration: the user asks for what cannot be */
  OLICA_ERR_INPUT = 3,     /* a file that we read is missing, malformed, inconsistent or hostile */
  OLICA_ERR_IO = 4,        /* the system refuses: permission, disk full, read/write/rename error */
  OLICA_ERR_NUMERIC = 5,   /* a decomposition does not converge or fails its residual check */
  OLICA_ERR_MEMORY = 6,    /* an allocation fails or the memory limit cannot be met */
  OLICA_ERR_INTERNAL = 70, /* our own bug */
  OLICA_STOPPED = 75       /* stopped early on a signal or walltime; a restart goes on */
} olica_status;

/* One word for the log and the report: "ok", "config", "input", "io", ... Not collective, never fails. */
const char *olica_status_name(olica_status status);

/* Hands a failure up to the caller. */
#define OLICA_TRY(call)                                                                                      \
  do {                                                                                                       \
    olica_status olica_try_ = (call);                                                                        \
    if (olica_try_ != OLICA_OK) return olica_try_;                                                           \
  } while (0)

#endif
