/* Safetensors: indexes a model directory, of one file or of shards with an index, as a catalog. */
#ifndef OLICA_IO_SAFETENSORS_H
#define OLICA_IO_SAFETENSORS_H

#include "io/catalog.h"

/* Reads the header of directory/model.safetensors or, if that is missing, of the shards named in
 * model.safetensors.index.json into the catalog. The index's weight_map (tensor to shard) must agree with the
 * shards. Everything is validated against the files' sizes. Call it on rank 0, then olica_catalog_share on
 * all ranks. Not collective. */
olica_status olica_safetensors_open(olica_catalog *catalog, const char *directory);

#endif
