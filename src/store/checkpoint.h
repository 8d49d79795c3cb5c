/* The pruned checkpoint: its schema (doc/checkpoint.md), written while the layers come, verified, then put
 * under its name. Collective on the context throughout. */
#ifndef OLICA_STORE_CHECKPOINT_H
#define OLICA_STORE_CHECKPOINT_H

#include "io/hdf5.h"
#include "model/source.h"
#include "model/tensors.h"

/* A text under /meta, NULs and all; data NULL or bytes 0: the model has none. */
typedef struct olica_checkpoint_text {
  const char *data;
  size_t bytes;
} olica_checkpoint_text;

typedef struct olica_checkpoint_meta {
  olica_checkpoint_text config_json, settings_json, provenance_json, tokenizer_json, tokenizer_model,
      tokenizer_config_json, special_tokens_map_json, added_tokens_json;
} olica_checkpoint_meta;

typedef struct olica_checkpoint_options {
  const char *path; /* the final name; written as path.part */
  olica_dtype dtype;
  bool overwrite; /* else an existing file is OLICA_ERR_CONFIG */
  MPI_Info hints;
} olica_checkpoint_options;

typedef struct olica_checkpoint olica_checkpoint;

/* Before anything long runs: is the directory there and writable, is there no such file (or overwrite), are
 * there `bytes` free? `touch`: the .part file is made for a moment, to be sure; else nothing is written.
 * Collective. */
olica_status olica_checkpoint_probe(olica_context *context, const olica_checkpoint_options *options,
                                    int64_t bytes, bool touch);

/* Creates the .part file with every dataset the model will have, shapes[layers], reserves its blocks and
 * writes the texts. Biases and widths come from the shapes; lm_head only if the model is not tied. Nothing is
 * left of it after a failure. */
olica_status olica_checkpoint_create(olica_context *context, const olica_checkpoint_options *options,
                                     const olica_arch *arch, const olica_layer_shape *shapes,
                                     const olica_checkpoint_meta *meta, olica_checkpoint **checkpoint);

/* Most datasets that a checkpoint of that model can have. Pure. */
int64_t olica_checkpoint_most_datasets(const olica_arch *arch);

/* Number of datasets of a checkpoint under way. Not collective. */
int olica_checkpoint_datasets(const olica_checkpoint *checkpoint);

/* What was written so far is made to survive the end of the process and of the machine; then progress
 * [datasets] says what that is. */
olica_status olica_checkpoint_flush(olica_checkpoint *checkpoint, olica_hdf5_progress *progress);

/* Goes on with the .part file that was created with the same shapes, and flushed with this progress
 * [datasets]; what was written after that is written again. The texts of /meta stay. A file that is not
 * there, not that one, or damaged is OLICA_ERR_IO; it is left as it is. */
olica_status olica_checkpoint_reopen(olica_context *context, const olica_checkpoint_options *options,
                                     const olica_arch *arch, const olica_layer_shape *shapes,
                                     const olica_checkpoint_meta *meta, int datasets,
                                     const olica_hdf5_progress *progress, olica_checkpoint **checkpoint);

/* Ends this process's part of it; the .part file stays for olica_checkpoint_reopen. Not collective; NULL
 * allowed. */
void olica_checkpoint_leave(olica_checkpoint *checkpoint);

/* Removes the .part file of that checkpoint, which nobody has open. Not collective: rank 0. */
void olica_checkpoint_discard(olica_env *env, const char *path);

/* The rows of the embedding and of the output matrix, in ascending order, in pieces; the final norm [d].
 * Every rank holds the piece, each writes its part. Numbers are already rounded to the checkpoint's dtype. */
olica_status olica_checkpoint_write_rows(olica_checkpoint *checkpoint, olica_table table, int64_t first,
                                         int64_t count, const float *rows);
olica_status olica_checkpoint_write_norm(olica_checkpoint *checkpoint, const float *norm);
olica_status olica_checkpoint_write_layer(olica_checkpoint *checkpoint, int layer,
                                          const olica_layer *weights);

/* Flush, complete = 1, close, verify, rename; *bytes_written is this rank's. Frees the checkpoint, whatever
 * comes of it. A failure leaves no file, or with `keep` the .part file, to be reopened; where
 * without overwrite somebody has taken the name meanwhile, the whole .part file stays, and the message says
 * so. What does not read back as it was written (NaN too) is OLICA_ERR_IO naming the tensor; that file is not
 * kept. */
olica_status olica_checkpoint_finish(olica_checkpoint *checkpoint, bool keep, double *bytes_written);

/* Gives up after a failure that all ranks know of: the .part file is removed. Not collective; NULL
 * allowed. */
void olica_checkpoint_abandon(olica_checkpoint *checkpoint);

/* Re-reads a checkpoint, spread over the ranks: schema, shapes against its own config, finite numbers, kept
 * lists, checksums of every dataset. *tensors, *bytes: how many were checked. A difference is OLICA_ERR_INPUT
 * naming file and tensor. Prints nothing. */
olica_status olica_checkpoint_verify(olica_context *context, const char *path, int64_t *tensors,
                                     int64_t *bytes);

/* Counted bytes of one of so many ranks, at most, while a checkpoint is written, and while one is verified.
 * Pure. */
int64_t olica_checkpoint_writer_bytes(const olica_arch *arch, olica_dtype dtype, int ranks);
int64_t olica_checkpoint_verify_bytes(void);

/* Bytes of the datasets of a checkpoint with these shapes (without metadata). Pure. */
int64_t olica_checkpoint_bytes(const olica_arch *arch, const olica_layer_shape *shapes, olica_dtype dtype);

#endif
