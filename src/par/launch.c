#include "par/launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The variables that a launcher sets in each process. The first match counts: a launcher that can run inside
 * another one (mpirun in a Slurm step) precedes it here. */
typedef struct launcher {
  const char *name, *size, *rank; /* size NULL: it only numbers the tasks */
} launcher;

static const launcher table[] = {
    {"mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}, /* Open MPI */
    {"mpiexec", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"},  /* MVAPICH2 */
    {"jsrun", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"},      /* LSF on Summit-like systems */
    {"flux run", "FLUX_JOB_SIZE", "FLUX_TASK_RANK"},
    {"a PMI launcher (mpiexec, srun --mpi=pmi2)", "PMI_SIZE", "PMI_RANK"}, /* MPICH, Intel MPI, PALS */
    {"mpiexec", NULL, "PALS_RANKID"},                                      /* PALS without PMI */
    {"aprun", NULL, "ALPS_APP_PE"},                                        /* Cray's ALPS */
    {"srun", "SLURM_STEP_NUM_TASKS",
     "SLURM_PROCID"}, /* set only in a step, unlike SLURM_NTASKS, which an allocation sets */
    {"a PMIx launcher", NULL, "PMIX_RANK"},
};

/* Returns the variable's value; -1 if it is not set or not a number. */
static long number_of(const char *variable) {
  const char *text = variable ? getenv(variable) : NULL;
  char *end;
  if (!text || *text < '0' || *text > '9') return -1;
  long number = strtol(text, &end, 10);
  return *end ? -1 : number;
}

/* Returns true if the variables were inherited: srun may have started another launcher's daemons, whose
 * processes inherit srun's variables but have the other launcher's PMIx namespace. */
static bool is_inherited(const launcher *by) {
  const char *space = getenv("PMIX_NAMESPACE");
  return strcmp(by->name, "srun") == 0 && space && *space && strncmp(space, "slurm", 5) != 0;
}

static const launcher *find_launcher(void) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const launcher *by = &table[i];
    if (number_of(by->size ? by->size : by->rank) >= 0 && !is_inherited(by)) return by;
  }
  return NULL;
}

olica_launch olica_launch_find(void) {
  const launcher *by = find_launcher();
  if (!by) return (olica_launch){.tasks = 1};
  long rank = number_of(by->rank);
  if (rank < 0) rank = 0;
  return (olica_launch){.launcher = by->name,
                        .variable = by->size ? by->size : by->rank,
                        .tasks = by->size ? number_of(by->size) : rank + 1,
                        .rank = rank};
}

olica_status olica_launch_check(olica_env *env, const olica_launch *launch, int size) {
  const char *alone = getenv(OLICA_ALONE);
  if (size > 1 || launch->tasks <= 1 || (alone && *alone)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "start: %s has started %ld tasks or more (%s), but each is alone for MPI, and all "
                         "would do the same job; expected one job: mpirun of the Open MPI that olica_mpi was "
                         "built with, or srun --mpi=pmix where Slurm has it (%s=1: jobs of one rank each are "
                         "what you want)",
                         launch->launcher, launch->tasks, launch->variable, OLICA_ALONE);
}

olica_status olica_launch_check_session(olica_env *env, const olica_launch *launch) {
  static const char *const names[] = {"OMPI_MCA_orte_tmpdir_base", "TMPDIR", "TEMP", "TMP"};
  const char *name = "TMPDIR", *directory = "/tmp";
  if (launch->launcher) return OLICA_OK; /* the launcher made the directory */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *value = getenv(names[i]);
    if (!value || !*value) continue;
    name = names[i];
    directory = value;
    break;
  }
  if (access(directory, W_OK | X_OK) == 0 || errno == ENOENT) return OLICA_OK; /* Open MPI makes it */
  return olica_error_set(env, OLICA_ERR_IO,
                         "start: %s: %s; Open MPI keeps files of its own there, expected a directory that "
                         "can be written to (set %s)",
                         directory, strerror(errno), name);
}
