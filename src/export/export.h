/* Exports: a checkpoint of ours written out in the forms that stock tools open. A form is a *kind*: a row of
 * the table in src/export/kinds.c and a file of its own (export/kind.h says what it has to give). The frame
 * shares the bytes out over the ranks, converts numbers, and gives an output its name when it is whole. */
#ifndef OLICA_EXPORT_EXPORT_H
#define OLICA_EXPORT_EXPORT_H

#include "export/types.h"
#include "par/context.h"

/* Writes a checkpoint in every form of the list, in turn. An output is written under the temporary name
 * PATH.part, flushed, and renamed last; a failure removes what was written. Its bytes do not depend on the
 * number of ranks. What a form cannot express is OLICA_ERR_CONFIG with the way out; a number that the type
 * cannot hold too; numbers that become 0 are told in a warning. With `verify` the checkpoint is checked first
 * (olica_checkpoint_verify). Collective. */
olica_status olica_export_run(olica_context *context, const char *checkpoint, const olica_export_list *list,
                              const olica_export_options *options, bool verify);

/* Tells whether there is a directory or a GGUF file under that name, which olica_export_verify takes.
 * Collective. */
bool olica_export_is(olica_context *context, const char *path);

/* Re-reads an exported directory or GGUF file, its bytes divided among the ranks. Of a directory: the files
 * of its olica_export.json, in their sizes and with their checksums; names and shapes of all tensors as
 * config.json has them. Of a file: that no tensor leaves it; names, shapes and types of all tensors as its
 * keys have them. Finite numbers. With a `checkpoint` (NULL: none) also that every tensor has the bytes that
 * it gives. *tensors, *bytes: how many were checked. A difference is OLICA_ERR_INPUT. Collective. */
olica_status olica_export_verify(olica_context *context, const char *path, const char *checkpoint,
                                 int64_t *tensors, int64_t *bytes);

#endif
