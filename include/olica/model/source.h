/* Where a model comes from: a Hugging Face directory or a checkpoint of ours. Opening binds every tensor by
 * name, checks types and shapes, and reads nothing else. Weights are then handed out layer by layer and table
 * panel by table panel: the rank that owns a layer (panel) reads its byte ranges and broadcasts them, so that
 * a sweep reads every byte of the file once in all. */
#ifndef OLICA_MODEL_SOURCE_H
#define OLICA_MODEL_SOURCE_H

#include "olica/io/catalog.h"
#include "olica/model/weights.h"

/* The two V x d tables: rows are tokens. */
typedef enum olica_table { OLICA_TABLE_EMBED, OLICA_TABLE_HEAD, OLICA_TABLES } olica_table;

/* Rows of a panel: they do not depend on the number of ranks, and so neither does what is computed with
 * panels. Pure. */
int olica_source_panel_rows(const olica_arch *arch);

typedef struct olica_source {
  olica_context *context;
  olica_catalog *catalog;
  olica_arch arch;
  bool is_checkpoint; /* a .h5 of ours */
  bool is_pruned;     /* some layer is not of the dense shape */
  char *config;       /* config.json, verbatim */
  size_t config_bytes;
  olica_layer_shape *shape;                /* [L] */
  olica_dtype dtype;                       /* of all weights; fp32 where they differ */
  int64_t parameters;                      /* every stored number once */
  const olica_tensor *table[OLICA_TABLES]; /* the head of a tied model is its embedding */
  const olica_tensor *norm;
  int panels, panel_rows;   /* the tables in pieces of panel_rows rows (the last may be shorter) */
  int own_first, own_count; /* the panels that this rank reads */
  void *kept;               /* raw rows of a tied table's own panels, once read */
  bool *kept_valid;         /* [own_count] */
} olica_source;

/* Opens `path`. Collective on context. A directory is Hugging Face's, a file a checkpoint. */
olica_status olica_source_open(olica_context *context, const char *path, olica_source **source);
void olica_source_close(olica_source *source); /* not collective; NULL allowed */

/* Layer `layer` in fp32 on every rank; free with olica_layer_destroy. Collective. NaN or infinity in a weight
 * is OLICA_ERR_INPUT naming file, tensor and index. */
olica_status olica_source_layer(olica_source *source, int layer, olica_layer **weights);

/* The final norm's gains [d] on every rank. Collective. */
olica_status olica_source_norm(olica_source *source, float *gains);

/* Rows [*first, *first + *count) of a table, panel `panel` of source->panels, on every rank at rows
 * [panel_rows x d]. Collective. */
olica_status olica_source_panel(olica_source *source, olica_table table, int panel, float *rows,
                                int64_t *first, int64_t *count);

#endif
