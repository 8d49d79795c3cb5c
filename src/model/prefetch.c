#include "prefetch.h"

#include <assert.h>
#include <string.h>

#include "par/partition.h"
#include "par/watch.h"

enum { PIECE_BYTES = 8 << 20 };

/* A part of a span, at most PIECE_BYTES, that is read, broadcast and converted at once. */
typedef struct piece {
  olica_span span;
  int from;  /* index of its span in the transfer */
  size_t at; /* offset of its raw bytes in this rank's share */
} piece;

struct olica_prefetch {
  olica_catalog *catalog;
  olica_dtype fits; /* the type that must hold the numbers */
  bool background, busy;
  bool *live;           /* [spans at most] this rank's share of the span has a number that is not 0 */
  int owner;            /* the node that reads */
  int most;             /* pieces of a transfer at most */
  int count, sent;      /* pieces of the transfer; of them read (by the owner) and in broadcast */
  piece *pieces;        /* [most] */
  MPI_Request *request; /* [most] */
  unsigned char *raw, *kept;
  bool *kept_valid;
  olica_status status; /* of reading; and its message, which later ones must not replace: */
  char message[OLICA_ERROR_TEXT];
};

size_t olica_prefetch_share(int64_t numbers, size_t size, int groups) {
  return (size_t)olica_partition_block(numbers, groups, 0).count * size;
}

size_t olica_prefetch_raw_bytes(size_t share, bool background) {
  return background || share < PIECE_BYTES ? share : PIECE_BYTES;
}

olica_status olica_prefetch_create(olica_catalog *catalog, int spans, size_t share, bool background,
                                   olica_dtype fits, olica_prefetch **out) {
  olica_env *env = catalog->context->env;
  olica_prefetch *prefetch;
  OLICA_TRY(OLICA_NEW(env, prefetch, 1));
  *prefetch = (olica_prefetch){
      .catalog = catalog, .background = background && catalog->context->nodes > 1, .fits = fits};
  prefetch->most = spans + (int)(share / PIECE_BYTES) + 1;
  OLICA_TRY(OLICA_NEW(env, prefetch->pieces, (size_t)prefetch->most));
  OLICA_TRY(OLICA_NEW(env, prefetch->request, (size_t)prefetch->most));
  OLICA_TRY(OLICA_NEW(env, prefetch->live, (size_t)spans));
  OLICA_TRY(OLICA_NEW(env, prefetch->raw, olica_prefetch_raw_bytes(share, prefetch->background)));
  *out = prefetch;
  return OLICA_OK;
}

void olica_prefetch_destroy(olica_prefetch *prefetch) {
  if (!prefetch) return;
  olica_env *env = prefetch->catalog->context->env;
  olica_memory_free(env, prefetch->pieces);
  olica_memory_free(env, prefetch->request);
  olica_memory_free(env, prefetch->live);
  olica_memory_free(env, prefetch->raw);
  olica_memory_free(env, prefetch);
}

static size_t piece_bytes(const piece *p) {
  return (size_t)p->span.count * olica_number_size(p->span.tensor->dtype);
}

/* Adds numbers [first, first + count) of a span to the transfer, in pieces. */
static void cut(olica_prefetch *prefetch, const olica_span *span, int from, int64_t first, int64_t count,
                size_t *at) {
  size_t size = olica_number_size(span->tensor->dtype);
  int64_t step = PIECE_BYTES / (int64_t)size;
  for (int64_t n; count > 0; count -= n, first += n) {
    n = count < step ? count : step;
    assert(prefetch->count < prefetch->most);
    prefetch->pieces[prefetch->count++] =
        (piece){.span = {span->tensor, span->first + first, n, span->to + first}, .from = from, .at = *at};
    *at += (size_t)n * size;
  }
}

/* Cuts this rank's share into pieces. A share is one block of all the numbers in a row, so that a rank reads
 * long ranges, and the lowest rank finds the first bad number. */
static void cut_share(olica_prefetch *prefetch, const olica_span *span, int spans) {
  const olica_context *context = prefetch->catalog->context;
  if (context->node_rank >= context->peer_groups) return;
  int64_t total = 0, before = 0;
  size_t at = 0;
  for (int i = 0; i < spans; i++) total += span[i].count;
  olica_range own = olica_partition_block(total, context->peer_groups, context->node_rank);
  for (int i = 0; i < spans; i++) {
    int64_t from = own.first > before ? own.first - before : 0, until = own.first + own.count - before;
    if (until > span[i].count) until = span[i].count;
    if (until > from) cut(prefetch, &span[i], i, from, until - from, &at);
    before += span[i].count;
  }
}

static bool owns(const olica_prefetch *prefetch) {
  return prefetch->catalog->context->node_index == prefetch->owner;
}

/* Returns the address of a piece's raw bytes. */
static unsigned char *place(const olica_prefetch *prefetch, const piece *p) {
  if (prefetch->kept) return prefetch->kept + p->at;
  return prefetch->background ? prefetch->raw + p->at : prefetch->raw;
}

/* Reads a piece. After a failure it reads nothing; the broadcast takes place nevertheless, since the other
 * nodes wait for it. */
static void read_piece(olica_prefetch *prefetch, const piece *p) {
  if (prefetch->status != OLICA_OK || (prefetch->kept && *prefetch->kept_valid)) return;
  olica_env *env = prefetch->catalog->context->env;
  prefetch->status =
      olica_catalog_read(prefetch->catalog, p->span.tensor, p->span.first, p->span.count, place(prefetch, p));
  if (prefetch->status != OLICA_OK) memcpy(prefetch->message, env->error.text, sizeof prefetch->message);
}

/* Reads the next piece, if this node is the owner, and begins its broadcast. */
static void send_next(olica_prefetch *prefetch) {
  olica_context *context = prefetch->catalog->context;
  const piece *p = &prefetch->pieces[prefetch->sent];
  MPI_Request *request = &prefetch->request[prefetch->sent++];
  if (owns(prefetch)) read_piece(prefetch, p);
  *request = MPI_REQUEST_NULL;
  if (context->nodes == 1) return;
  MPI_Ibcast(place(prefetch, p), (int)piece_bytes(p), MPI_BYTE, prefetch->owner, context->peers, request);
  olica_timer_work(&context->env->timers, 0, (double)piece_bytes(p));
}

void olica_prefetch_begin(olica_prefetch *prefetch, int owner, const olica_span *span, int spans, void *kept,
                          bool *kept_valid) {
  assert(!prefetch->busy);
  prefetch->busy = true;
  prefetch->owner = owner;
  prefetch->count = prefetch->sent = 0;
  prefetch->status = OLICA_OK;
  prefetch->kept = owns(prefetch) ? kept : NULL;
  prefetch->kept_valid = kept_valid;
  for (int i = 0; i < spans; i++) prefetch->live[i] = false;
  cut_share(prefetch, span, spans);
  if (owns(prefetch) && !(prefetch->kept && *kept_valid))
    for (int i = 0; i < prefetch->count; i++)
      olica_catalog_expect(prefetch->catalog, prefetch->pieces[i].span.tensor, prefetch->pieces[i].span.first,
                           prefetch->pieces[i].span.count);
  if (prefetch->background && !owns(prefetch))
    while (prefetch->sent < prefetch->count) send_next(prefetch);
}

void olica_prefetch_progress(olica_prefetch *prefetch) {
  if (!prefetch->busy || !prefetch->background) return;
  int done;
  if (prefetch->sent < prefetch->count) send_next(prefetch);
  MPI_Testall(prefetch->sent, prefetch->request, &done, MPI_STATUSES_IGNORE);
}

olica_status olica_prefetch_check(const olica_catalog *catalog, const olica_tensor *tensor, olica_dtype fits,
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

static olica_status decode(const olica_prefetch *prefetch, const piece *p) {
  const olica_span *span = &p->span;
  size_t count = (size_t)span->count;
  olica_number_decode(span->tensor->dtype, place(prefetch, p), span->to, count);
  for (size_t i = 0; i < count && !prefetch->live[p->from]; i++) prefetch->live[p->from] = span->to[i] != 0;
  return olica_prefetch_check(prefetch->catalog, span->tensor, prefetch->fits, span->first, span->to, count);
}

bool olica_prefetch_live(const olica_prefetch *prefetch, int span) {
  return prefetch->live[span];
}

olica_status olica_prefetch_finish(olica_prefetch *prefetch) {
  olica_context *context = prefetch->catalog->context;
  olica_status status = OLICA_OK;
  assert(prefetch->busy);
  for (int i = 0; i < prefetch->count; i++) {
    if (prefetch->sent == i) send_next(prefetch);
    olica_watch_enter(context, "the transfer of a layer");
    MPI_Wait(&prefetch->request[i], MPI_STATUS_IGNORE);
    olica_watch_leave(context);
    if (status == OLICA_OK && prefetch->status == OLICA_OK) status = decode(prefetch, &prefetch->pieces[i]);
  }
  prefetch->busy = false;
  if (prefetch->status != OLICA_OK)
    return olica_error_set(context->env, prefetch->status, "%s", prefetch->message);
  if (prefetch->kept) *prefetch->kept_valid = true;
  return status;
}

void olica_prefetch_settle(olica_prefetch *prefetch) {
  if (!prefetch || !prefetch->busy) return;
  prefetch->busy = false;
  if (!prefetch->background) return;
  prefetch->status = OLICA_ERR_INTERNAL; /* read_piece reads nothing any more */
  while (prefetch->sent < prefetch->count) send_next(prefetch);
  olica_watch_enter(prefetch->catalog->context, "the transfer of a layer");
  MPI_Waitall(prefetch->count, prefetch->request, MPI_STATUSES_IGNORE);
  olica_watch_leave(prefetch->catalog->context);
}
