/* One safetensors file (a shard of a model, or all of it): its header read into a catalog. Format: 8 bytes
 * little-endian header length n, n bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}}, then the
 * data; offsets count from the data's beginning, lie back to back without hole or overlap, and end where the
 * file ends. Rank 0's work, not collective. */
#ifndef OLICA_IO_SHARD_H
#define OLICA_IO_SHARD_H

#include "olica/io/catalog.h"

/* Adds the tensors of a file of the catalog to it, and the header's bytes to what has been read. Everything
 * in the header is checked against the file's size before it is believed. Types that weights cannot have
 * (I64, BOOL, F8_E4M3, ...) are taken with dtype OLICA_DTYPES, of a type unknown to us the bytes are not
 * checked. */
olica_status olica_shard_read(olica_catalog *catalog, int file);

/* Whether a tensor may be called that: names go into fixed room, and into messages. `path` is for the
 * message. */
olica_status olica_shard_check_name(olica_env *env, const char *path, const char *name);

/* The name that a tensor has in the catalog: its own, or if that is longer than any of ours its beginning and
 * a checksum. Pure. */
void olica_shard_shorten(const char *name, char text[OLICA_TENSOR_NAME]);

#endif
