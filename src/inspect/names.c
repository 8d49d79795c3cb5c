#include "names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 16 };

/* A name, cut at its dots and slashes. */
typedef struct words {
  int count;
  const char *word[WORDS];
  char text[OLICA_TENSOR_NAME];
} words;

static const struct {
  const char *word;
  int role;
} known[] = {
    {"q_proj", OLICA_Q},
    {"attn_q", OLICA_Q},
    {"k_proj", OLICA_K},
    {"attn_k", OLICA_K},
    {"v_proj", OLICA_V},
    {"attn_v", OLICA_V},
    {"o_proj", OLICA_O},
    {"attn_output", OLICA_O},
    {"dense", OLICA_O},
    {"gate_proj", OLICA_GATE},
    {"ffn_gate", OLICA_GATE},
    {"up_proj", OLICA_UP},
    {"ffn_up", OLICA_UP},
    {"fc1", OLICA_UP},
    {"dense_h_to_4h", OLICA_UP},
    {"down_proj", OLICA_DOWN},
    {"ffn_down", OLICA_DOWN},
    {"fc2", OLICA_DOWN},
    {"dense_4h_to_h", OLICA_DOWN},
    {"qkv_proj", OLICA_ROLE_QKV},
    {"attn_qkv", OLICA_ROLE_QKV},
    {"query_key_value", OLICA_ROLE_QKV},
    {"gate_up_proj", OLICA_ROLE_GATE_UP},
    {"branch", OLICA_ROLE_BRANCH},
    {"embed_tokens", OLICA_ROLE_EMBED},
    {"token_embd", OLICA_ROLE_EMBED},
    {"embed_in", OLICA_ROLE_EMBED},
    {"wte", OLICA_ROLE_EMBED},
    {"lm_head", OLICA_ROLE_HEAD},
    {"embed_out", OLICA_ROLE_HEAD},
    {"output", OLICA_ROLE_HEAD},
    {"kept", OLICA_ROLE_LIST},
    {"ffn_kept", OLICA_ROLE_LIST},
    {"kv_heads_kept", OLICA_ROLE_LIST},
    {"rotary_emb", OLICA_ROLE_ROTARY},
    {"rope_freqs", OLICA_ROLE_ROTARY},
    {"meta", OLICA_ROLE_TEXT},
};

/* The names of the two norms of a layer, by naming. */
static const char *const norms[][2] = {{"attn_norm", "input_layernorm"},
                                       {"ffn_norm", "post_attention_layernorm"},
                                       {"output_norm", "norm"},
                                       {"final_layernorm", "norm"}};

static const char *const component_names[OLICA_COMPONENTS] = {
    "embedding", "query_key", "value_output", "ffn", "branch", "norms", "head", "other"};

const char *olica_component_name(olica_component component) {
  return component_names[component];
}

static void cut(const char *name, words *w) {
  char *rest, *word;
  w->count = 0;
  snprintf(w->text, sizeof w->text, "%s", name);
  for (word = strtok_r(w->text, "./", &rest); word && w->count < WORDS; word = strtok_r(NULL, "./", &rest))
    w->word[w->count++] = word;
}

static bool is(const char *word, const char *other) {
  return strcmp(word, other) == 0;
}

/* Returns the layer, and the number of words up to its number: "model.layers.3.mlp": 3. -1: of none. */
static int find_layer(const words *w, int layers, int *behind) {
  *behind = 0;
  for (int i = 0; i + 1 < w->count; i++) {
    if (!is(w->word[i], "layers") && !is(w->word[i], "blk") && !is(w->word[i], "h")) continue;
    const char *digits = w->word[i + 1];
    if (strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 8) continue;
    int layer = atoi(digits);
    if (layer >= layers) continue;
    *behind = i + 2;
    return layer;
  }
  return -1;
}

static olica_role role_of(const words *w) {
  int role = OLICA_ROLE_UNKNOWN;
  for (int i = 0; i < w->count; i++) {
    if (is(w->word[i], "experts") || strstr(w->word[i], "_exps")) return OLICA_ROLE_EXPERT;
    if (strstr(w->word[i], "norm")) return OLICA_ROLE_NORM;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
      if (is(w->word[i], known[k].word)) role = known[k].role;
  }
  return (olica_role)role;
}

/* A last word "weight" says nothing behind "a" or "b" (the factors of a compact export). */
static char part_of(const words *w) {
  for (int i = w->count - 1; i > 0 && i >= w->count - 2; i--) {
    if (is(w->word[i], "bias")) return '+';
    if (is(w->word[i], "a") || is(w->word[i], "b")) return w->word[i][0];
  }
  return 'w';
}

static const char *norm_name(const char *word) {
  for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
    if (is(word, norms[i][0])) return norms[i][1];
  return word;
}

/* Writes the words behind the layer's number, without those that tell only where something stands. */
static int write_words(const words *w, int first, char *text, size_t room) {
  int used = 0;
  for (int i = first; i < w->count && used < (int)room; i++) {
    const char *word = norm_name(w->word[i]);
    if (is(word, "model") || is(word, "self_attn") || is(word, "mlp") || is(word, "cut") ||
        (is(word, "weight") && i == w->count - 1))
      continue;
    used += snprintf(text + used, room - (size_t)used, "%s%s", used ? "." : "", word);
  }
  return used;
}

static const char *role_name(olica_role role) {
  if ((int)role < OLICA_PROJECTIONS) return olica_projection_name((olica_projection)role);
  return role == OLICA_ROLE_QKV       ? "qkv_proj"
         : role == OLICA_ROLE_GATE_UP ? "gate_up_proj"
         : role == OLICA_ROLE_EMBED   ? "embed_tokens"
         : role == OLICA_ROLE_HEAD    ? "lm_head"
                                      : NULL;
}

static void write_name(const words *w, int behind, olica_inspect_place *place) {
  const char *name = role_name(place->role);
  char *text = place->name;
  const size_t room = sizeof place->name;
  int used = place->layer < 0 ? 0 : snprintf(text, room, "layers.%d.", place->layer);
  if (!name)
    write_words(w, behind, text + used, room - (size_t)used);
  else if (place->part == 'w')
    snprintf(text + used, room - (size_t)used, "%s", name);
  else
    snprintf(text + used, room - (size_t)used, "%s.%s", name,
             place->part == '+'   ? "bias"
             : place->part == 'a' ? "a"
                                  : "b");
}

olica_inspect_place olica_names_place(const char *name, int layers) {
  words w;
  int behind;
  olica_inspect_place place = {.layer = -1};
  cut(name, &w);
  place.layer = find_layer(&w, layers, &behind);
  place.role = role_of(&w);
  place.part = part_of(&w);
  write_name(&w, behind, &place);
  return place;
}

olica_component olica_names_component(olica_role role) {
  switch ((int)role) {
  case OLICA_Q:
  case OLICA_K:
    return OLICA_COMPONENT_QUERY_KEY;
  case OLICA_V:
  case OLICA_O:
    return OLICA_COMPONENT_VALUE_OUTPUT;
  case OLICA_GATE:
  case OLICA_UP:
  case OLICA_DOWN:
  case OLICA_ROLE_GATE_UP:
  case OLICA_ROLE_EXPERT:
    return OLICA_COMPONENT_FFN;
  case OLICA_ROLE_BRANCH:
    return OLICA_COMPONENT_BRANCH;
  case OLICA_ROLE_NORM:
    return OLICA_COMPONENT_NORMS;
  case OLICA_ROLE_EMBED:
    return OLICA_COMPONENT_EMBED;
  case OLICA_ROLE_HEAD:
    return OLICA_COMPONENT_HEAD;
  case OLICA_ROLE_LIST:
  case OLICA_ROLE_ROTARY:
  case OLICA_ROLE_TEXT:
    return OLICA_COMPONENTS;
  default:
    return OLICA_COMPONENT_OTHER;
  }
}
