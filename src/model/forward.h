/* The forward pass of one layer on a pack of rows, with taps: places where an observer may read the rows that
 * pass. A row's result depends on its own sequence alone, so nothing depends on how sequences lie in packs or
 * on ranks. It goes over blocks of rows that stay in the cache (pass.c). Not collective. */
#ifndef OLICA_MODEL_FORWARD_H
#define OLICA_MODEL_FORWARD_H

#include "model/maps.h"

typedef enum olica_tap {
  OLICA_TAP_ATTENTION_INPUT,  /* [rows x d], input of q, k, v, after its norm */
  OLICA_TAP_VALUES,           /* [rows x H·n], input of o */
  OLICA_TAP_ATTENTION_OUTPUT, /* [rows x d], output of o, its bias included, before a norm behind it */
  OLICA_TAP_FFN_INPUT,        /* [rows x d], input of gate and up, after its norm */
  OLICA_TAP_FFN_NEURONS,      /* [rows x f'], input of down */
  OLICA_TAP_FFN_OUTPUT,       /* [rows x d], output of down (and branch), likewise */
  OLICA_TAPS
} olica_tap;

/* A piece of the rows at a tap; pieces do not overlap: rows [row, row + rows) of the pack, columns [col, col
 * + cols) of the tap, element (i, j) of the piece at x[i * stride + j]. All rows of a piece lie in one
 * segment of the pack, and none in two blocks of OLICA_BLOCK_ROWS. */
typedef struct olica_view {
  olica_tap tap;
  int thread; /* pieces come from several threads at once, numbered from 0 */
  int row, rows, col, cols, stride;
  const float *x;
} olica_view;

/* An observer reads the pieces; they are only valid during the call. */
typedef struct olica_observer {
  void (*observe)(void *self, const olica_view *view);
  void *self;
  bool to_neurons; /* the pass ends behind the FFN's neurons: the layer's output is not needed */
} olica_observer;

/* Rows of a pack that follow each other in one sequence. The rows before them in the sequence may lie
 * elsewhere in the pack, shared with other segments: the choices of a question all continue the same
 * beginning. */
typedef struct olica_segment {
  int first, count; /* rows [first, first + count) of the pack */
  int base, prefix; /* rows [base, base + prefix) come before them; 0: they begin the sequence */
  int length; /* of the sequences that it belongs to, where RoPE goes by it (olica_rope_regime), and it is
                 a beginning that others continue; 0: prefix + count */
} olica_segment;

/* Several sequences that pass a layer together, so that its products are large. Every row lies in one
 * segment, and attends to its prefix and to the earlier rows of its own segment. */
typedef struct olica_pack {
  int rows, segments;
  const olica_segment *segment; /* [segments] */
} olica_pack;

/* Scratch and tables for packs of at most so many rows, of sequences of at most so many tokens. */
typedef struct olica_forward olica_forward;

/* Holds on a ledger what olica_forward_create allocates, and reserves a thread's workspace in the kernel. */
olica_hold olica_forward_hold(olica_ledger *ledger, const olica_arch *arch, int rows, int tokens,
                              olica_dtype precision, int threads);

/* Its products are the kernel's, which must outlive it. OLICA_ERR_MEMORY, and what the kernel refuses. */
olica_status olica_forward_create(olica_kernel *kernel, const olica_arch *arch, int rows, int tokens,
                                  olica_forward **forward);
void olica_forward_destroy(olica_forward *forward); /* NULL allowed */

/* Return the most rows of a pack, and the number of threads that call an observer. */
int olica_forward_rows(const olica_forward *forward);
int olica_forward_threads(const olica_forward *forward);

/* x [pack->rows x d] := the layer applied to x, in place; observer NULL: none. Where RoPE goes by the length
 * of sequences, those that are observed are equally long, and a prefix has the regime of what continues it.
 * OLICA_ERR_MEMORY. */
olica_status olica_forward_pass(olica_forward *forward, const olica_maps *maps, const olica_pack *pack,
                                float *x, const olica_observer *observer);

/* x [d] := the embedding of a token whose row of the table is `row` [d]. */
void olica_forward_embed(const olica_arch *arch, const float *row, float *x);

/* y [rows x d] := the model's norm of x with g, weights [d] and, where norms have biases, those [d] behind
 * them (olica_arch_norm_numbers): as of the final norm. NaN where a row's squares overflow. y may be x. */
void olica_forward_norm(const olica_arch *arch, int rows, const float *x, const float *g, float *y);

/* gate [rows x width] := act(gate) * up, the FFN's neurons; up NULL: act(gate). */
void olica_forward_neurons(const olica_arch *arch, int rows, int width, float *gate, const float *up);

/* logits [rows x count] := those of rows x [rows x d], behind the final norm, for `count` rows of the output
 * matrix, scaled and capped as the model has it. */
void olica_forward_logits(const olica_arch *arch, olica_packed *matrix, int rows, const float *x,
                          int64_t count, float *logits);

#endif
