/* The common part of most pre-tokenizers: a text is a sequence of matches and gaps, and the behavior
 * determines which of them are joined. */
#include "pretokenize.h"
#include "unicode.h"

/* The current part, which may still grow. */
typedef struct divider {
  olica_pretokenizers *all;
  size_t next; /* index of the part that receives the results */
  olica_behavior behavior;
  olica_piece piece;
  size_t begin, end;
  bool any, match; /* a part exists; the last item joined to it was a match */
} divider;

static olica_status emit(divider *d) {
  if (!d->any || (d->behavior == OLICA_REMOVED && d->match)) return OLICA_OK;
  olica_piece part = d->piece;
  part.text = (olica_span){d->piece.text.data + d->begin, d->end - d->begin};
  part.first = d->piece.first && d->begin == 0;
  return olica_pretokenizers_pass(d->all, d->next, part);
}

static bool joins(const divider *d, bool match) {
  switch (d->behavior) {
  case OLICA_MERGED_WITH_PREVIOUS:
    return match && !d->match;
  case OLICA_MERGED_WITH_NEXT:
    return !match && d->match;
  case OLICA_CONTIGUOUS:
    return match == d->match;
  default:
    return false;
  }
}

static olica_status take(divider *d, size_t begin, size_t end, bool match) {
  if (d->any && joins(d, match)) {
    d->end = end;
    d->match = match;
    return OLICA_OK;
  }
  OLICA_TRY(emit(d));
  d->begin = begin;
  d->end = end;
  d->any = true;
  d->match = match;
  return OLICA_OK;
}

static divider begin_dividing(olica_pretokenizers *all, size_t i, olica_piece piece) {
  return (divider){.all = all, .next = i + 1, .behavior = all->part[i].behavior, .piece = piece};
}

olica_status olica_divide_pattern(olica_pretokenizers *all, size_t i, olica_piece piece) {
  olica_pretokenizer *p = &all->part[i];
  divider d = begin_dividing(all, i, piece);
  olica_matches m = {.pattern = &p->pattern, .text = piece.text};
  size_t from = 0;
  for (bool found;;) {
    OLICA_TRY(olica_matches_next(&m, &found));
    if (!found) break;
    if (m.begin > from) OLICA_TRY(take(&d, from, m.begin, p->invert));
    OLICA_TRY(take(&d, m.begin, m.end, !p->invert));
    from = m.end;
  }
  if (from < piece.text.bytes) OLICA_TRY(take(&d, from, piece.text.bytes, p->invert));
  return emit(&d);
}

olica_status olica_divide_characters(olica_pretokenizers *all, size_t i, olica_piece piece) {
  olica_pretokenizer *p = &all->part[i];
  divider d = begin_dividing(all, i, piece);
  size_t from = 0;
  for (size_t at = 0; at < piece.text.bytes;) {
    size_t begin = at;
    if (!p->is(p, olica_unicode_next(piece.text, &at))) continue;
    if (begin > from) OLICA_TRY(take(&d, from, begin, false));
    OLICA_TRY(take(&d, begin, at, true));
    from = at;
  }
  if (from < piece.text.bytes) OLICA_TRY(take(&d, from, piece.text.bytes, false));
  return emit(&d);
}
