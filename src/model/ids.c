#include "model/ids.h"

static const char *const projection_names[OLICA_PROJECTIONS] = {
    [OLICA_Q] = "q_proj",       [OLICA_K] = "k_proj",   [OLICA_V] = "v_proj",      [OLICA_O] = "o_proj",
    [OLICA_GATE] = "gate_proj", [OLICA_UP] = "up_proj", [OLICA_DOWN] = "down_proj"};

const char *olica_projection_name(olica_projection projection) {
  return projection_names[projection];
}
