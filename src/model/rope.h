/* Rotary position embedding: frequencies, their scalings, and the tables of cosines and sines. Not
 * collective. */
#ifndef OLICA_MODEL_ROPE_H
#define OLICA_MODEL_ROPE_H

#include <stdbool.h>

#include "base/env.h"

typedef enum olica_rope_kind {
  OLICA_ROPE_PLAIN,
  OLICA_ROPE_LINEAR,
  OLICA_ROPE_LLAMA3,
  OLICA_ROPE_YARN,
  OLICA_ROPE_DYNAMIC, /* the base grows with the length of the sequence, beyond original_context */
  OLICA_ROPE_LONG     /* longrope: a factor for each pair; of two lists one for longer sequences */
} olica_rope_kind;

typedef struct olica_rope {
  olica_rope_kind kind;
  int dims; /* of a head that turn, the first ones; 0: all. An odd number counts as the next even one, except
               in the frequencies */
  bool interleaved; /* a pair is two neighbours; else pairs lie half of those dimensions apart */
  double theta;
  double factor;              /* linear: positions are divided by it; llama3, yarn: the low frequencies are */
  double low_freq, high_freq; /* llama3: factors of the wavelengths between which it blends */
  double original_context;    /* llama3, yarn, dynamic, long */
  double ramp_from, ramp_to;  /* yarn: pairs between which it blends */
  double magnitude;           /* of cosines and sines; 0: 1 */
  double query_growth;        /* queries are multiplied by 1 + query_growth log(1 + floor(position /
                                 original_context)); 0: they are not */
  double *divisor[2];         /* long: [pairs] of short and of long sequences; owned as olica_arch.layer is */
} olica_rope;

/* Returns the number of pairs that turn in a head of that size. Pure. */
int olica_rope_pairs(const olica_rope *rope, int head);

/* Returns which frequencies a sequence of `length` tokens has: 0, those of short ones, or another number,
 * which is the same for lengths that have the same. Pure. */
int olica_rope_regime(const olica_rope *rope, int length);

/* Returns the angle per position of pair i, theta^(-2i/dims), scaled, for sequences of that regime. Pure. */
double olica_rope_frequency(const olica_rope *rope, int head, int regime, int i);

/* cosine and sine [tokens x pairs] := those of position times the frequency of the pair, theta^(-2i/dims),
 * scaled, for sequences of that regime. */
void olica_rope_tables(const olica_rope *rope, int head, int regime, int tokens, float *cosine, float *sine);

/* Returns what the query at a position is multiplied by. Pure. */
float olica_rope_query_scale(const olica_rope *rope, int position);

/* Rotates one head x by cosines and sines [pairs] of its position. */
void olica_rope_turn(const float *cosine, const float *sine, int pairs, bool interleaved, float *x);

#endif
