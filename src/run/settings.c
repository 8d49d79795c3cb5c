#include "olica/run/settings.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "olica/prune/method.h"
#include "olica/run/options.h"

/* Choices: names in the order of the enum that they are stored as. */
static const char *pick(const char *const *names, int count, int i) {
  return i >= 0 && i < count ? names[i] : NULL;
}

#define CHOICES(function, ...)                                                                               \
  static const char *function(int i) {                                                                       \
    static const char *const names[] = {__VA_ARGS__};                                                        \
    return pick(names, sizeof names / sizeof *names, i);                                                     \
  }

CHOICES(onds, "fast", "standard")
CHOICES(precisions, "auto", "fp32", "bf16")
CHOICES(answers, "auto", "yes", "no")

static const char *methods(int i) {
  return olica_method_at(i) ? olica_method_at(i)->name : NULL;
}

static const char *backends(int i) {
  return i >= 0 && i < OLICA_BACKENDS ? olica_backend_name((olica_backend)i) : NULL;
}

static const char *dtypes(int i) {
  if (i == 0) return "as-input";
  return i > 0 && i <= OLICA_DTYPES ? olica_number_name((olica_dtype)(i - 1)) : NULL;
}

/* The names in the file are the names of the fields. */
#define SETTING(section_, key_, kind_, fallback_, about_, ...)                                               \
  {                                                                                                          \
    .section = #section_, .key = #key_, .kind = OLICA_KIND_##kind_, .fallback = (fallback_),                 \
    .about = (about_), .at = offsetof(olica_options, section_.key_), ##__VA_ARGS__                           \
  }

/* Ranges: both ends count, unless `.open` says otherwise. */
#define IN(low_, high_) .low = (low_), .high = (high_)

// clang-format off
static const olica_setting table[] = {
  SETTING(model, path, PATH, "", "Hugging Face directory (config.json, *.safetensors) or a checkpoint .h5 of ours"),
  SETTING(model, tokenizer, PATH, "", "directory with tokenizer.json or tokenizer.model; empty: the model's own"),

  SETTING(calibration, tokens, PATH, "", "int32 or int64 ids [samples x length] (.npy)"),
  SETTING(calibration, text, FILES, "", "texts to sample: alpaca:FILE, jsonl:FILE[:field], plain:FILE, npy:FILE; FILE*3 counts three times"),
  SETTING(calibration, samples, INTEGER, "256", "calibration sequences in all", IN(1, 1e9), .unit = "sequences"),
  SETTING(calibration, length, INTEGER, "128", "tokens of each sequence", IN(1, 1 << 20), .unit = "tokens"),
  SETTING(calibration, seed, INTEGER, "0", "of the sampling of texts", IN(0, 0x1p53)),
  SETTING(calibration, save, PATH, "", "keeps the survey's statistics for runs with other sparsities, or reads them (.h5)"),

  SETTING(prune, method, CHOICE, "olica", "none: only evaluate", .choice = methods),
  SETTING(prune, sparsity, REAL, "0.2", "share of all parameters of the model to remove", IN(0, 1), .open = "[)"),
  SETTING(prune, k, REAL, "3", "ratio of the sparsity of query/key to that of value/output", IN(0, 1e6), .open = "(]"),
  SETTING(prune, mlp_num, INTEGER, "6", "layers that get a linear calibration branch", IN(0, 1e6), .unit = "layers"),
  SETTING(prune, ratio, REAL, "0.03", "rank of the branch / hidden size", IN(0, 1)),
  SETTING(prune, percdamp, REAL, "0.5", "ridge of the linear fits / mean of the Gram's diagonal", IN(0, 1e6), .open = "(]"),
  SETTING(prune, skip_lowest, REAL, "0.01", "share of an FFN's least important neurons that is kept", IN(0, 1), .open = "[)"),
  SETTING(prune, ond, CHOICE, "fast", "orthogonal neuron decomposition of value/output; standard: of the whole product, dear",
          .choice = onds),
  SETTING(prune, count_branches, BOOL, "no", "the branches count in the sparsity: the FFN loses more, to make room for them"),

  SETTING(solver, eigen, CHOICE, "auto", "back end of the decompositions", .choice = backends),
  SETTING(solver, block, INTEGER, "64", "block size of distributed matrices", IN(1, 1024), .unit = "rows"),

  SETTING(compute, precision, CHOICE, "auto", "of the products; sums stay in fp32 and fp64; auto: fp32; bf16: see doc/methods.md",
          .choice = precisions),
  SETTING(compute, threads, COUNT, "auto", "of a rank; auto: its share of the node's cores", IN(1, 1024), .unit = "threads"),
  SETTING(compute, memory, SIZE, "auto", "limit of a rank's own allocations; auto: none", IN(0x1p20, 0x1p50)),
  SETTING(compute, keep_weights, CHOICE, "auto", "layers stay in memory as stored, so that sweep 2 reads none; auto: if memory is set and they fit",
          .choice = answers),

  SETTING(evaluate, tokens, PATH, "", "int32 or int64 ids of any shape, read as one row (.npy), for perplexity"),
  SETTING(evaluate, text, PATH, "", "text for perplexity, tokenized whole"),
  SETTING(evaluate, length, INTEGER, "128", "tokens of a window", IN(2, 1 << 20), .unit = "tokens"),
  SETTING(evaluate, windows, INTEGER, "0", "windows to score; 0: all", IN(0, 1e12), .unit = "windows"),
  SETTING(evaluate, stride, INTEGER, "0", "from one window to the next; 0: length", IN(0, 1 << 20), .unit = "tokens"),
  SETTING(evaluate, bos, CHOICE, "auto", "begin-of-sequence token; auto: as the tokenizer does, none for tasks",
          .choice = answers),
  SETTING(evaluate, tasks, FILES, "", "zero-shot tasks: boolq:FILE, piqa:FILE, hellaswag:FILE, ...; the names are below"),
  SETTING(evaluate, limit, INTEGER, "0", "questions of a task; 0: all", IN(0, 1e12), .unit = "questions"),
  SETTING(evaluate, dense, BOOL, "yes", "also score the unpruned model"),

  SETTING(output, checkpoint, PATH, "pruned.h5", "the pruned model (HDF5)"),
  SETTING(output, dtype, CHOICE, "as-input", "format of the weights", .choice = dtypes),
  SETTING(output, report, PATH, "report.json", "the report; empty: none"),
  SETTING(output, overwrite, BOOL, "no", "replace a checkpoint that is there"),

  SETTING(restart, every, CADENCE, "1 layer", "how often a restart file is written, at most; off: never, but one that is there is gone on with", IN(1, 1e6)),
  SETTING(restart, cost, REAL, "0.02", "share of the run's time that restart files may take; 1: any", IN(0, 1), .open = "(]"),
  SETTING(restart, keep, INTEGER, "2", "restart files, written in turn", IN(2, 16), .unit = "files"),
  SETTING(restart, path, PATH, "", "directory of the restart files; empty: beside the checkpoint"),

  SETTING(run, walltime, DURATION, "auto", "stop in time, with a restart file; auto: Slurm's end time"),
  SETTING(run, stall, INTEGER, "600", "time in one collective before a rank says where; ten times that ends the job",
          IN(1, 1e6), .unit = "seconds"),
};
// clang-format on

enum { SETTINGS = sizeof table / sizeof *table };
_Static_assert(sizeof table / sizeof *table <= OLICA_SETTINGS_MAX,
               "a longer table needs a larger OLICA_SETTINGS_MAX");

const olica_setting *olica_settings_at(int i) {
  return i >= 0 && i < SETTINGS ? &table[i] : NULL;
}

const olica_setting *olica_settings_find(const char *section, const char *key) {
  for (int i = 0; i < SETTINGS; i++)
    if (strcmp(table[i].section, section) == 0 && strcmp(table[i].key, key) == 0) return &table[i];
  return NULL;
}

bool olica_settings_section(const char *section) {
  if (strcmp(section, OLICA_SETTINGS_HINTS) == 0) return true;
  for (int i = 0; i < SETTINGS; i++)
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

/* Is a word so far off still worth suggesting? */
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
  const olica_setting *best = NULL;
  int least = 0;
  for (int i = 0; i < SETTINGS; i++) {
    /* A key of the same section goes before one that is equally near in another. */
    int distance = olica_settings_distance(key, table[i].key);
    int score = 2 * distance + (strcmp(section, table[i].section) != 0);
    if (!is_near(key, distance) || (best && score >= least)) continue;
    best = &table[i];
    least = score;
  }
  if (!best) return NULL;
  snprintf(text, OLICA_SETTINGS_TEXT, "[%s] %s", best->section, best->key);
  return text;
}
