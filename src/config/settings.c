#include "config/settings.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/options.h"
#include "prune/method.h"

/* Choices: names in the order of the enum that they are stored as. */
static const char *pick(const char *const *names, int count, int i) {
  return i >= 0 && i < count ? names[i] : NULL;
}

#define CHOICES(function, ...)                                                                               \
  static const char *function(int i) {                                                                       \
    static const char *const names[] = {__VA_ARGS__};                                                        \
    return pick(names, sizeof names / sizeof *names, i);                                                     \
  }

CHOICES(precisions, "auto", "fp32", "bf16")
CHOICES(answers, "auto", "yes", "no")

static const char *methods(int i) {
  return olica_method_at(i) ? olica_method_at(i)->name : NULL;
}

static const char *backends(int i) {
  return i >= 0 && i < OLICA_BACKENDS ? olica_backend_name((olica_backend)i) : NULL;
}

static const char *solver_precisions(int i) {
  return i >= 0 && i < OLICA_SOLVER_PRECISIONS ? olica_solver_precision_name((olica_solver_precision)i)
                                               : NULL;
}

static const char *dtypes(int i) {
  if (i == 0) return "as-input";
  return i > 0 && i <= OLICA_DTYPES ? olica_number_name((olica_dtype)(i - 1)) : NULL;
}

CHOICES(export_types, "as-checkpoint", "fp32", "fp16", "bf16", "q8_0")

/* The names in the file are the names of the fields. */
#define SETTING(section_, key_, kind_, fallback_, affects_, about_, ...)                                     \
  {                                                                                                          \
    .section = #section_, .key = #key_, .kind = OLICA_KIND_##kind_, .fallback = (fallback_),                 \
    .affects = OLICA_AFFECTS_##affects_, .about = (about_), .at = offsetof(olica_options, section_.key_),    \
    ##__VA_ARGS__                                                                                            \
  }

/* Ranges: both ends count, unless `.open` says otherwise. */
#define IN(low_, high_) .low = (low_), .high = (high_)

// clang-format off
static const olica_setting table[] = {
  SETTING(model, path, PATH, "", NOTHING, "Hugging Face directory (config.json, *.safetensors) or a checkpoint .h5 of ours"),
  SETTING(model, tokenizer, PATH, "", NOTHING, "directory with tokenizer.json or tokenizer.model; empty: the model's own"),

  SETTING(calibration, tokens, PATH, "", NOTHING, "int32 or int64 ids [samples x length] (.npy)"),
  SETTING(calibration, text, FILES, "", NOTHING, "texts to sample: alpaca:FILE, jsonl:FILE[:field], plain:FILE, npy:FILE; FILE*3 counts three times"),
  SETTING(calibration, samples, INTEGER, "256", SURVEY, "calibration sequences in all", IN(1, 1e9), .unit = "sequences"),
  SETTING(calibration, length, INTEGER, "128", SURVEY, "tokens of each sequence", IN(1, 1 << 20), .unit = "tokens"),
  SETTING(calibration, seed, INTEGER, "0", NOTHING, "of the sampling of texts", IN(0, 0x1p53)),
  SETTING(calibration, save, PATH, "", NOTHING, "keeps the survey's statistics for runs with other sparsities, or reads them (.h5)"),

  SETTING(prune, method, CHOICE, "olica", SURVEY, "none: only evaluate; or several, A, B, to compare", .choice = methods),
  SETTING(prune, sparsity, REAL, "0.2", RESULT, "share of all parameters of the model to remove; or several, 0.1, 0.2, to compare", IN(0, 1), .open = "[)"),

  SETTING(solver, eigen, CHOICE, "auto", SURVEY, "back end of the decompositions", .choice = backends),
  SETTING(solver, precision, CHOICE, "auto", SURVEY, "of the decompositions' subspaces; mixed: fp32, corrected and checked in fp64; auto: double, which was faster where both were measured",
          .choice = solver_precisions),
  SETTING(solver, block, INTEGER, "64", SURVEY, "block size of distributed matrices", IN(1, 1024), .unit = "rows"),

  SETTING(compute, precision, CHOICE, "auto", NOTHING, "of the products; sums stay in fp32 and fp64; auto: fp32; bf16: see doc/methods.md",
          .choice = precisions),
  SETTING(compute, threads, COUNT, "auto", NOTHING, "of a rank; auto: its share of the node's cores", IN(1, 1024), .unit = "threads"),
  SETTING(compute, memory, SIZE, "auto", NOTHING, "limit of a rank's own allocations; auto: none", IN(0x1p20, 0x1p50)),
  SETTING(compute, keep_weights, CHOICE, "auto", NOTHING, "layers stay in memory as stored, so that sweep 2 reads none; auto: if memory is set and they fit",
          .choice = answers),

  SETTING(evaluate, tokens, PATH, "", NOTHING, "int32 or int64 ids of any shape, read as one row (.npy), for perplexity"),
  SETTING(evaluate, text, TEXTS, "", NOTHING, "text for perplexity, tokenized whole; or several, each with a name: NAME:FILE, NAME:FILE"),
  SETTING(evaluate, length, INTEGER, "128", RESULT, "tokens of a window", IN(2, 1 << 20), .unit = "tokens"),
  SETTING(evaluate, windows, INTEGER, "0", NOTHING, "windows to score; 0: all", IN(0, 1e12), .unit = "windows"),
  SETTING(evaluate, stride, INTEGER, "0", RESULT, "from one window to the next; 0: length", IN(0, 1 << 20), .unit = "tokens"),
  SETTING(evaluate, bos, CHOICE, "auto", NOTHING, "begin-of-sequence token; auto: as the tokenizer does, none for tasks",
          .choice = answers),
  SETTING(evaluate, tasks, FILES, "", NOTHING, "zero-shot tasks: boolq:FILE, piqa:FILE, hellaswag:FILE, ...; the names are below"),
  SETTING(evaluate, limit, INTEGER, "0", NOTHING, "questions of a task; 0: all", IN(0, 1e12), .unit = "questions"),
  SETTING(evaluate, dense, BOOL, "yes", RESULT, "also score the unpruned model"),
  SETTING(evaluate, kl, BOOL, "no", RESULT, "mean KL divergence of the pruned model's next-token distribution from the dense one's, on the evaluation's texts"),

  SETTING(output, checkpoint, PATH, "pruned.h5", NOTHING, "the pruned model (HDF5)"),
  SETTING(output, dtype, CHOICE, "as-input", RESULT, "format of the weights", .choice = dtypes),
  SETTING(output, report, PATH, "report.json", NOTHING, "the report; empty: none"),
  SETTING(output, overwrite, BOOL, "no", NOTHING, "replace a checkpoint, or an export, that is there"),
  SETTING(output, export, FILES, "", NOTHING, "the pruned model for other tools, doc/export.md: hf:DIR, compact:DIR, gguf:FILE, or several"),
  SETTING(output, export_dtype, CHOICE, "as-checkpoint", NOTHING, "format of an export's numbers; q8_0: of gguf alone", .choice = export_types),
  SETTING(output, shard, DISK, "5GB", NOTHING, "most bytes of a file of tensors in an exported directory", IN(1e6, 1e15)),

  SETTING(restart, every, CADENCE, "1 layer", NOTHING, "how often a restart file is written, at most; off: never, but an existing one is resumed", IN(1, 1e6)),
  SETTING(restart, cost, REAL, "0.02", NOTHING, "share of the run's time that restart files may take; 1: any", IN(0, 1), .open = "(]"),
  SETTING(restart, keep, INTEGER, "2", NOTHING, "restart files, written in turn", IN(2, 16), .unit = "files"),
  SETTING(restart, path, PATH, "", NOTHING, "directory of the restart files; empty: beside the checkpoint"),

  SETTING(run, walltime, DURATION, "auto", NOTHING, "stop in time, with a restart file; auto: Slurm's end time"),
  SETTING(run, stall, INTEGER, "600", NOTHING, "time in one collective before a rank says where; ten times that ends the job",
          IN(1, 1e6), .unit = "seconds"),
};
// clang-format on

enum { SETTINGS = sizeof table / sizeof *table };
_Static_assert(sizeof table / sizeof *table <= OLICA_SETTINGS_MAX,
               "a longer table needs a larger OLICA_SETTINGS_MAX");

/* The number of rows up to the last of [prune], behind which the methods' own rows come. */
static int rows_before_methods(void) {
  int rows = SETTINGS;
  while (rows > 0 && strcmp(table[rows - 1].section, "prune") != 0) rows--;
  return rows;
}

const olica_setting *olica_settings_at(int i) {
  int before = rows_before_methods();
  const olica_method *method;
  if (i < before) return i >= 0 ? &table[i] : NULL;
  i -= before;
  for (int m = 0; (method = olica_method_at(m)); m++)
    for (const olica_setting *row = method->settings; row && row->section; row++)
      if (i-- == 0) return row;
  return before + i < SETTINGS ? &table[before + i] : NULL;
}

int olica_settings_index(const olica_setting *setting) {
  int i = 0;
  while (olica_settings_at(i) != setting) i++;
  assert(i < OLICA_SETTINGS_MAX); /* unit/test_options.c counts them */
  return i;
}

int olica_settings_method(const olica_setting *setting) {
  const olica_method *method;
  for (int m = 0; (method = olica_method_at(m)); m++)
    for (const olica_setting *row = method->settings; row && row->section; row++)
      if (row == setting) return m;
  return OLICA_METHOD_NONE;
}

const olica_setting *olica_settings_find(const char *section, const char *key, int method) {
  const olica_setting *setting, *found = NULL;
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    if (strcmp(setting->section, section) != 0 || strcmp(setting->key, key) != 0) continue;
    int owner = olica_settings_method(setting);
    if (owner == OLICA_METHOD_NONE || owner == method) return setting;
    if (!found) found = setting;
  }
  return found;
}

bool olica_settings_section(const char *section) {
  if (strcmp(section, OLICA_SETTINGS_HINTS) == 0) return true;
  for (int i = 0; i < SETTINGS; i++) /* methods have no sections of their own */
    if (strcmp(table[i].section, section) == 0) return true;
  return false;
}

/* Levenshtein's distance, one row of the table at a time. Long words are near to nothing. */
int olica_settings_distance(const char *a, const char *b) {
  enum { LONGEST = 64 };
  int row[LONGEST + 1];
  size_t rows = strlen(a), columns = strlen(b);
  if (rows > LONGEST || columns > LONGEST) return LONGEST;
  for (size_t j = 0; j <= columns; j++) row[j] = (int)j;
  for (size_t i = 1; i <= rows; i++) {
    int diagonal = row[0];
    row[0] = (int)i;
    for (size_t j = 1; j <= columns; j++) {
      int swap = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
      int drop = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      diagonal = row[j];
      row[j] = swap < drop ? swap : drop;
    }
  }
  return row[columns];
}

/* Returns whether a word is near enough to be suggested. */
static bool is_near(const char *asked, int distance) {
  int length = (int)strlen(asked);
  return distance <= (length < 6 ? length / 2 : 2 + length / 8);
}

static const char *nearest_section(const char *asked, char *text) {
  const char *best = NULL;
  int least = 0;
  for (int i = 0; i < SETTINGS; i++) {
    int distance = olica_settings_distance(asked, table[i].section);
    if (best && distance >= least) continue;
    best = table[i].section;
    least = distance;
  }
  if (!is_near(asked, least)) return NULL;
  snprintf(text, OLICA_SETTINGS_TEXT, "[%s]", best);
  return text;
}

const char *olica_settings_nearest(const char *section, const char *key, char *text) {
  if (!key) return nearest_section(section, text);
  const olica_setting *best = NULL, *setting;
  int least = 0;
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    /* Prefers a key of the same section to an equally near one of another. */
    int distance = olica_settings_distance(key, setting->key);
    int score = 2 * distance + (strcmp(section, setting->section) != 0);
    if (!is_near(key, distance) || (best && score >= least)) continue;
    best = setting;
    least = score;
  }
  if (!best) return NULL;
  snprintf(text, OLICA_SETTINGS_TEXT, "[%s] %s", best->section, best->key);
  return text;
}
