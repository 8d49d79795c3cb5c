/* The identity of a pair's job: the settings and the input files that its figures follow from. A row of
 * another identity is not taken over by a comparison. Files that stand in lists of texts and tasks count by
 * name alone. Not collective: rank 0. Private to api. */
#ifndef OLICA_API_IDENTITY_H
#define OLICA_API_IDENTITY_H

#include <jansson.h>
#include <stdbool.h>

#include "config/options.h"

enum { OLICA_IDENTITY_TEXT = 32 };

/* Writes a text that differs where settings, sizes or times of change of the files differ; "" without memory.
 */
void olica_identity_text(const olica_options *options, char text[OLICA_IDENTITY_TEXT]);

/* Returns true if `report` (NULL: none) is of a job that ended well, had these settings, and was started
 * after the last change of the files. */
bool olica_identity_made(const olica_options *options, const json_t *report);

#endif
