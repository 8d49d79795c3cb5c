#include "config/usage.h"

#include "eval/tasks.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <cblas.h>
#include <hdf5.h>
#include <mpi.h>
#include <pcre2.h>
#include <slepcsys.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

#include "config/arguments.h"
#include "config/value.h"
#include "la/kernel.h"
#include "la/solver.h"
#include "model/family.h"
#include "par/launch.h"
#include "prune/method.h"

/* The Makefile defines these. */
#ifndef OLICA_VERSION
#define OLICA_VERSION "0"
#endif
#ifndef OLICA_GIT
#define OLICA_GIT "unknown"
#endif
#ifndef OLICA_SCALAPACK_VERSION
#define OLICA_SCALAPACK_VERSION "unknown"
#endif

enum { COLUMN = 34 }; /* where explanations begin */

const char *olica_usage_release(void) {
  return *OLICA_VERSION ? OLICA_VERSION : "0";
}

const char *olica_usage_git(void) {
  return OLICA_GIT;
}

static void print_options(FILE *to) {
  const olica_argument *argument;
  for (int i = 0; (argument = olica_arguments_at(i)); i++) {
    int used = fprintf(to, "  %s%s%s", argument->name, *argument->operand ? " " : "", argument->operand);
    fprintf(to, "%*s%s\n", used < COLUMN ? COLUMN - used : 1, "", argument->about);
  }
}

void olica_usage_help(FILE *to) {
  fputs("olica_mpi: structured pruning of LLaMA-type models without retraining\n\n"
        "usage: mpirun -n P olica_mpi [options] config.ini\n"
        "       mpirun -n P olica_mpi [options] -                (the config is read from standard input)\n"
        "       olica_mpi --check [--ranks N --ranks-per-node M] config.ini\n"
        "       mpirun -n P olica_mpi --verify FILE.h5 | EXPORT [--against FILE.h5]\n"
        "       mpirun -n P olica_mpi --export KIND:PATH FILE.h5\n"
        "       olica_mpi --inspect PATH | --diff A B [--json]\n"
        "       olica_mpi --plot OUTDIR report.json...\n\n"
        "options\n",
        to);
  print_options(to);
  fputs("\nA config file: what is not said has its default (--list), paths are relative to the file\n"
        "(those of the command line to where you stand); ~, $NAME and ${NAME} stand for their values.\n"
        "  [model]\n"
        "  path = SmolLM2-135M           ; Hugging Face directory\n"
        "  [calibration]\n"
        "  text = alpaca:alpaca.json, jsonl:c4.jsonl\n"
        "  [prune]\n"
        "  sparsity = 0.2\n"
        "  [evaluate]\n"
        "  text = wikitext2-test.txt     ; perplexity of the dense and of the pruned model\n"
        "  [output]\n"
        "  checkpoint = pruned.h5\n"
        "\nexample: mpirun -n 4 olica_mpi --set prune.sparsity=0.33 --set output.overwrite=yes config.ini\n"
        "\nexit codes: 0 ok, 2 usage or config, 3 input data, 4 I/O, 5 numerical, 6 memory, 70 internal,\n"
        "            75 stopped early (resume from the restart file)\n",
        to);
}

/* Writes "Open MPI v4.1.4", without the rest: who built the library and where. */
static void mpi_version(char *text) {
  int length;
  MPI_Get_library_version(text, &length);
  text[strcspn(text, ",\n")] = '\0';
}

/* Returns version, build options and the kernels for this processor, without the library's name. */
static const char *openblas_version(void) {
  const char *config = openblas_get_config(), *name = "OpenBLAS ";
  return strncmp(config, name, strlen(name)) == 0 ? config + strlen(name) : config;
}

/* "10.42 2022-12-11" */
static json_t *pcre2_version(void) {
  char text[64] = "unknown";
  if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) < (int)sizeof text) pcre2_config(PCRE2_CONFIG_VERSION, text);
  return json_string(text);
}

json_t *olica_usage_libraries(void) {
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
  char onednn[OLICA_KERNEL_TEXT];
  unsigned major, minor, release;
  PetscInt petsc[3], slepc[3];
  mpi_version(mpi);
  H5get_libversion(&major, &minor, &release);
  (void)PetscGetVersionNumber(&petsc[0], &petsc[1], &petsc[2], NULL);
  (void)SlepcGetVersionNumber(&slepc[0], &slepc[1], &slepc[2], NULL);
  json_t *all = json_object();
  json_object_set_new(all, "MPI", json_string(mpi));
  json_object_set_new(all, "ScaLAPACK", json_string(OLICA_SCALAPACK_VERSION));
  json_object_set_new(all, "HDF5", json_sprintf("%u.%u.%u", major, minor, release));
  json_object_set_new(all, "PETSc", json_sprintf("%d.%d.%d", (int)petsc[0], (int)petsc[1], (int)petsc[2]));
  json_object_set_new(all, "SLEPc", json_sprintf("%d.%d.%d", (int)slepc[0], (int)slepc[1], (int)slepc[2]));
  json_object_set_new(all, "OpenBLAS", json_string(openblas_version()));
  json_object_set_new(all, "oneDNN", json_string(olica_kernel_version(onednn)));
  json_object_set_new(all, "jansson", json_string(jansson_version_str()));
  json_object_set_new(all, "zlib", json_string(zlibVersion()));
  json_object_set_new(all, "PCRE2", pcre2_version());
  json_object_set_new(all, "utf8proc", json_string(utf8proc_version()));
  return all;
}

void olica_usage_version(FILE *to) {
  fprintf(to, "olica_mpi %s (%s)\n", olica_usage_release(), olica_usage_git());
  json_t *all = olica_usage_libraries(), *version;
  const char *name;
  json_object_foreach(all, name, version) fprintf(to, "  %-10s %s\n", name, json_string_value(version));
  json_decref(all);
}

static void print_setting(FILE *to, const olica_setting *setting) {
  char expected[OLICA_VALUE_TEXT];
  int used = fprintf(to, "  %s = %s", setting->key, setting->fallback);
  fprintf(to, "%*s%s\n", used < COLUMN ? COLUMN - used : 1, "", setting->about);
  fprintf(to, "%*s%s", COLUMN + 2, "", olica_value_expected(setting, expected));
  if (setting->unit) fprintf(to, " (%s)", setting->unit);
  int method = olica_settings_method(setting);
  if (method != OLICA_METHOD_NONE) fprintf(to, "; of method = %s", olica_method_at(method)->name);
  fputc('\n', to);
}

static void print_settings(FILE *to) {
  const char *section = "";
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    if (strcmp(section, setting->section) != 0) fprintf(to, "\n[%s]\n", setting->section);
    section = setting->section;
    print_setting(to, setting);
  }
  fprintf(to, "\n[%s]\n  hint = value%*sany MPI-IO hint, passed on and echoed\n", OLICA_SETTINGS_HINTS,
          COLUMN - 14, "");
}

static void print_name(FILE *to, const char *name, const char *about) {
  fprintf(to, "  %-*s%s\n", COLUMN - 2, name, about);
}

void olica_usage_list(FILE *to) {
  fputs("settings: key = default, meaning, what is expected\n", to);
  print_settings(to);
  fputs("\nmethods ([prune] method)\n", to);
  const olica_method *method;
  for (int i = 0; (method = olica_method_at(i)); i++) print_name(to, method->name, method->about);
  fputs("\nsolvers ([solver] eigen)\n", to);
  for (int i = 0; i < OLICA_BACKENDS; i++)
    print_name(to, olica_backend_name((olica_backend)i), olica_backend_about((olica_backend)i));
  fputs("\nmodel families (model_type in config.json)\n", to);
  const olica_family *family;
  for (int i = 0; (family = olica_family_at(i)); i++) print_name(to, family->name, family->about);
  fputs("\ntasks ([evaluate] tasks)\n", to);
  const olica_task *task;
  for (int i = 0; (task = olica_task_at(i)); i++) print_name(to, task->name, task->about);
}

bool olica_usage_answer(olica_command command, FILE *to) {
  void (*const answer)(FILE *) = command == OLICA_COMMAND_HELP      ? olica_usage_help
                                 : command == OLICA_COMMAND_VERSION ? olica_usage_version
                                 : command == OLICA_COMMAND_LIST    ? olica_usage_list
                                                                    : NULL;
  /* Finds the rank that prints, from the environment: MPI has not started. */
  if (answer && olica_launch_find().rank == 0) answer(to);
  return answer != NULL;
}
