/* Which part of a model a tensor is, by its name alone: as a checkpoint of ours, Hugging Face, an export or
 * llama.cpp calls it. So models can be shown that this program does not prune. Private to inspect. Pure. */
#ifndef OLICA_INSPECT_NAMES_H
#define OLICA_INSPECT_NAMES_H

#include "io/catalog.h"
#include "model/arch.h"

/* What a tensor is for. The first are the projections, in the order of olica_projection. */
typedef enum olica_role {
  OLICA_ROLE_QKV = OLICA_PROJECTIONS, /* query, key and value, one below the other */
  OLICA_ROLE_GATE_UP,
  OLICA_ROLE_EXPERT, /* of several FFNs in a layer */
  OLICA_ROLE_BRANCH,
  OLICA_ROLE_NORM,
  OLICA_ROLE_EMBED,
  OLICA_ROLE_HEAD,
  OLICA_ROLE_UNKNOWN,
  OLICA_ROLE_LIST,   /* no parameters, from here on: indices of what was kept, */
  OLICA_ROLE_ROTARY, /* a table that follows from the config, */
  OLICA_ROLE_TEXT,
  OLICA_ROLES
} olica_role;

/* The parts whose parameters are summed up. */
typedef enum olica_component {
  OLICA_COMPONENT_EMBED,
  OLICA_COMPONENT_QUERY_KEY,
  OLICA_COMPONENT_VALUE_OUTPUT,
  OLICA_COMPONENT_FFN,
  OLICA_COMPONENT_BRANCH,
  OLICA_COMPONENT_NORMS,
  OLICA_COMPONENT_HEAD,
  OLICA_COMPONENT_OTHER,
  OLICA_COMPONENTS /* of none: the tensor holds no parameters */
} olica_component;

/* "embedding", "query_key", ...: as a member of JSON. */
const char *olica_component_name(olica_component component);

/* Where a tensor belongs. */
typedef struct olica_inspect_place {
  olica_role role;
  int layer; /* -1: outside of the layers */
  char part; /* 'w' a matrix or a vector of gains, 'b' and 'a' the factors of b·a, '+' a bias */
  /* The same for the same tensor under any naming: "layers.3.q_proj.b". */
  char name[OLICA_TENSOR_NAME];
} olica_inspect_place;

/* Places a tensor. A number of a layer from `layers` on is none. */
olica_inspect_place olica_names_place(const char *name, int layers);

/* Returns the component of a role; of query, key and value in one the caller divides the rows. */
olica_component olica_names_component(olica_role role);

#endif
