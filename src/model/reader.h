/* Reads an object of config.json: what every reader of it needs. Private to model. */
#ifndef OLICA_MODEL_READER_H
#define OLICA_MODEL_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/arch.h"

enum { OLICA_READER_PLACE = 1280 }; /* of a message: file and key */

/* The object that a reader reads; `name`: the file and where in it. */
typedef struct olica_reader {
  olica_env *env;
  const char *name;
  const json_t *root;
} olica_reader;

/* Tells whether the object has the key with a value that is not null. */
bool olica_reader_has(const olica_reader *r, const char *key);

/* Reads an integer in [low, high]; a key that is absent or null leaves *value, unless it is required.
 * OLICA_ERR_INPUT. */
olica_status olica_reader_int(const olica_reader *r, const char *key, bool required, int64_t low,
                              int64_t high, int *value);

/* Reads a real likewise. */
olica_status olica_reader_real(const olica_reader *r, const char *key, bool required, double low, double high,
                               double *value);

/* Makes a reader of the object under a key; its name lies in `place` [OLICA_READER_PLACE]. OLICA_ERR_INPUT if
 * there is none. */
olica_status olica_reader_enter(const olica_reader *r, const char *key, char *place, olica_reader *inner);

/* Gives the layers of an arch their windows, and says which of them have RoPE. */
olica_status olica_layers_read(const olica_reader *r, olica_arch *arch);

/* Returns the word of layer_types for a layer. */
const char *olica_layers_kind(const olica_arch *arch, int layer);

/* Reads the RoPE settings, with what they say of the scale of queries; the layers are known. What is not
 * computed is OLICA_ERR_INPUT by name. olica_arch_free frees what they hold. */
olica_status olica_rope_read(const olica_reader *r, olica_arch *arch);

#endif
