/* Safetensors: the headers of a model directory as a catalog. Format: 8 bytes little-endian header length n, n
 * bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}}, then the data; offsets count from the data's
 * beginning, lie back to back without hole or overlap, and end where the file ends. */
#ifndef OLICA_IO_SAFETENSORS_H
#define OLICA_IO_SAFETENSORS_H

#include "olica/io/catalog.h"

/* Reads directory/model.safetensors, or the shards that model.safetensors.index.json names, into the catalog
 * (rank 0's work: call it there, then olica_catalog_share on all). Everything in the headers is checked
 * against the files' sizes before it is believed. Only the shards' headers are read. Not collective. */
olica_status olica_safetensors_open(olica_catalog *catalog, const char *directory);

#endif
