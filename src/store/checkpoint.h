/* The pruned checkpoint: its items (doc/checkpoint.md) go to the writer layer by layer, are verified, then
 * get their name. The functions are collective on the context unless stated otherwise. */
#ifndef OLICA_STORE_CHECKPOINT_H
#define OLICA_STORE_CHECKPOINT_H

#include <mpi.h>

#include "model/source.h"
#include "model/tensors.h"

/* The texts under /meta, in their order. */
typedef enum olica_checkpoint_text_id {
  OLICA_TEXT_CONFIG,
  OLICA_TEXT_SETTINGS,
  OLICA_TEXT_PROVENANCE, /* its time and place are those of one run: the mark of the file */
  OLICA_TEXT_TOKENIZER_JSON,
  OLICA_TEXT_TOKENIZER_MODEL,
  OLICA_TEXT_TOKENIZER_CONFIG,
  OLICA_TEXT_SPECIAL_TOKENS,
  OLICA_TEXT_ADDED_TOKENS,
  OLICA_TEXTS
} olica_checkpoint_text_id;

/* A text, NULs and all; bytes 0: the model has none. */
typedef struct olica_checkpoint_text {
  const char *data;
  size_t bytes;
} olica_checkpoint_text;

typedef struct olica_checkpoint_options {
  const char *path; /* the final name; written as path.part */
  olica_dtype dtype;
  bool overwrite; /* else an existing file is OLICA_ERR_CONFIG */
  MPI_Info hints;
} olica_checkpoint_options;

typedef struct olica_checkpoint olica_checkpoint;

/* Checks before a long run that the file can be written: its directory exists and is writable, no file has
 * the name (or overwrite), and `bytes` are free. With `touch` creates the .part file for a moment, to be
 * sure; else writes nothing. */
olica_status olica_checkpoint_probe(olica_context *context, const olica_checkpoint_options *options,
                                    int64_t bytes, bool touch);

/* Creates the .part file with all items that the model will have, shapes[layers], reserves its blocks and
 * writes the texts. Biases and widths come from the shapes; lm_head only if the model is not tied. Nothing is
 * left of it after a failure.
 * With `progress` reopens the .part file of the same shapes instead, as it was flushed with these bytes;
 * later writes are repeated, and its texts stay. A file that is missing, damaged or of another run is
 * OLICA_ERR_IO, and is left as it is. */
olica_status olica_checkpoint_open(olica_context *context, const olica_checkpoint_options *options,
                                   const olica_arch *arch, const olica_layer_shape *shapes,
                                   const olica_checkpoint_text texts[OLICA_TEXTS], const void *progress,
                                   int64_t progress_bytes, olica_checkpoint **checkpoint);

/* Makes what was written so far survive the end of the process and a crash of the machine; fills `progress`
 * [olica_checkpoint_progress_bytes, counted memory], for olica_checkpoint_open. */
olica_status olica_checkpoint_flush(olica_checkpoint *checkpoint, void *progress);
int64_t olica_checkpoint_progress_bytes(const olica_checkpoint *checkpoint); /* not collective */

/* Ends this process's part of it; the .part file stays, to be reopened. Not collective; NULL allowed. */
void olica_checkpoint_leave(olica_checkpoint *checkpoint);

/* Removes the .part file of that checkpoint, which nobody has open. Not collective: rank 0. */
void olica_checkpoint_discard(olica_env *env, const char *path);

/* Write the rows of the embedding and of the output matrix, in ascending order, in pieces, and the final norm
 * [d]. Every rank holds the piece, each writes its part. Numbers are already rounded to the checkpoint's
 * dtype. */
olica_status olica_checkpoint_write_rows(olica_checkpoint *checkpoint, olica_table table, int64_t first,
                                         int64_t count, const float *rows);
olica_status olica_checkpoint_write_norm(olica_checkpoint *checkpoint, const float *norm);
olica_status olica_checkpoint_write_layer(olica_checkpoint *checkpoint, int layer,
                                          const olica_layer *weights);

/* Seals the file, reads it back, verifies and renames it; *bytes_written is this rank's. Frees the checkpoint
 * in any case. A failure leaves no file, or with `keep` the .part file, to be reopened. If somebody has taken
 * the name meanwhile (without overwrite), the complete .part file stays, and the message says so. A file that
 * does not read back as it was written (NaN too) is OLICA_ERR_IO naming the tensor; it is removed. */
olica_status olica_checkpoint_finish(olica_checkpoint *checkpoint, bool keep, double *bytes_written);

/* Gives up after a failure that all ranks know of, and removes the .part file. Not collective; NULL
 * allowed. */
void olica_checkpoint_abandon(olica_checkpoint *checkpoint);

/* Re-reads a checkpoint, its bytes divided among the ranks: schema, shapes against its own config, finite
 * numbers, kept lists, checksums of all datasets. *tensors, *bytes: how many were checked. A difference is
 * OLICA_ERR_INPUT naming file and tensor. Prints nothing. */
olica_status olica_checkpoint_verify(olica_context *context, const char *path, int64_t *tensors,
                                     int64_t *bytes);

/* Bound a rank's counted bytes while a checkpoint is written by so many ranks, those of its progress, and
 * those while one is verified. Pure. */
int64_t olica_checkpoint_writer_bytes(const olica_arch *arch, olica_dtype dtype, int ranks);
int64_t olica_checkpoint_progress_most(const olica_arch *arch);
int64_t olica_checkpoint_verify_bytes(void);

/* Returns the bytes of the tensors of a checkpoint with these shapes (without metadata). Pure. */
int64_t olica_checkpoint_bytes(const olica_arch *arch, const olica_layer_shape *shapes, olica_dtype dtype);

#endif
