/* Probes: what the model loses when one layer's FFN is cut to half its neurons and fitted again,
 *
 *     KL_i = mean KL(dense || with layer i cut) of the next-token distributions over a few sequences.
 *
 * All of them ride in one sweep over the layers, every sequence once as it is and once for each layer that is
 * cut, or for each kind of module of it, its variants:
 *
 *     layer          0     1     2     3
 *     dense        ----- ----- ----- -----
 *     variant 0    =cut= ----- ----- -----      joins at its layer with the dense states before it
 *     variant 1          =cut= ----- -----
 *     variant 2                =cut= -----
 *
 * Sequences, and pairs of a sequence and a variant, are shared out over the ranks, sequence after sequence.
 * Private to the method. */
#ifndef OLICA_PRUNE_REFIT_PROBE_H
#define OLICA_PRUNE_REFIT_PROBE_H

#include "calib/divergence.h"
#include "prune/method.h"

typedef struct olica_refit_probes {
  const olica_method_job *job;
  int kinds, variants;    /* of a layer; L kinds in all */
  int count;              /* sequences */
  olica_stream *dense;    /* [count] */
  olica_stream *cut;      /* [count x variants], pair s variants + i kinds + k */
  float *everywhere;      /* [count x T x d] the dense states, while they are wanted; NULL */
  void *output;           /* the next two, while the output is looked at */
  olica_divergence *each; /* [own pairs x T], */
  float *logits[2];       /* [T x panel rows] of the dense model, and of a variant */
} olica_refit_probes;

/* Creates the streams of `count` sequences of the calibration's, spread over it evenly, with so many variants
 * of every layer. Collective. */
olica_status olica_refit_probes_create(const olica_method_job *job, int count, int kinds,
                                       olica_refit_probes **probes);
void olica_refit_probes_destroy(olica_refit_probes *probes); /* NULL allowed */

/* Lets the streams pass a layer, but for the pairs of that layer's variants, which join here with the dense
 * states before it, and then each pass a cut layer in its place, by `pass`. Collective. */
olica_status olica_refit_probes_join(olica_refit_probes *probes, const olica_maps *dense);
olica_status olica_refit_probes_pass(olica_refit_probes *probes, int kind, const olica_maps *cut);

/* The operations of olica_scorer; finish: kl [variants] on every rank, [L x kinds]. */
olica_status olica_refit_probes_begin(olica_refit_probes *probes, const float *gains);
void olica_refit_probes_add(olica_refit_probes *probes, int64_t count, olica_packed *rows);
olica_status olica_refit_probes_finish(olica_refit_probes *probes, double *kl);

/* On a ledger, of `count` sequences with so many variants: holds the streams; replays the gathering of the
 * dense states on every rank, which it holds; replays the look at the output, with a packed panel. */
void olica_refit_probes_hold(olica_ledger *ledger, const olica_method_model *model,
                             const olica_method_site *site, int count, int variants);
olica_hold olica_refit_probes_replay_gather(olica_ledger *ledger, const olica_method_model *model,
                                            const olica_method_site *site, int count);
void olica_refit_probes_replay_output(olica_ledger *ledger, const olica_method_model *model,
                                      const olica_method_site *site, int count, int variants);

#endif
