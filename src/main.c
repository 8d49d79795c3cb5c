/* olica_mpi: start, run, and turn a status into an exit code. */
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
#include "par/launch.h"
#include "par/watch.h"
#include "run/outputs.h"
#include "run/pipeline.h"
#include "run/tokenize.h"

#ifdef __SANITIZE_ADDRESS__
/* MPI and its libraries keep memory to the end of the process, and the sanitizer would list all of it behind
 * every run: ASAN_OPTIONS=detect_leaks=1 has it do so. Ours is looked for by valgrind (make memcheck). */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "detect_leaks=0";
}
#endif

/* Ranks that outnumber the cores must yield instead of spinning; MPI reads this when it starts. */
static void yield_when_crowded(void) {
  const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (local && atol(local) > sysconf(_SC_NPROCESSORS_ONLN)) setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

/* What main's libraries have made of malloc before it: a dependency of PETSc (SuperLU_DIST) takes all from
 * the heap and gives nothing back. Large blocks are to go as they came. */
static void restore_malloc(void) {
  mallopt(M_MMAP_MAX, 1 << 16);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

/* MPI and its libraries must not get the numbers of standard streams that somebody has closed: what is
 * printed would end up in their pipes. */
static void hold_streams(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) < 0) return;
}

/* The answer of a command is what it prints: one that nobody could read is a failure. */
static olica_status flush_answer(olica_env *env) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO,
                         "standard output: cannot write to it, expected room for the answer");
}

static olica_status finish_output(olica_context *context) {
  OLICA_AGREE(context, flush_answer(context->env));
  return OLICA_OK;
}

/* Of what needs no MPI, or could not start it. */
static int end_answer(olica_env *env, olica_status status) {
  if (status == OLICA_OK) status = flush_answer(env);
  env->log.speaks = true;
  if (status != OLICA_OK) olica_log_failure(env);
  olica_env_destroy(env);
  return (int)status;
}

/* All ranks get what rank 0 has; `*bytes` of it, and a NUL behind. */
static olica_status share(olica_context *context, char **text, size_t *bytes) {
  olica_comm_bcast(context, context->comm, bytes, sizeof *bytes, 0);
  OLICA_AGREE(context, *text ? OLICA_OK : OLICA_NEW(context->env, *text, *bytes + 1));
  olica_comm_bcast(context, context->comm, *text, *bytes, 0);
  return OLICA_OK;
}

/* Rank 0: the config, and the variables that its paths name. */
static olica_status load_options(olica_env *env, const olica_arguments *arguments, char **text, size_t *bytes,
                                 char **variables, size_t *variables_bytes) {
  OLICA_TRY(olica_options_load(env, arguments->config, text, bytes));
  return olica_options_variables(env, arguments, *text, variables, variables_bytes);
}

static olica_status read_options(olica_context *context, const olica_arguments *arguments,
                                 olica_options *options) {
  char *text = NULL, *variables = NULL;
  size_t bytes = 0, variables_bytes = 0;
  olica_arguments all = *arguments;
  OLICA_AGREE(context, context->rank == 0 ? load_options(context->env, arguments, &text, &bytes, &variables,
                                                         &variables_bytes)
                                          : OLICA_OK);
  OLICA_TRY(share(context, &text, &bytes));
  OLICA_TRY(share(context, &variables, &variables_bytes));
  all.variables = variables;
  OLICA_AGREE(context, olica_options_read(context->env, &all, text, bytes, options));
  olica_context_set_threads(context, (int)options->compute.threads);
  return OLICA_OK;
}

/* Several that believe to be alone must not do one job's work. Asking is harmless. */
static olica_status check_alone(const olica_context *context, const olica_arguments *arguments,
                                const olica_launch *launch) {
  if (arguments->command != OLICA_COMMAND_RUN) return OLICA_OK;
  olica_status status = olica_launch_check(context->env, launch, context->size);
  if (status != OLICA_OK) context->env->log.speaks = launch->rank == 0;
  return status;
}

/* One job may be started by several command lines (mpirun -n 1 ... : -n 1 ...). They must ask for the same.
 */
static olica_status check_alike(olica_context *context, int argc, char **argv) {
  uLong crc = crc32_z(0, NULL, 0);
  for (int i = 1; i < argc; i++) crc = crc32_z(crc, (const Bytef *)argv[i], strlen(argv[i]) + 1);
  double range[2] = {(double)crc, -(double)crc};
  olica_comm_max(context, context->comm, range, 2);
  if (range[0] == -range[1]) return OLICA_OK;
  return olica_error_set(
      context->env, OLICA_ERR_CONFIG,
      "command line: ranks of this job were started with different arguments, expected the "
      "same on all");
}

/* A run that is refused has a report, once it is known where. */
static olica_status refuse(olica_context *context, const olica_arguments *arguments, olica_options *options,
                           double resident, olica_status status) {
  double unknown = !options->whole;
  if (arguments->command != OLICA_COMMAND_RUN) return status;
  olica_comm_max(context, context->comm, &unknown, 1);
  if (unknown == 0) return olica_pipeline_refuse(context, options, resident, status);
  olica_log_line(context->env, "no report is written: the settings could not be read");
  return status;
}

static olica_status command(olica_context *context, const olica_arguments *arguments, double resident) {
  enum { STALL = 600 }; /* [run] stall's default, while no config says otherwise */
  olica_options options = {0};
  OLICA_AGREE(context, olica_watch_start(context, STALL));
  if (arguments->command == OLICA_COMMAND_VERIFY) return olica_pipeline_verify(context, arguments->file);
  if (arguments->command == OLICA_COMMAND_TOKENIZE)
    return olica_tokenize_run(context, arguments->tokenizer, arguments->file, arguments->special);
  if (arguments->command == OLICA_COMMAND_DETOKENIZE)
    return olica_tokenize_reverse(context, arguments->tokenizer, arguments->file, arguments->special);
  olica_status status = read_options(context, arguments, &options);
  if (status == OLICA_OK)
    status = olica_outputs_follow(context, &options, arguments->command == OLICA_COMMAND_RUN);
  if (status == OLICA_OK) status = olica_outputs_check(context, &options);
  if (status != OLICA_OK) return refuse(context, arguments, &options, resident, status);
  olica_watch_stop(context);
  OLICA_AGREE(context, olica_watch_start(context, (double)options.run.stall));
  if (arguments->command == OLICA_COMMAND_CHECK)
    return olica_pipeline_check(context, &options, arguments->ranks, arguments->ranks_per_node);
  olica_timer_stop(&context->env->timers); /* "start" */
  return olica_pipeline_run(context, &options, resident);
}

/* Commands whose answer, or its price, depends on the kernels of BLAS. */
static bool computes(const olica_arguments *arguments) {
  return arguments->command == OLICA_COMMAND_RUN || arguments->command == OLICA_COMMAND_CHECK;
}

int main(int argc, char **argv) {
  olica_env *env = olica_env_create();
  olica_arguments arguments;
  const olica_launch launch = olica_launch_find();
  if (!env) return OLICA_ERR_MEMORY;
  restore_malloc();
  hold_streams();
  olica_timer_start(&env->timers, "start"); /* MPI, options: until the pipeline runs */
  olica_status status = olica_arguments_parse(env, argc, argv, &arguments);
  if (status == OLICA_OK && olica_usage_answer(arguments.command, stdout)) return end_answer(env, OLICA_OK);
  if (status == OLICA_OK && (status = olica_launch_check_session(env, &launch)) != OLICA_OK)
    return end_answer(env, status);
  int refused = status == OLICA_OK && computes(&arguments) ? olica_blas_start(argv) : 0;
  signal(SIGXFSZ, SIG_IGN); /* ulimit -f is to be an error of write, not our end */
  if (status == OLICA_OK && arguments.command == OLICA_COMMAND_RUN) olica_signals_catch();
  yield_when_crowded();
  olica_hdf5_start();
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
  olica_context *context = NULL;
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  env->log.speaks = rank == 0;
  env->log.quiet = status == OLICA_OK && arguments.quiet;
  if (rank == 0) olica_log_open(env);
  olica_status created = olica_context_create(env, MPI_COMM_WORLD, 0, &context);
  status = created == OLICA_OK ? olica_comm_agree(context, context->comm, status) : created;
  if (status == OLICA_OK) status = check_alone(context, &arguments, &launch);
  if (status == OLICA_OK) status = check_alike(context, argc, argv);
  if (status == OLICA_OK && computes(&arguments)) status = olica_blas_start_tell(context, refused);
  if (status == OLICA_OK) status = command(context, &arguments, olica_report_resident());
  if (status == OLICA_OK && arguments.command != OLICA_COMMAND_RUN) status = finish_output(context);
  if (status != OLICA_OK) olica_log_failure(env);
  olica_context_destroy(context);
  olica_env_destroy(env);
  MPI_Finalize();
  return (int)status;
}
