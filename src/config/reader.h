/* Reads the options of a run from config file, --set and command line, so that every rank has the same:
 *
 *     olica_arguments arguments;
 *     OLICA_TRY(olica_arguments_parse(env, argc, argv, &arguments));   // every rank has argv
 *     // rank 0: OLICA_TRY(olica_options_load(env, arguments.config, &text, &bytes)); agree, broadcast text
 *     // rank 0: OLICA_TRY(olica_options_variables(...)); agree, broadcast to arguments.variables
 *     OLICA_TRY(olica_pairs_read(env, &arguments, text, bytes, &pairs));   // a comparison: arguments.pair of
 * each olica_options options; OLICA_TRY(olica_options_read(env, &arguments, text, bytes, &options));
 *     report->settings = olica_options_json(&options);
 */
#ifndef OLICA_CONFIG_READER_H
#define OLICA_CONFIG_READER_H

#include "config/arguments.h"
#include "config/options.h"

/* Reads the config file ("-": standard input) into counted memory, NUL-terminated past its end: rank 0's
 * part. A missing file or one above OLICA_INI_BYTES is OLICA_ERR_CONFIG, the system's refusal OLICA_ERR_IO.
 */
olica_status olica_options_load(olica_env *env, const char *path, char **text, size_t *bytes);

/* Rank 0 collects the variables that the config's text and the command line's paths name (paths.h). Every
 * rank gets them in arguments->variables. */
olica_status olica_options_variables(olica_env *env, const olica_arguments *arguments, const char *text,
                                     char **variables, size_t *bytes);

/* Reads options from the text of the config file arguments->config and the --set of `arguments`; the rest
 * gets its defaults. Checks all that does not depend on the model (checks.h). Pure, the same on every rank.
 * Paths: removes quotation marks, replaces `~` and variables; moves checkpoint and report into `directory`,
 * under their own names, unless --set names them. OLICA_ERR_CONFIG names file and line (or --set), key, found
 * and expected. Strings are in counted memory, owned by env. */
olica_status olica_options_read(olica_env *env, const olica_arguments *arguments, const char *text,
                                size_t bytes, olica_options *options);

#endif
