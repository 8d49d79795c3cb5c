/* A description, or a difference, as text for people. Private to inspect. */
#ifndef OLICA_INSPECT_SHOW_H
#define OLICA_INSPECT_SHOW_H

#include <jansson.h>
#include <stdio.h>

/* Prints the description: kind and model, a table of layers, parameters by component, settings, provenance.
 * Not collective; `to` tells of failures. */
void olica_show_description(FILE *to, const json_t *description);

/* Prints a difference (diff.h). Not collective. */
void olica_show_difference(FILE *to, const json_t *difference);

/* Writes a number with commas: "10,348,032". Pure. */
enum { OLICA_SHOW_NUMBER = 32 };
const char *olica_show_number(int64_t number, char text[OLICA_SHOW_NUMBER]);

#endif
