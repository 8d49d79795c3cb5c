#include "la/blas_start.h"

#include <cblas.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "la/alike.h"
#include "la/blas_kernel.h"
#include "par/comm.h"

/* OpenBLAS's variable; and our mark, "PID KERNEL": the process that was restarted, and its kernel before. A
 * child process that inherits the mark has another PID and ignores it. */
#define CORETYPE "OPENBLAS_CORETYPE"
#define MARK "OLICA_BLAS_STARTED"

enum { MARK_TEXT = 32 + OLICA_BLAS_KERNEL_TEXT };

static const char *setting(const char *name) {
  const char *text = getenv(name);
  return text && *text ? text : NULL;
}

/* Returns true if this process was restarted; `before` is then the kernel it had before. */
static bool started_again(char before[OLICA_BLAS_KERNEL_TEXT]) {
  const char *mark = setting(MARK);
  long process;
  return mark && sscanf(mark, "%ld %31s", &process, before) == 2 && process == (long)getpid();
}

/* Returns the kernel that the processor can run if the current one is below its level, else NULL. A kernel
 * that is not in the table is newer than this program. */
static const char *better_kernel(void) {
  olica_blas_level has = olica_blas_kernel_level(olica_blas_kernel_name()),
                   can = olica_blas_processor_level();
  return has != OLICA_BLAS_UNKNOWN && has < can ? olica_blas_kernel_of(can) : NULL;
}

static bool library_has_kernels(void) {
  return strstr(openblas_get_config(), "DYNAMIC_ARCH") != NULL;
}

static bool is_kept(void) {
  const char *text = setting(OLICA_BLAS_KEEP);
  return text && strcmp(text, "keep") == 0;
}

/* Returns true if the program must not be restarted: a privileged process must not pass its environment on,
 * and valgrind would lose track of it. */
static bool must_stay(void) {
  const char *preload = getenv("LD_PRELOAD");
  return getauxval(AT_SECURE) || (preload && strstr(preload, "vgpreload"));
}

/* Finds the path of the program's file: its name, which process tools show, or the link /proc/self/exe if
 * another file has that name now. */
static void find_program(char path[PATH_MAX]) {
  static const char self[] = "/proc/self/exe";
  struct stat named, running;
  ssize_t length = readlink(self, path, PATH_MAX - 1);
  path[length > 0 ? length : 0] = '\0';
  if (length <= 0 || stat(path, &named) != 0 || stat(self, &running) != 0 || named.st_ino != running.st_ino ||
      named.st_dev != running.st_dev)
    memcpy(path, self, sizeof self);
}

/* Returns only on failure, with the errno. */
static int start_again(char **argv, const char *kernel) {
  char path[PATH_MAX], mark[MARK_TEXT];
  find_program(path);
  snprintf(mark, sizeof mark, "%ld %.31s", (long)getpid(), olica_blas_kernel_name());
  if (setenv(CORETYPE, kernel, 1) != 0 || setenv(MARK, mark, 1) != 0) return errno;
  execv(path, argv);
  int why = errno;
  unsetenv(CORETYPE);
  unsetenv(MARK);
  return why;
}

int olica_blas_start(char **argv) {
  char before[OLICA_BLAS_KERNEL_TEXT];
  const char *better = better_kernel();
  if (!better || setting(CORETYPE) || is_kept() || !library_has_kernels() || started_again(before)) return 0;
  return must_stay() ? EPERM : start_again(argv, better);
}

const char *olica_blas_start_chooser(void) {
  char before[OLICA_BLAS_KERNEL_TEXT];
  const char *asked = setting(CORETYPE);
  if (!asked || !library_has_kernels() || strcasecmp(asked, olica_blas_kernel_name()) != 0) return "library";
  return started_again(before) ? "program" : "user";
}

/* Warns of a kernel below the processor's level, unless the user chose it. */
static void warn_of_kernel(olica_env *env, const char *better, int refused) {
  const char *name = olica_blas_kernel_name(), *asked = setting(CORETYPE);
  if (!library_has_kernels())
    olica_log_warn(env,
                   "BLAS: this OpenBLAS is built for %s alone, this processor could run %s; link one "
                   "with DYNAMIC_ARCH",
                   name, better);
  else if (asked && strcasecmp(asked, name) != 0)
    olica_log_warn(env,
                   "BLAS: OpenBLAS has no kernel " CORETYPE "=%.40s, it runs %s, this processor could run %s",
                   asked, name, better);
  else if (refused)
    olica_log_warn(env,
                   "BLAS: OpenBLAS runs its kernel %s, this processor could run %s, and the program cannot "
                   "start itself again (%s); set " CORETYPE "=%s",
                   name, better, strerror(refused), better);
}

/* Returns the best kernel that all ranks can run; NULL if one rank's kernel is unknown. */
static const char *common_kernel(const olica_card *all, int ranks) {
  olica_blas_level least = OLICA_BLAS_AVX512;
  for (int r = 0; r < ranks; r++) {
    olica_blas_level level = olica_blas_kernel_level(all[r].kernel);
    if (level < least) least = level;
  }
  return olica_blas_kernel_of(least);
}

/* Compares by name, and names the first rank whose kernel differs from rank 0's. */
static void warn_of_ranks(olica_env *env, const olica_card *all, int ranks) {
  int other = olica_alike_other(all, ranks);
  if (!other) return;
  const char *common = common_kernel(all, ranks);
  olica_log_warn(
      env,
      "BLAS: kernels differ (rank 0 on %.40s: %.20s, rank %d on %.40s: %.20s), so last bits depend "
      "on which rank does what; alike with mpirun -x " CORETYPE "=%s",
      all[0].host, all[0].kernel, other, all[other].host, all[other].kernel, common ? common : "KERNEL");
}

static olica_status compare_ranks(olica_context *context) {
  olica_card *all;
  OLICA_TRY(olica_alike_gather(context, olica_blas_kernel_name(), &all));
  if (context->rank == 0) warn_of_ranks(context->env, all, context->size);
  OLICA_FREE(context->env, all);
  return OLICA_OK;
}

olica_status olica_blas_start_tell(olica_context *context, int refused) {
  olica_env *env = context->env;
  char before[OLICA_BLAS_KERNEL_TEXT];
  const char *better = better_kernel(), *kept = setting(OLICA_BLAS_KEEP);
  if (started_again(before))
    olica_log_line(env,
                   "BLAS: OpenBLAS took its kernel %s for this processor; the program started itself again "
                   "with " CORETYPE "=%s (" OLICA_BLAS_KEEP "=keep: not)",
                   before, getenv(CORETYPE));
  if (kept && !is_kept())
    olica_log_warn(env, OLICA_BLAS_KEEP "=%.40s: not known, expected keep, or nothing", kept);
  if (better && !is_kept()) warn_of_kernel(env, better, refused);
  return compare_ranks(context);
}
