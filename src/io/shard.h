/* One safetensors file (a shard of a model, or all of it): reads its header into a catalog. Format: 8 bytes
 * little-endian header length n, n bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}}, then the
 * data. Offsets count from the beginning of the data; the tensors lie back to back without hole or overlap
 * and end where the file ends. Called on rank 0; not collective. */
#ifndef OLICA_IO_SHARD_H
#define OLICA_IO_SHARD_H

#include "io/catalog.h"

/* Adds the tensors of one of the catalog's files to it, and the header's bytes to the bytes read. Everything
 * in the header is validated against the file's size. Types not allowed for weights (I64, BOOL, F8_E4M3, ...)
 * get dtype OLICA_DTYPES; the sizes of tensors of unknown types are not checked. */
olica_status olica_shard_read(olica_catalog *catalog, int file);

/* Checks that a name is allowed for a tensor: its length and its characters, since it appears in messages.
 * `path` is for the message. */
olica_status olica_shard_check_name(olica_env *env, const char *path, const char *name);

/* Returns the catalog's name of a tensor in `text`: its own name or, if that is longer than any weight's
 * name, its beginning and a checksum. Pure. */
void olica_shard_shorten(const char *name, char text[OLICA_TENSOR_NAME]);

#endif
