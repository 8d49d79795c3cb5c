/* The fingerprint of a run: everything that its numbers follow from, in named parts, so that what one run has
 * left on disk (a restart file, saved statistics) is taken up by another only if the numbers would be the
 * same, and a refusal can say what differs. Private to run.
 *
 * A JSON object of four groups, {name: value} each:
 *     settings  [section] key: value, of those that change numbers; how many ranks and threads, what is
 * written where, and when it stops do not. Settings that name inputs are not here, but what was read is:
 *     model     each file of the model (and of its tokenizer): size, time of change, checksums of its index
 *               and of a piece of every tensor
 *     tokens    calibration, evaluation, tasks: how many ids, and their checksum
 *     program   versions of the fingerprint and the numerics (raised with every change that moves them),
 *               precision of the products
 */
#ifndef OLICA_RUN_FINGERPRINT_H
#define OLICA_RUN_FINGERPRINT_H

#include "engine.h"

typedef enum olica_fingerprint_scope {
  OLICA_FINGERPRINT_RUN,       /* of the whole run and its checkpoint */
  OLICA_FINGERPRINT_STATISTICS /* of the passes over the dense model: without settings that affect the result
                                  alone (olica_affects) */
} olica_fingerprint_scope;

/* Makes the fingerprint of this run, without tokens if the engine is not prepared: a new reference on rank 0,
 * NULL elsewhere. Collective. */
olica_status olica_fingerprint_make(const olica_engine *engine, olica_fingerprint_scope scope,
                                    json_t **parts);

/* Fails if the two differ: the message begins with `what` ("pruned.h5.restart.0") and names each difference
 * with its value then and now. OLICA_ERR_INPUT if the model or the tokens differ and no setting does, else
 * OLICA_ERR_CONFIG. Objects that are no fingerprint differ. Not collective, pure: rank 0. */
olica_status olica_fingerprint_compare(olica_env *env, const char *what, const json_t *then,
                                       const json_t *now);

#endif
