/* The answers to --help, --version and --list. Not collective; need no MPI_Init, no config. */
#ifndef OLICA_CONFIG_USAGE_H
#define OLICA_CONFIG_USAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "config/arguments.h"

void olica_usage_help(FILE *to);
void olica_usage_version(FILE *to);
void olica_usage_list(FILE *to);

/* Prints the answer to --help, --version or --list; false: another command, nothing printed. */
bool olica_usage_answer(olica_command command, FILE *to);

/* Return "0.1.0", and the git hash of this build. */
const char *olica_usage_release(void);
const char *olica_usage_git(void);

/* Returns {"MPI": "Open MPI v4.1.4", "HDF5": "1.10.8", ...}: a new reference, NULL without memory. */
json_t *olica_usage_libraries(void);

#endif
