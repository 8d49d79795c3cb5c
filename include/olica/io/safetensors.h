/* Safetensors: a model directory as a catalog, whether it holds one file or shards and their index. */
#ifndef OLICA_IO_SAFETENSORS_H
#define OLICA_IO_SAFETENSORS_H

#include "olica/io/catalog.h"

/* Reads the header of directory/model.safetensors, or else of the shards that model.safetensors.index.json
 * names (weight_map: tensor to shard, to agree with what the shards hold), into the catalog. Rank 0's work:
 * call it there, then olica_catalog_share on all. Everything is checked against the files' sizes before it is
 * believed. Not collective. */
olica_status olica_safetensors_open(olica_catalog *catalog, const char *directory);

#endif
