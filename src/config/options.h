/* The options of a run: the config file with the command line's overrides, parsed and checked. Lower rooms
 * never see this struct: the pipeline fills their parameters from it. Meaning, unit and range of every key:
 * settings.c.
 */
#ifndef OLICA_CONFIG_OPTIONS_H
#define OLICA_CONFIG_OPTIONS_H

#include <stdint.h>

#include "la/number.h"
#include "la/solver.h"
#include "prune/method.h"

typedef enum olica_precision_choice {
  OLICA_PRECISION_AUTO,
  OLICA_PRECISION_FP32,
  OLICA_PRECISION_BF16
} olica_precision_choice;
typedef enum olica_keep_choice { OLICA_KEEP_AUTO, OLICA_KEEP_YES, OLICA_KEEP_NO } olica_keep_choice;
typedef enum olica_bos_choice { OLICA_BOS_AUTO, OLICA_BOS_YES, OLICA_BOS_NO } olica_bos_choice;

/* One MPI-IO hint. */
typedef struct olica_hint {
  const char *key, *value;
} olica_hint;

/* Strings are never NULL: "" where nothing is given. Paths are as seen from where the program was started
 * (the config file's directory put in front, but for --set); those inside a list are relative to its `base`.
 */
typedef struct olica_options {
  const char *config;       /* the file that they come from, or OLICA_OPTIONS_STDIN */
  const char *directory;    /* --output: directory of checkpoint and report, NULL: as the config says */
  bool whole;               /* all settings have been read; checks of them together may still fail */
  const char *command_line; /* the whole command line, for the report */
  const char *dump_tokens;  /* --dump-tokens: file for the calibration's ids, NULL: none */
  bool fresh;               /* --fresh: ignores restart files */
  const char *predictions;  /* --predictions: file for the questions' log-likelihoods, NULL: none */
  struct {
    const char *path, *tokenizer;
  } model;
  struct {
    const char *tokens, *text; /* one of them if method is not none */
    int64_t samples, length, seed;
    const char *save;
    const char *base; /* a file: those of the list `text` are relative to it */
  } calibration;
  struct {
    int method; /* its number in the table of methods */
    double sparsity;
    void *own[OLICA_METHODS_MAX]; /* the settings of every method, by its number; NULL: it has none */
  } prune;
  struct {
    olica_backend eigen;
    olica_solver_precision precision;
    int64_t block;
  } solver;
  struct {
    olica_precision_choice precision;
    int64_t threads; /* 0: auto */
    int64_t memory;  /* bytes, 0: auto */
    olica_keep_choice keep_weights;
  } compute;
  struct {
    const char *tokens, *text;       /* at most one of them; text: a file, or a list (eval/text_files.h), */
    const char *text_base;           /* whose files are relative to this file */
    int64_t length, windows, stride; /* windows 0: all; stride 0: length */
    olica_bos_choice bos;
    const char *tasks, *base; /* as above */
    int64_t limit;            /* 0: all */
    bool dense, kl;
  } evaluate;
  struct {
    const char *checkpoint;
    int dtype;          /* 0: as the input; see olica_options_dtype */
    const char *report; /* "": none is written */
    bool overwrite;
    const char *export; /* "KIND:PATH, KIND:PATH"; "": none */
    int export_dtype;   /* 0: as the checkpoint; else 1 + olica_export_type */
    int64_t shard;      /* bytes */
  } output;
  struct {
    olica_cadence every;
    double cost; /* share of the run's time */
    int64_t keep;
    const char *path;
  } restart;
  struct {
    int64_t walltime; /* seconds, 0: off, -1: auto */
    int64_t stall;    /* seconds */
  } run;
  struct {
    int count;
    olica_hint *hint; /* [count] */
  } io;
} olica_options;

/* The name of a config from standard input ("-"); its paths are relative to where the program was started. */
#define OLICA_OPTIONS_STDIN "standard input"

/* Returns whether the run evaluates anything. Pure, like the two below. */
bool olica_options_evaluates(const olica_options *options);

/* Returns whether the run writes restart files. */
bool olica_options_restarts(const olica_options *options);

/* Returns the format of the written weights, for a model stored as `input`. */
olica_dtype olica_options_dtype(const olica_options *options, olica_dtype input);

#endif
