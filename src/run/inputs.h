/* The inputs of a run beside the model: the tokenizer and the ids that calibrate. Private to run. */
#ifndef OLICA_RUN_INPUTS_H
#define OLICA_RUN_INPUTS_H

#include "calib/stream.h"
#include "io/ids.h"
#include "setup.h"
#include "text/encoder.h"
#include "text/sample.h"

typedef struct olica_inputs {
  const olica_setup *setup;
  olica_bundle *bundle;       /* the tokenizer's files, which the checkpoint carries; NULL: not needed */
  olica_encoder *encoder;     /* the tokenizer, while texts are read; NULL: no text */
  olica_text_sources sources; /* of [calibration] text */
  olica_sample_record *drawn; /* [sources.count] numbers of rows and sequences drawn */
  olica_ids *calibration;     /* until the stream has been filled; NULL: the method does not calibrate */
  struct {
    double peak, open, kept, before; /* counted bytes of a rank, without a tied table: peak while texts were
                                        read; left open until the streams have the ids; of the tokenizer's
                                        files; before texts were read (catalog, options) */
  } text;
} olica_inputs;

/* Parses [calibration] text: the first step of opening; the next four follow in this order. Collective. */
olica_status olica_inputs_create(const olica_setup *setup, olica_inputs *inputs);

/* Loads the tokenizer's files if the checkpoint or a text needs them; opens the tokenizer if the calibration
 * has a text or `others` need it. Collective. */
olica_status olica_inputs_open_tokenizer(olica_inputs *inputs, bool others);

/* Opens the calibration's ids, or draws its sample of the texts, whole on every rank. Collective. */
olica_status olica_inputs_open_calibration(olica_inputs *inputs);

/* Tokenizes a text of the evaluation, whole on every rank; the caller closes the ids. Collective. */
olica_status olica_inputs_tokenize(const olica_inputs *inputs, const char *path, olica_ids **ids);

/* Writes the calibration's ids if --dump-tokens asks for them. Collective. */
olica_status olica_inputs_dump(const olica_inputs *inputs);

/* Records the memory that reading took; `before`: counted bytes before olica_inputs_create. Collective. */
void olica_inputs_measure(olica_inputs *inputs, size_t before);

/* Reads all the calibration's ids, spread over the ranks, and keeps none. Not collective. */
olica_status olica_inputs_check_ids(const olica_inputs *inputs);

/* Fills this rank's rows of the stream. Not collective. */
olica_status olica_inputs_fill(const olica_inputs *inputs, const olica_stream *stream);

/* Closes the tokenizer and the ids, once the streams are filled. Not collective. */
void olica_inputs_release(olica_inputs *inputs);
void olica_inputs_close(olica_inputs *inputs); /* not collective */

#endif
