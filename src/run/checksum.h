/* Checksums of a run's tokens, for its fingerprint. Private to run. */
#ifndef OLICA_RUN_CHECKSUM_H
#define OLICA_RUN_CHECKSUM_H

#include <jansson.h>

#include "calib/stream.h"
#include "eval/questions.h"

/* Puts the checksum of a stream's ids, those of all ranks, under that name into a group. Collective. */
olica_status olica_checksum_ids(olica_context *context, const char *name, const olica_stream *stream,
                                json_t *group);

/* Returns the checksum of the questions and their tokens. Not collective, pure. */
uint32_t olica_checksum_questions(const olica_questions *questions);

#endif
