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
  olica_bundle *bundle;   /* the tokenizer's files, which the checkpoint carries; NULL: nobody needs them */
  olica_encoder *encoder; /* the tokenizer, while texts are read; NULL: there are none */
  olica_text_sources sources; /* of the calibration's text, if there is any: */
  olica_sample_record *drawn; /* [sources.count] what they gave */
  olica_ids *calibration;     /* until the stream has been filled; NULL: the method does not calibrate */
  struct {
    double peak, open, kept, before; /* counted bytes of a rank, without a tied table: while texts were read;
                                      * of what that left until the streams have it; of the tokenizer's files;
                                      * of what was there before, catalog and options */
  } text;
} olica_inputs;

/* The steps of opening, in this order. Parses [calibration] text. Collective. */
olica_status olica_inputs_create(const olica_setup *setup, olica_inputs *inputs);

/* Loads the tokenizer's files if the checkpoint or a text needs them; opens the tokenizer if the calibration
 * has a text or `others` need it. Collective. */
olica_status olica_inputs_open_tokenizer(olica_inputs *inputs, bool others);

/* Opens the calibration's ids, or draws its sample of the texts, whole on every rank. Collective. */
olica_status olica_inputs_open_calibration(olica_inputs *inputs);

/* The ids of a text of the evaluation, whole on every rank; the caller closes them. Collective. */
olica_status olica_inputs_tokenize(const olica_inputs *inputs, const char *path, olica_ids **ids);

/* Writes the calibration's ids if --dump-tokens asks for them. Collective. */
olica_status olica_inputs_dump(const olica_inputs *inputs);

/* Notes what reading took; `before`: counted bytes before olica_inputs_create. Collective. */
void olica_inputs_measure(olica_inputs *inputs, size_t before);

/* Reads all the calibration's ids, spread over the ranks, and keeps none. Not collective. */
olica_status olica_inputs_check_ids(const olica_inputs *inputs);

/* Fills this rank's rows of the stream. Not collective. */
olica_status olica_inputs_fill(const olica_inputs *inputs, const olica_stream *stream);

/* Closes the tokenizer and the ids, which nobody needs once the streams are filled. Not collective. */
void olica_inputs_release(olica_inputs *inputs);
void olica_inputs_close(olica_inputs *inputs); /* not collective */

#endif
