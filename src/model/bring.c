#include "bring.h"

#include <assert.h>
#include <string.h>

#include "par/partition.h"
#include "par/watch.h"

enum { PIECE_BYTES = 8 << 20 };

/* Part of a span that is read, sent and converted at once. */
typedef struct piece {
  olica_span span;
  int from;  /* the number of the span that it is of */
  size_t at; /* of its raw bytes, in this rank's share */
} piece;

struct olica_bring {
  olica_catalog *catalog;
  olica_dtype fits; /* the type that must hold the numbers */
  bool background, busy;
  bool *live;            /* [spans at most] of the transfer: this rank has seen a number that is not 0 */
  int owner;             /* the node that reads */
  int room, count, sent; /* pieces: room for, of the transfer, begun (read, if we own them) */
  piece *pieces;         /* [room] */
  MPI_Request *request;  /* [room] */
  unsigned char *raw, *kept;
  bool *kept_valid;
  olica_status status; /* of reading; later messages must not take the place of its own: */
  char message[OLICA_ERROR_TEXT];
};

size_t olica_bring_share(int64_t numbers, size_t size, int groups) {
  return (size_t)olica_partition_block(numbers, groups, 0).count * size;
}

size_t olica_bring_raw_bytes(size_t share, bool background) {
  return background || share < PIECE_BYTES ? share : PIECE_BYTES;
}

olica_status olica_bring_create(olica_catalog *catalog, int spans, size_t share, bool background,
                                olica_dtype fits, olica_bring **out) {
  olica_env *env = catalog->context->env;
  olica_bring *bring;
  OLICA_TRY(OLICA_NEW(env, bring, 1));
  *bring = (olica_bring){
      .catalog = catalog, .background = background && catalog->context->nodes > 1, .fits = fits};
  bring->room = spans + (int)(share / PIECE_BYTES) + 1;
  OLICA_TRY(OLICA_NEW(env, bring->pieces, (size_t)bring->room));
  OLICA_TRY(OLICA_NEW(env, bring->request, (size_t)bring->room));
  OLICA_TRY(OLICA_NEW(env, bring->live, (size_t)spans));
  OLICA_TRY(OLICA_NEW(env, bring->raw, olica_bring_raw_bytes(share, bring->background)));
  *out = bring;
  return OLICA_OK;
}

void olica_bring_destroy(olica_bring *bring) {
  if (!bring) return;
  olica_env *env = bring->catalog->context->env;
  olica_memory_free(env, bring->pieces);
  olica_memory_free(env, bring->request);
  olica_memory_free(env, bring->live);
  olica_memory_free(env, bring->raw);
  olica_memory_free(env, bring);
}

static size_t piece_bytes(const piece *p) {
  return (size_t)p->span.count * olica_number_size(p->span.tensor->dtype);
}

/* Numbers [first, first + count) of a span, in pieces. */
static void cut(olica_bring *bring, const olica_span *span, int from, int64_t first, int64_t count,
                size_t *at) {
  size_t size = olica_number_size(span->tensor->dtype);
  int64_t step = PIECE_BYTES / (int64_t)size;
  for (int64_t n; count > 0; count -= n, first += n) {
    n = count < step ? count : step;
    assert(bring->count < bring->room);
    bring->pieces[bring->count++] =
        (piece){.span = {span->tensor, span->first + first, n, span->to + first}, .from = from, .at = *at};
    *at += (size_t)n * size;
  }
}

/* This rank's share is one block of all the numbers in a row, so that it reads long ranges, and the first bad
 * number is found by the lowest rank. */
static void cut_share(olica_bring *bring, const olica_span *span, int spans) {
  const olica_context *context = bring->catalog->context;
  if (context->node_rank >= context->peer_groups) return;
  int64_t total = 0, before = 0;
  size_t at = 0;
  for (int i = 0; i < spans; i++) total += span[i].count;
  olica_range own = olica_partition_block(total, context->peer_groups, context->node_rank);
  for (int i = 0; i < spans; i++) {
    int64_t from = own.first > before ? own.first - before : 0, until = own.first + own.count - before;
    if (until > span[i].count) until = span[i].count;
    if (until > from) cut(bring, &span[i], i, from, until - from, &at);
    before += span[i].count;
  }
}

static bool owns(const olica_bring *bring) {
  return bring->catalog->context->node_index == bring->owner;
}

/* Where the raw bytes of a piece lie. */
static unsigned char *place(const olica_bring *bring, const piece *p) {
  if (bring->kept) return bring->kept + p->at;
  return bring->background ? bring->raw + p->at : bring->raw;
}

/* After a failure the others still get something: they wait for it. */
static void read_piece(olica_bring *bring, const piece *p) {
  if (bring->status != OLICA_OK || (bring->kept && *bring->kept_valid)) return;
  olica_env *env = bring->catalog->context->env;
  bring->status =
      olica_catalog_read(bring->catalog, p->span.tensor, p->span.first, p->span.count, place(bring, p));
  if (bring->status != OLICA_OK) memcpy(bring->message, env->error.text, sizeof bring->message);
}

/* The next piece is read if it is ours to read, and set on its way. */
static void send_next(olica_bring *bring) {
  olica_context *context = bring->catalog->context;
  const piece *p = &bring->pieces[bring->sent];
  MPI_Request *request = &bring->request[bring->sent++];
  if (owns(bring)) read_piece(bring, p);
  *request = MPI_REQUEST_NULL;
  if (context->nodes == 1) return;
  MPI_Ibcast(place(bring, p), (int)piece_bytes(p), MPI_BYTE, bring->owner, context->peers, request);
  olica_timer_work(&context->env->timers, 0, (double)piece_bytes(p));
}

void olica_bring_begin(olica_bring *bring, int owner, const olica_span *span, int spans, void *kept,
                       bool *kept_valid) {
  assert(!bring->busy);
  bring->busy = true;
  bring->owner = owner;
  bring->count = bring->sent = 0;
  bring->status = OLICA_OK;
  bring->kept = owns(bring) ? kept : NULL;
  bring->kept_valid = kept_valid;
  for (int i = 0; i < spans; i++) bring->live[i] = false;
  cut_share(bring, span, spans);
  if (owns(bring) && !(bring->kept && *kept_valid))
    for (int i = 0; i < bring->count; i++)
      olica_catalog_expect(bring->catalog, bring->pieces[i].span.tensor, bring->pieces[i].span.first,
                           bring->pieces[i].span.count);
  if (bring->background && !owns(bring))
    while (bring->sent < bring->count) send_next(bring);
}

void olica_bring_progress(olica_bring *bring) {
  if (!bring->busy || !bring->background) return;
  int done;
  if (bring->sent < bring->count) send_next(bring);
  MPI_Testall(bring->sent, bring->request, &done, MPI_STATUSES_IGNORE);
}

olica_status olica_bring_check(const olica_catalog *catalog, const olica_tensor *tensor, olica_dtype fits,
                               int64_t first, const float *x, size_t n) {
  size_t bad = olica_number_beyond(fits, x, n);
  if (bad == n) return OLICA_OK;
  olica_env *env = catalog->context->env;
  const char *file = olica_catalog_file(catalog, tensor);
  long long at = (long long)first + (long long)bad;
  if (olica_number_nonfinite(x + bad, 1) == 0)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s has %g as number %lld, expected finite weights%s",
                           file, tensor->name, (double)x[bad], at,
                           tensor->has_crc ? " (--verify tells whether the file is damaged)" : "");
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[output] dtype = %s: %s: %s has %g as number %lld, expected at most %g, its largest; another "
      "dtype holds it",
      olica_number_name(fits), file, tensor->name, (double)x[bad], at, olica_number_largest(fits));
}

static olica_status decode(const olica_bring *bring, const piece *p) {
  const olica_span *span = &p->span;
  size_t count = (size_t)span->count;
  olica_number_decode(span->tensor->dtype, place(bring, p), span->to, count);
  for (size_t i = 0; i < count && !bring->live[p->from]; i++) bring->live[p->from] = span->to[i] != 0;
  return olica_bring_check(bring->catalog, span->tensor, bring->fits, span->first, span->to, count);
}

bool olica_bring_live(const olica_bring *bring, int span) {
  return bring->live[span];
}

olica_status olica_bring_finish(olica_bring *bring) {
  olica_context *context = bring->catalog->context;
  olica_status status = OLICA_OK;
  assert(bring->busy);
  for (int i = 0; i < bring->count; i++) {
    if (bring->sent == i) send_next(bring);
    olica_watch_enter(context, "the coming of a layer");
    MPI_Wait(&bring->request[i], MPI_STATUS_IGNORE);
    olica_watch_leave(context);
    if (status == OLICA_OK && bring->status == OLICA_OK) status = decode(bring, &bring->pieces[i]);
  }
  bring->busy = false;
  if (bring->status != OLICA_OK) return olica_error_set(context->env, bring->status, "%s", bring->message);
  if (bring->kept) *bring->kept_valid = true;
  return status;
}

void olica_bring_settle(olica_bring *bring) {
  if (!bring || !bring->busy) return;
  bring->busy = false;
  if (!bring->background) return;
  bring->status = OLICA_ERR_INTERNAL; /* nothing is read any more, */
  while (bring->sent < bring->count) send_next(bring);
  olica_watch_enter(bring->catalog->context, "the coming of a layer");
  MPI_Waitall(bring->count, bring->request, MPI_STATUSES_IGNORE); /* but nobody waits for ever */
  olica_watch_leave(bring->catalog->context);
}
