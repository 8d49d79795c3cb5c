/* The architecture: the numbers of a LLaMA-type model, read from its config.json. Pure, not collective.
 */
#ifndef OLICA_MODEL_ARCH_H
#define OLICA_MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "model/family.h"
#include "model/rope.h"

/* The seven projections of a layer, in the order they are stored and written. */
typedef enum olica_projection {
  OLICA_Q,
  OLICA_K,
  OLICA_V,
  OLICA_O,
  OLICA_GATE,
  OLICA_UP,
  OLICA_DOWN,
  OLICA_PROJECTIONS
} olica_projection;

/* "q_proj", ..., "down_proj". */
const char *olica_projection_name(olica_projection projection);

typedef struct olica_arch {
  const olica_family *family;
  int layers;                   /* L */
  int hidden;                   /* d */
  int heads, kv_heads;          /* H, K; K divides H */
  int head;                     /* h, size of a head */
  int ffn;                      /* f */
  int vocabulary;               /* V */
  int context;                  /* longest sequence the model was made for */
  double eps;                   /* of RMSNorm */
  bool tied;                    /* lm_head is embed_tokens */
  bool bias[OLICA_PROJECTIONS]; /* the config (or the family) says there is one: then it must be there */
  olica_rope rope;
  int window, window_from; /* sliding attention over `window` tokens (0: none) in layers >= window_from */
  int bos;                 /* -1: none */
} olica_arch;

/* Rows and columns of a projection of the unpruned model: q [H·h x d], k, v [K·h x d], o [d x H·h],
 * gate, up [f x d], down [d x f]. */
void olica_arch_shape(const olica_arch *arch, olica_projection projection, int *out, int *in);

/* Reads the text of a config.json; `name` is for messages. Unknown families, activations and rope scalings,
 * features that are not computed (src/model/features.c), keys that are missing or contradict each other and
 * sizes that do not fit each other are OLICA_ERR_INPUT. */
olica_status olica_arch_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              olica_arch *arch);

#endif
