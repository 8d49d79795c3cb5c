/* Rotary position embedding: frequencies, their scalings, and the tables of cosines and sines. Not
 * collective. */
#ifndef OLICA_MODEL_ROPE_H
#define OLICA_MODEL_ROPE_H

#include "base/env.h"

typedef enum olica_rope_kind { OLICA_ROPE_PLAIN, OLICA_ROPE_LINEAR, OLICA_ROPE_LLAMA3 } olica_rope_kind;

typedef struct olica_rope {
  olica_rope_kind kind;
  double theta;
  double factor;              /* linear: positions are divided by it; llama3: the low frequencies are */
  double low_freq, high_freq; /* llama3: factors of the wavelengths between which it blends */
  double original_context;    /* llama3 */
} olica_rope;

/* cosine and sine [tokens x head/2] := those of position times the frequency of the pair, theta^(-2i/h),
 * scaled. */
void olica_rope_tables(const olica_rope *rope, int head, int tokens, float *cosine, float *sine);

/* Rotates `heads` heads of every row of x [tokens x heads*head] by its position, halves apart as Hugging Face
 * stores them. */
void olica_rope_apply(const float *cosine, const float *sine, int tokens, int heads, int head, float *x);

#endif
