/* The interface of a format of the writer. A format is one table of operations in one file, and one line in
 * the table of src/store/writer.c. The writer keeps the names and the order of calls; a format makes bytes.
 * Private to store.
 *
 * All operations are collective on the context unless stated otherwise, and return the same status on all
 * ranks. `file` is the format's own state. An absent operation is NULL; its default stands in writer.c. */
#ifndef OLICA_STORE_FORMAT_H
#define OLICA_STORE_FORMAT_H

#include "store/writer.h"

typedef struct olica_format_ops {
  const char *name;

  /* Creates the output under the name `part`. *file may be set even after a failure, to be left. */
  olica_status (*create)(olica_context *context, const char *part, const olica_writer_options *options,
                         void **file);
  /* In a reopened output a text has shape[0] = 0: as long as it is. */
  olica_status (*declare)(void *file, const olica_writer_item *item, int *number);
  olica_status (*begin)(void *file);
  olica_status (*write)(void *file, int number, int64_t first, int64_t count, const void *rows);
  /* Completes and closes the output; frees its state after success. */
  olica_status (*seal)(void *file);
  /* Frees the state; nothing else, since other ranks may have failed elsewhere. Not collective. */
  void (*leave)(void *file);
  double (*written)(const void *file);                            /* not collective */
  int64_t (*memory)(int ranks, int64_t row_bytes, int64_t items); /* pure */

  /* olica_writer_check_name; absent: every name will do. */
  olica_status (*check_name)(olica_env *env, const char *setting, const char *path);

  /* Resuming: absent, all three, if an output of this format cannot be resumed. */
  olica_status (*reopen)(olica_context *context, const char *part, const olica_writer_options *options,
                         void **file);
  olica_status (*flush)(void *file, void *progress);
  /* After the declarations: takes the progress, and compares the mark (-1: there is none) with it. */
  olica_status (*resume)(void *file, const void *progress, int mark);
  int64_t item_progress; /* bytes of progress of an item */

  /* Of one rank. Absent: an output is one file. */
  olica_status (*publish)(olica_env *env, const char *part, const char *path, bool replace, bool *taken);
  void (*discard)(const char *part);
} olica_format_ops;

extern const olica_format_ops olica_format_hdf5;

#endif
