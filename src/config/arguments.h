/* The command line: which command, on which config file, with which overrides. Not collective, no I/O; works
 * before MPI_Init. */
#ifndef OLICA_CONFIG_ARGUMENTS_H
#define OLICA_CONFIG_ARGUMENTS_H

#include <stdbool.h>

#include "base/env.h"

typedef enum olica_command {
  OLICA_COMMAND_RUN,
  OLICA_COMMAND_CHECK,      /* --check: the plan; nothing is written */
  OLICA_COMMAND_VERIFY,     /* --verify FILE */
  OLICA_COMMAND_EXPORT,     /* --export KIND:PATH FILE */
  OLICA_COMMAND_TOKENIZE,   /* --tokenize DIR FILE */
  OLICA_COMMAND_DETOKENIZE, /* --detokenize DIR FILE */
  OLICA_COMMAND_INSPECT,    /* --inspect PATH */
  OLICA_COMMAND_DIFF,       /* --diff A B */
  OLICA_COMMAND_PLOT,       /* --plot OUTDIR report.json...: no MPI */
  OLICA_COMMAND_LIST,       /* --list, --help, --version: no config, no MPI */
  OLICA_COMMAND_HELP,
  OLICA_COMMAND_VERSION
} olica_command;

typedef struct olica_arguments {
  olica_command command;
  const char *config;    /* RUN, CHECK: the config file as given, "-": standard input; else NULL */
  const char *export;    /* EXPORT: the list of outputs as given */
  const char *file;      /* VERIFY, EXPORT: the checkpoint as given; TOKENIZE, DETOKENIZE: the text, the ids;
                            INSPECT,      DIFF: what is shown, B */
  const char *other;     /* DIFF: A */
  const char *against;   /* VERIFY: the checkpoint beside an export as given, NULL: none */
  bool json;             /* INSPECT, DIFF */
  const char *tokenizer; /* TOKENIZE, DETOKENIZE: the directory or checkpoint whose tokenizer it is */
  bool special;          /* TOKENIZE, DETOKENIZE */
  int ranks;             /* CHECK: plan for so many ranks, 0: for the present ones */
  int ranks_per_node;    /* CHECK: 0: as at present; with `ranks` given: all on one node */
  const char *plot;      /* PLOT: the directory as given */
  int words;             /* words that are no options, in order: the config file; PLOT: the reports */
  const char **word;     /* [words] */
  const char *dump_tokens; /* RUN, CHECK: --dump-tokens as given, NULL: none */
  const char *predictions; /* RUN, CHECK: --predictions as given, NULL: none */
  const char *output;      /* RUN, CHECK: --output as given, NULL: none */
  const char *variables;   /* RUN, CHECK: rank 0's variables, of olica_options_variables; NULL: none */
  const struct olica_pair
      *pair; /* RUN, CHECK: of olica_pairs_read, the job of a comparison; NULL: the only job */
  bool quiet, fresh;
  char *command_line; /* the whole command line, words quoted for a shell if necessary; in counted memory */
  int sets;           /* --set, in order; a later one wins */
  const char **set;   /* [sets] "section.key=value" */
} olica_arguments;

/* Strings point into argv, which must outlive them. A usage error is OLICA_ERR_CONFIG. */
olica_status olica_arguments_parse(olica_env *env, int argc, char **argv, olica_arguments *arguments);

/* Returns option number i of the command line, for --help, or NULL past the end of the table. */
typedef struct olica_argument {
  const char *name;    /* "--set" */
  const char *operand; /* "section.key=value", "" if it has none */
  const char *about;
} olica_argument;
const olica_argument *olica_arguments_at(int i);

#endif
