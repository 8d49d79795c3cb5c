/* Model families: what differs between LLaMA-type models in names and numbers. One line each in family.c.
 * Pure. */
#ifndef OLICA_MODEL_FAMILY_H
#define OLICA_MODEL_FAMILY_H

/* Says when the config's sliding_window counts. */
typedef enum olica_family_window {
  OLICA_WINDOW_NEVER,
  OLICA_WINDOW_ALWAYS,   /* in all layers */
  OLICA_WINDOW_ON_DEMAND /* if use_sliding_window, from layer max_window_layers on */
} olica_family_window;

typedef struct olica_family {
  const char *name;      /* model_type in config.json */
  const char *about;     /* for --list */
  const char *prefix;    /* of the tensors inside the model: "model." */
  const char *layers;    /* of one layer's, with %d: "model.layers.%d." */
  const char *attention; /* of the projections of attention: "self_attn." */
  const char *mlp;       /* of the projections of the FFN: "mlp." */
  const char *head;      /* the output matrix: "lm_head.weight" */
  /* [OLICA_TENSORS] published names that are not those of the table in src/model/tensors.c, behind the prefix
   * of their place: of a projection's bias "dense.bias". NULL: as the table has it; of all. */
  const char *const *published;
  int attention_bias[4]; /* q, k, v, o always have a bias, whatever the config says */
  int config_bias;       /* 1: the config's attention_bias and mlp_bias count */
  olica_family_window window;
  int kv_heads, context; /* where the config has no num_key_value_heads (0: as many as query heads) or
                            max_position_embeddings */
} olica_family;

/* Return the family of that name, or NULL; and number i of the table, or NULL past its end. */
const olica_family *olica_family_find(const char *name);
const olica_family *olica_family_at(int i);

#endif
