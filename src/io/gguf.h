/* GGUF, the file format of llama.cpp: reads a file's metadata and the list of its tensors as a catalog. Reads
 * no weights, and trusts no count, length or offset of the file. */
#ifndef OLICA_IO_GGUF_H
#define OLICA_IO_GGUF_H

#include <jansson.h>

#include "io/catalog.h"

/* Reads the header of a file of version 2 or 3, little endian, into the catalog. Shapes come in the order of
 * Hugging Face, [out, in]. Types F32, F16 and BF16 can be read through the catalog; of the others `stored`
 * has the name, "Q8_0", and `bytes` the size.
 *
 * *metadata becomes an object with every key of the file, in its order: strings, numbers, booleans, arrays. A
 * number that JSON lacks (NaN) is null. A long array is {"array": TYPE, "count": N}, and a string that is
 * long or no UTF-8 {"bytes": N}. Free it with json_decref; NULL after a failure.
 *
 * Refused with OLICA_ERR_INPUT, naming the file and what was found and expected: counts and lengths that
 * exceed the file or the limits of the format, types that are not known, names that repeat, tensors that
 * overlap, are misaligned or leave the file. Call it on rank 0, then olica_catalog_share on all ranks. Not
 * collective. */
olica_status olica_gguf_open(olica_catalog *catalog, const char *path, json_t **metadata);

/* Tells whether a file begins like one. Not collective; never fails. */
bool olica_gguf_begins(const char *path);

#endif
