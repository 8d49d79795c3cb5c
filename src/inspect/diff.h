/* How two subjects differ. Private to inspect. */
#ifndef OLICA_INSPECT_DIFF_H
#define OLICA_INSPECT_DIFF_H

#include "subject.h"

/* Compares two subjects with their descriptions; called on rank 0. *difference:
 *   a, b        path and kind of each
 *   same_model  true: the same model, tensors and shapes, and every number equal
 *   model, settings, provenance   {key: [of a, of b]} of what differs, null: absent
 *   parameters  {component: [of a, of b]} of those whose numbers differ
 *   layers      [{layer, key: [of a, of b]}]
 *   tensors     how many were compared, and equal; differing [{name, numbers, differ, largest, relative}],
 *               other_shape [{name, a, b}], only_a, only_b [names], not_compared [{name, why}]
 * `differ` counts unequal numbers; `largest` is the largest |a − b|, `relative` ‖a − b‖/‖a‖ (Frobenius), both
 * null if a number is none. Names are those of Hugging Face in short: "layers.3.q_proj". Free with
 * json_decref. Not collective. */
olica_status olica_diff(const olica_subject *a, const json_t *is_a, const olica_subject *b,
                        const json_t *is_b, json_t **difference);

#endif
