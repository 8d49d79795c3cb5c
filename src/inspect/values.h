/* Compares the tensors of two subjects, number by number where both have one in the same shape. Private to
 * inspect. */
#ifndef OLICA_INSPECT_VALUES_H
#define OLICA_INSPECT_VALUES_H

#include "subject.h"

/* Makes the member `tensors` of a difference (diff.h) and tells whether all is equal. Reads the weights in
 * blocks, on this rank alone; a damaged file is OLICA_ERR_INPUT. Not collective. */
olica_status olica_values_compare(const olica_subject *a, const olica_subject *b, json_t **tensors,
                                  bool *equal);

#endif
