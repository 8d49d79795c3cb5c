/* The source of a model: a Hugging Face directory or a checkpoint of ours. Opening binds every tensor by
 * name, checks types and shapes, and reads no weights. A sweep then takes the weights layer by layer, and the
 * tables panel by panel: the node that owns a layer (panel) reads it, each of its ranks a share, and
 * broadcasts it (src/model/prefetch.h), so that a sweep reads every byte of the files once in all. A node has
 * one copy of the layer in work. */
#ifndef OLICA_MODEL_SOURCE_H
#define OLICA_MODEL_SOURCE_H

#include "io/catalog.h"
#include "model/nested.h"
#include "model/weights.h"
#include "par/shared.h"

/* The two V x d tables: rows are tokens. */
typedef enum olica_table { OLICA_TABLE_EMBED, OLICA_TABLE_HEAD, OLICA_TABLES } olica_table;

/* The transfer of layers. */
typedef struct olica_source_options {
  bool prefetch; /* the next layer is transferred between nodes while this one computes */
  bool keep;     /* the ranks that read layers keep their shares, as stored: the next sweep reads nothing */
  olica_dtype output; /* type of the output, which must hold every weight (fp32: any) */
} olica_source_options;

typedef struct olica_source {
  olica_context *context;
  olica_catalog *catalog;
  olica_arch arch;
  bool is_checkpoint;  /* a .h5 of ours */
  bool is_pruned;      /* some layer is not of the dense shape */
  olica_nested nested; /* of a directory: the place of the text model in a multimodal one */
  char *config;        /* config.json, verbatim; of a nested text model what src/model/nested.h makes of it */
  size_t config_bytes;
  olica_layer_shape *shape;                /* [L] */
  olica_dtype dtype;                       /* of all weights; fp32 where they differ */
  int64_t parameters;                      /* every stored number once */
  const olica_tensor *table[OLICA_TABLES]; /* the head of a tied model is its embedding */
  const olica_tensor *norm, *norm_bias;    /* of the final norm; norm_bias NULL: it has none */
  const olica_tensor *unused_head; /* a tied model's output matrix, stored once more; NULL: it is not */
  int panels, panel_rows;          /* the tables in pieces of panel_rows rows (the last may be shorter) */
  int own_first, own_count;        /* the panels that this node reads */
  unsigned char *kept;             /* this rank's shares of a tied table's own panels, as stored, once read */
  size_t kept_stride;              /* bytes of one */
  bool *kept_valid;                /* [own_count] */
  /* From olica_source_begin on: */
  olica_source_options options;
  struct olica_prefetch *prefetch; /* transfers */
  olica_shared *memory;            /* the node's layer in work */
  olica_layer *next;               /* the layer in transfer, in the same memory, */
  int next_index;                  /* and its number */
  int looked;                      /* layers that have been checked for tensors of zeros, */
  bool table_live[OLICA_TABLES], table_looked[OLICA_TABLES]; /* and tables */
  unsigned char **kept_layer; /* [L] this rank's shares of own layers, as stored, NULL: not kept */
  bool *kept_layer_valid;     /* [L] */
} olica_source;

/* Opens `path`. A directory is Hugging Face's, a file a checkpoint, of which everything but the weights is
 * read and compared with its checksums. Wrong files are OLICA_ERR_INPUT naming file and key or tensor; a
 * failure of the system is OLICA_ERR_IO. Collective on context. */
olica_status olica_source_open(olica_context *context, const char *path, olica_source **source);
void olica_source_close(olica_source *source); /* collective; NULL allowed */

/* The memory of a source in a run on that many nodes, the smallest with `ranks_per_node` ranks: bytes of the
 * node, of a rank, of a rank for layers that are kept, and from the opening on for a tied table. Pure. */
typedef struct olica_source_needs {
  size_t node, rank, kept, table;
} olica_source_needs;
olica_source_needs olica_source_plan(const olica_source *source, int nodes, int ranks_per_node,
                                     bool prefetch);

/* Allocates that memory, once, before the first weight. Collective. */
olica_status olica_source_begin(olica_source *source, olica_source_options options);

/* Takes layer `layer` in fp32, in memory of the node: ranks change it by agreement only (par/shared.h). It is
 * valid until the next one is taken; free with olica_layer_destroy. Layers are taken in order, beginning with
 * any; each call begins the transfer of the next. NaN or infinity in a weight is OLICA_ERR_INPUT naming file,
 * tensor and index; so are a failure in the background, and a checkpoint's tensor that does not match its
 * checksum (a table's is checked with its last panel). A weight that the output's type cannot hold is
 * OLICA_ERR_CONFIG. A warning names a matrix or a norm of zeros, as an interrupted download leaves them.
 * Collective. */
olica_status olica_source_layer(olica_source *source, int layer, olica_layer **weights);

/* Cancels the transfer under way, also after a failure, so that no rank waits for it. Collective; NULL
 * allowed. */
void olica_source_settle(olica_source *source);

/* Reads the final norm on every rank: gains, then biases [olica_arch_norm_numbers]. Collective. */
olica_status olica_source_norm(olica_source *source, float *gains);

/* Reads panel `panel` of source->panels of a table, its rows [*first, *first + *count), into rows
 * [panel_rows x d] in memory of the node. Errors as of a layer. Collective. */
olica_status olica_source_panel(olica_source *source, olica_table table, int panel, float *rows,
                                int64_t *first, int64_t *count);

#endif
