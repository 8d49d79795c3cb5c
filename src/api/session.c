/* Sessions: from the process's start to its context.
 *
 *     olica_create ......... environment, timer "start"
 *     olica_start .......... command line, malloc, BLAS, what MPI reads when it starts
 *     (MPI_Init_thread)
 *     olica_attach ......... context; ranks agree that they belong together */
#include "session.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/signals.h"
#include "config/usage.h"
#include "io/hdf5.h"
#include "la/blas_start.h"
#include "par/comm.h"
#include "plot/plot.h"

const char *olica_version(void) {
  return olica_usage_release();
}

olica *olica_create(void) {
  olica_env *env = olica_env_create();
  olica *o = calloc(1, sizeof *o);
  if (env && o) {
    o->env = env;
    o->launch = olica_launch_find();
    olica_timer_start(&env->timers, "start"); /* MPI, options: until the pipeline runs */
    return o;
  }
  if (env) olica_env_destroy(env);
  free(o);
  return NULL;
}

int olica_destroy(olica *o) {
  if (!o) return OLICA_OK;
  olica_status status = o->status;
  olica_context_destroy(o->context);
  olica_env_destroy(o->env);
  free(o);
  return (int)status;
}

void olica_quiet(olica *o, bool quiet) {
  o->env->log.quiet = quiet;
}

const char *olica_message(const olica *o) {
  return o->message;
}

int olica_session_end(olica *o, const olica_env *env, olica_status status) {
  snprintf(o->message, sizeof o->message, "%s", status == OLICA_OK ? "" : env->error.text);
  return (int)status;
}

/* ---- before MPI ---- */

/* Ranks that outnumber the cores must yield instead of spinning; MPI reads this when it starts. */
static void yield_when_crowded(void) {
  const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (local && atol(local) > sysconf(_SC_NPROCESSORS_ONLN)) setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

/* Undoes what a library has set before: a dependency of PETSc (SuperLU_DIST) takes all blocks from the heap
 * and gives nothing back. Large blocks are to return to the system. */
static void restore_malloc(void) {
  mallopt(M_MMAP_MAX, 1 << 16);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

/* Keeps MPI and its libraries from getting the numbers of standard streams that somebody has closed: what is
 * printed would end up in their pipes. */
static void hold_streams(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) < 0) return;
}

olica_status olica_session_flush(olica_env *env) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO,
                         "standard output: cannot write to it, expected room for the answer");
}

/* Ends a session that needs no MPI, or cannot start it. */
static bool end_early(olica *o, olica_status status) {
  if (status == OLICA_OK) status = olica_session_flush(o->env);
  o->env->log.speaks = true;
  if (status != OLICA_OK) olica_log_failure(o->env);
  o->status = status;
  olica_session_end(o, o->env, status);
  return false;
}

/* Commands whose answer, or its price, depends on the kernels of BLAS. */
static bool computes(const olica *o) {
  if (o->argc == 0) return o->argv != NULL;
  return o->arguments.command == OLICA_COMMAND_RUN || o->arguments.command == OLICA_COMMAND_CHECK;
}

/* One process draws: before MPI starts, since gnuplot is a process of its own. Under mpirun it is rank 0. */
static olica_status plot(olica_env *env, const olica_arguments *arguments) {
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  env->log.speaks = true;
  env->log.quiet = arguments->quiet;
  if (rank && atol(rank) > 0) return OLICA_OK;
  return olica_plot_run(env, arguments->plot, arguments->words, arguments->word);
}

bool olica_start(olica *o, int argc, char **argv) {
  olica_env *env = o->env;
  o->argc = argc;
  o->argv = argv;
  restore_malloc();
  hold_streams();
  if (argc > 0) o->status = olica_arguments_parse(env, argc, argv, &o->arguments);
  if (o->status == OLICA_OK && argc > 0 && olica_usage_answer(o->arguments.command, stdout))
    return end_early(o, OLICA_OK);
  if (o->status == OLICA_OK && argc > 0 && o->arguments.command == OLICA_COMMAND_PLOT)
    return end_early(o, plot(env, &o->arguments));
  if (o->status == OLICA_OK) {
    olica_status status = olica_launch_check_session(env, &o->launch);
    if (status != OLICA_OK) return end_early(o, status);
    o->chooses = computes(o);
    if (o->chooses) o->no_kernel = olica_blas_start(argv);
  }
  signal(SIGXFSZ, SIG_IGN); /* ulimit -f is to be an error of write, not our end */
  if (o->status == OLICA_OK && argc > 0 && o->arguments.command == OLICA_COMMAND_RUN) olica_signals_catch();
  yield_when_crowded();
  olica_hdf5_start();
  return true;
}

/* ---- with MPI ---- */

/* Refuses several programs that each believe to be alone: they would do one job's work. */
static olica_status check_alone(const olica *o) {
  if (o->argc > 0 && o->arguments.command != OLICA_COMMAND_RUN) return OLICA_OK;
  olica_status status = olica_launch_check(o->env, &o->launch, o->context->size);
  if (status != OLICA_OK) o->env->log.speaks = o->launch.rank == 0;
  return status;
}

/* One job may be started by several command lines (mpirun -n 1 ... : -n 1 ...). They must ask for the same.
 */
static olica_status check_alike(const olica *o) {
  uLong crc = crc32_z(0, NULL, 0);
  for (int i = 1; i < o->argc; i++) crc = crc32_z(crc, (const Bytef *)o->argv[i], strlen(o->argv[i]) + 1);
  double range[2] = {(double)crc, -(double)crc};
  olica_comm_max(o->context, o->context->comm, range, 2);
  if (range[0] == -range[1]) return OLICA_OK;
  return olica_error_set(
      o->env, OLICA_ERR_CONFIG,
      "command line: ranks of this job were started with different arguments, expected the "
      "same on all");
}

static olica_status attach(olica *o, MPI_Comm comm) {
  olica_status parsed = o->status;
  OLICA_TRY(olica_context_create(o->env, comm, 0, &o->context));
  OLICA_TRY(olica_comm_agree(o->context, o->context->comm, parsed));
  OLICA_TRY(check_alone(o));
  OLICA_TRY(check_alike(o));
  return o->chooses ? olica_blas_start_tell(o->context, o->no_kernel) : OLICA_OK;
}

int olica_attach(olica *o, MPI_Comm comm) {
  int rank;
  MPI_Comm_rank(comm, &rank);
  o->env->log.speaks = rank == 0;
  if (o->argc > 0) o->env->log.quiet = o->status == OLICA_OK && o->arguments.quiet;
  if (rank == 0) olica_log_open(o->env);
  o->status = attach(o, comm);
  if (o->status != OLICA_OK && o->argc > 0) olica_log_failure(o->env);
  return olica_session_end(o, o->env, o->status);
}

/* ---- a job's own environment ---- */

olica_status olica_place_create(olica *o, olica_context **context) {
  olica_env *env = olica_env_create();
  olica_status status =
      env ? OLICA_OK : olica_error_set(o->env, OLICA_ERR_MEMORY, "no memory for an environment");
  *context = NULL;
  OLICA_AGREE(o->context, status);
  assert(env);
  olica_timer_start(&env->timers, "start"); /* until the pipeline runs */
  env->log.speaks = o->env->log.speaks;
  env->log.quiet = o->env->log.quiet;
  if (env->log.speaks) olica_log_open(env);
  status = olica_context_create(env, o->context->comm, 0, context);
  if (status == OLICA_OK) return OLICA_OK;
  olica_error_set(o->env, status, "%s", env->error.text);
  olica_env_destroy(env);
  return status;
}

int olica_place_destroy(olica *o, olica_context *context, olica_status status) {
  olica_env *env = context ? context->env : NULL;
  int code = olica_session_end(o, env ? env : o->env, status);
  olica_context_destroy(context);
  if (env) olica_env_destroy(env);
  return code;
}
