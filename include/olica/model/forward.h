/* The forward pass of one layer on a block of rows, with taps: places where a caller may look at the rows
 * that pass. The block, one sequence or a pack of short ones, is the fixed unit of every product and partial
 * sum, so that nothing depends on how blocks lie on ranks. Not collective. */
#ifndef OLICA_MODEL_FORWARD_H
#define OLICA_MODEL_FORWARD_H

#include "olica/la/packed.h"
#include "olica/model/weights.h"

typedef enum olica_tap {
  OLICA_TAP_ATTENTION_INPUT,  /* [T x d], input of q, k, v, after its RMSNorm */
  OLICA_TAP_VALUES,           /* [T x H·n], input of o */
  OLICA_TAP_ATTENTION_OUTPUT, /* [T x d], output of o, its bias included */
  OLICA_TAP_FFN_INPUT,        /* [T x d], input of gate and up, after its RMSNorm */
  OLICA_TAP_FFN_NEURONS,      /* [T x f'], input of down */
  OLICA_TAP_FFN_OUTPUT,       /* [T x d], output of down (and branch) */
  OLICA_TAPS
} olica_tap;

/* Sees rows [tokens x width] as they pass; they are only valid during the call. */
typedef struct olica_observer {
  void (*see)(void *self, olica_tap tap, const float *rows, int tokens, int width);
  void *self;
} olica_observer;

/* Rows of a block that follow each other in one sequence. What comes before them there may lie elsewhere in
 * the block, shared with other segments: the choices of a question all go on from the same beginning. */
typedef struct olica_segment {
  int first, count; /* rows [first, first + count) of the block */
  int base, prefix; /* rows [base, base + prefix) come before them; 0: they begin the sequence */
} olica_segment;

/* Several sequences that pass a layer together, so that its products are large. Every row lies in one
 * segment, and attends to its prefix and to the earlier rows of its own segment. */
typedef struct olica_pack {
  int rows, segments;
  const olica_segment *segment; /* [segments] */
} olica_pack;

/* A linear map y = x Wᵀ, or of low rank: y = (x Aᵀ) Bᵀ. */
typedef struct olica_packed_linear {
  olica_packed *inner; /* A, NULL: the map is dense */
  olica_packed *outer; /* W or B, NULL: there is no map */
} olica_packed_linear;

/* Scratch and tables for blocks of at most so many rows. */
typedef struct olica_forward {
  olica_env *env;
  olica_kernel *kernel; /* of the linear maps; attention is always in fp32 */
  const olica_arch *arch;
  int tokens;                         /* T, of a plain sequence: the most rows of a block */
  int threads;                        /* of the pieces of attention */
  float *cosine, *sine;               /* [T x h/2] */
  float *normed, *added;              /* [T x d] */
  float *query, *key, *value, *mixed; /* [T x H·h], [T x K·h], [T x K·h], [T x H·h] */
  float *scores;                      /* [threads x block x T] */
  float *gate, *up;                   /* [T x f] */
  float *low;                         /* [T x d]: between the factors of a low-rank map */
  const olica_layer *layer;           /* that blocks may pass, NULL: none; */
  int index;                          /* its number, */
  olica_packed_linear linear[OLICA_PROJECTIONS], branch; /* its maps, packed */
} olica_forward;

/* Bytes of counted memory: of a forward, and of the packed maps of one layer. Pure. */
size_t olica_forward_bytes(const olica_arch *arch, int tokens, int threads);

size_t olica_forward_packed_bytes(const olica_arch *arch, const olica_layer_shape *shape,
                                  olica_dtype precision);

/* Its products are the kernel's, which must outlive it. */
olica_status olica_forward_create(olica_kernel *kernel, const olica_arch *arch, int tokens, int threads,
                                  olica_forward **forward);
void olica_forward_destroy(olica_forward *forward); /* NULL allowed */

/* Packs the maps of layer number `index` of the model, which must stay as it is until olica_forward_end,
 * which gives them back. OLICA_ERR_MEMORY. */
olica_status olica_forward_begin(olica_forward *forward, const olica_layer *layer, int index);
void olica_forward_end(olica_forward *forward);

/* x [T x d] := the layer applied to x, in place; observer NULL: nobody looks. */
void olica_forward_layer(olica_forward *forward, float *x, const olica_observer *observer);

/* The same for the sequences of a pack, x [pack->rows x d], pack->rows at most forward->tokens. */
void olica_forward_pack(olica_forward *forward, const olica_pack *pack, float *x);

/* y [rows x d] := RMSNorm(x) with gains g [d]. y may be x. */
void olica_forward_norm(const olica_arch *arch, int rows, const float *x, const float *g, float *y);

/* gate [rows x width] := silu(gate) * up, the FFN's neurons. */
void olica_forward_neurons(int rows, int width, float *gate, const float *up);

#endif
