#include "text/sample.h"

#include <string.h>

#include "base/random.h"
#include "par/comm.h"
#include "par/partition.h"
#include "text/look.h"
#include "text/rows.h"

/* State of drawing from one source. */
typedef struct draw {
  olica_context *context;
  const olica_sample_options *options;
  olica_encoder *encoder;
  olica_rows *rows;
  int source;
  int64_t *order; /* [rows]: the first `placed` places are final */
  int64_t placed;
  int64_t wanted, tried, drawn;
  int32_t *ids; /* [drawn x length], with capacity for all that can be drawn */
} draw;

/* Makes places [placed, end) of the order final. */
static void place(draw *d, int64_t end) {
  const olica_random random = {d->options->seed, 2 * (uint32_t)d->source};
  for (int64_t i = d->placed; i < end; i++) {
    int64_t j = i + (int64_t)olica_random_below(random, (uint64_t)i, (uint64_t)(d->rows->count - i));
    int64_t row = d->order[j];
    d->order[j] = d->order[i];
    d->order[i] = row;
  }
  d->placed = end;
}

/* Returns where the sequence begins in a row of n ids, the row at that place of the order. */
static int64_t window(const draw *d, int64_t at, int64_t n) {
  const olica_random random = {d->options->seed, 2 * (uint32_t)d->source + 1};
  if (d->rows->source->kind == OLICA_TEXT_ALPACA) return 0;
  return (int64_t)olica_random_below(random, (uint64_t)at, (uint64_t)(n - d->options->length + 1));
}

static olica_status try_ids(const draw *d, int64_t at, int32_t *found) {
  int64_t row = d->order[at], n = olica_rows_ids(d->rows, row);
  if (n < d->options->length) return OLICA_OK;
  found[0] = 1;
  return olica_rows_read(d->rows, row, window(d, at, n), d->options->length, d->options->vocabulary,
                         found + 1);
}

static olica_status try_text(const draw *d, int64_t at, int32_t *found) {
  olica_env *env = d->context->env;
  olica_tokens tokens = {0};
  char *text;
  size_t bytes, length = (size_t)d->options->length;
  OLICA_TRY(olica_rows_text(d->rows, d->order[at], &text, &bytes));
  olica_status status = olica_encoder_encode(d->encoder, text, bytes, OLICA_SPECIAL_AUTO, &tokens);
  olica_memory_free(env, text);
  if (status != OLICA_OK)
    return olica_error_context(env, "%s: line %lld: ", d->rows->source->path,
                               (long long)olica_rows_line(d->rows, d->order[at]));
  if (tokens.count >= length) {
    found[0] = 1;
    memcpy(found + 1, tokens.id + window(d, at, (int64_t)tokens.count), length * sizeof *found);
  }
  OLICA_FREE(env, tokens.id);
  return OLICA_OK;
}

/* Tries this rank's share of the next n places. found [n x (1 + length)]: 1 and the ids, or 0. */
static olica_status try_share(const draw *d, int64_t n, int32_t *found) {
  olica_range own = olica_partition_block(n, d->context->size, d->context->rank);
  for (int64_t i = own.first; i < own.first + own.count; i++) {
    int32_t *item = found + i * (1 + d->options->length);
    OLICA_TRY(d->rows->npy ? try_ids(d, d->tried + i, item) : try_text(d, d->tried + i, item));
  }
  return OLICA_OK;
}

/* Returns how many rows to try next: as many as should give the missing sequences, by the yield so far. It
 * does not depend on the number of ranks, so the rows tried do not either. */
static int64_t next_round(const draw *d) {
  int64_t missing = d->wanted - d->drawn, left = d->rows->count - d->tried, n = missing;
  if (d->drawn > 0) n = (int64_t)((double)missing * (double)d->tried / (double)d->drawn) + 1;
  if (d->tried > 0 && d->drawn == 0) n = d->tried;
  if (n > 4 * missing + 64) n = 4 * missing + 64;
  return n < left ? n : left;
}

/* Tries some rows and keeps the usable ones, in their order. */
static olica_status round_of(draw *d, int64_t n) {
  olica_context *context = d->context;
  size_t length = (size_t)d->options->length, item = 1 + length;
  int32_t *found;
  OLICA_AGREE(context, OLICA_NEW(context->env, found, (size_t)n * item));
  place(d, d->tried + n);
  OLICA_AGREE(context, try_share(d, n, found));
  olica_comm_gather(context, context->comm, found, item * sizeof *found, n);
  for (int64_t i = 0; i < n && d->drawn < d->wanted; i++)
    if (found[(size_t)i * item])
      memcpy(d->ids + (size_t)d->drawn++ * length, found + (size_t)i * item + 1, length * sizeof *found);
  d->tried += n;
  olica_memory_free(context->env, found);
  return OLICA_OK;
}

static olica_status too_little(const draw *d) {
  const olica_text_source *source = d->rows->source;
  return olica_error_set(d->context->env, OLICA_ERR_INPUT,
                         "%s: %lld sequence%s of %d tokens in %lld row%s (%s), expected %lld, its share of "
                         "[calibration] samples = %lld",
                         source->path, (long long)d->drawn, olica_log_plural(d->drawn), d->options->length,
                         (long long)d->rows->count, olica_log_plural(d->rows->count),
                         olica_sources_kind(source->kind), (long long)d->wanted,
                         (long long)d->options->samples);
}

/* Allocates for the rows that exist, not for the number requested. */
static olica_status make_room(draw *d) {
  olica_env *env = d->context->env;
  int64_t most = d->wanted < d->rows->count ? d->wanted : d->rows->count;
  OLICA_TRY(OLICA_NEW(env, d->order, (size_t)d->rows->count));
  return OLICA_NEW(env, d->ids, (size_t)most * (size_t)d->options->length);
}

static olica_status draw_all(draw *d) {
  olica_context *context = d->context;
  OLICA_AGREE(context, make_room(d));
  for (int64_t i = 0; i < d->rows->count; i++) d->order[i] = i;
  while (d->drawn < d->wanted && d->tried < d->rows->count) OLICA_TRY(round_of(d, next_round(d)));
  olica_memory_free(context->env, d->order);
  return d->drawn == d->wanted ? OLICA_OK : too_little(d);
}

/* Checks on rank 0 that the file is of the kind that the list says. */
static olica_status look(olica_context *context, const olica_text_source *source) {
  static const olica_look as[] = {[OLICA_TEXT_ALPACA] = OLICA_LOOK_ALPACA,
                                  [OLICA_TEXT_JSONL] = OLICA_LOOK_JSONL,
                                  [OLICA_TEXT_PLAIN] = OLICA_LOOK_PLAIN};
  bool mine = context->rank == 0 && source->kind != OLICA_TEXT_NPY;
  OLICA_AGREE(context, mine ? olica_look_file(context->env, source->path, as[source->kind]) : OLICA_OK);
  return OLICA_OK;
}

static olica_status draw_source(draw *d, olica_sample_record *record) {
  const olica_text_source *source = &d->options->sources->source[d->source];
  if (d->wanted == 0)
    return olica_error_set(
        d->context->env, OLICA_ERR_CONFIG,
        "[calibration] samples = %lld leaves none for %s, expected more of them or fewer texts",
        (long long)d->options->samples, source->path);
  OLICA_TRY(look(d->context, source));
  OLICA_TRY(olica_rows_open(d->context, source, d->options->length, &d->rows));
  OLICA_TRY(draw_all(d));
  *record = (olica_sample_record){.rows = d->rows->count, .tried = d->tried, .drawn = d->drawn};
  olica_rows_close(d->rows);
  return OLICA_OK;
}

/* Draws the sequences of one more source and appends them after `have` ids. */
static olica_status append(draw *d, size_t have, int32_t **ids) {
  olica_env *env = d->context->env;
  size_t more = (size_t)d->drawn * (size_t)d->options->length;
  int32_t *all;
  OLICA_TRY(OLICA_NEW(env, all, have + more));
  if (have > 0) memcpy(all, *ids, have * sizeof *all);
  if (more > 0) memcpy(all + have, d->ids, more * sizeof *all);
  olica_memory_free(env, *ids);
  olica_memory_free(env, d->ids);
  *ids = all;
  return OLICA_OK;
}

olica_status olica_sample_draw(olica_context *context, const olica_sample_options *options,
                               olica_encoder *encoder, olica_sample_record *record, int32_t **ids) {
  size_t have = 0;
  *ids = NULL;
  for (int i = 0; i < options->sources->count; i++) {
    draw d = {.context = context,
              .options = options,
              .encoder = encoder,
              .source = i,
              .wanted = olica_sources_share(options->sources, options->samples, i)};
    OLICA_TRY(draw_source(&d, &record[i]));
    OLICA_AGREE(context, append(&d, have, ids));
    have += (size_t)d.drawn * (size_t)options->length;
  }
  return OLICA_OK;
}
