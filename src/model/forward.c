#include "model/forward.h"

#include <assert.h>

#include "passes.h"

/* Lays out the tables and the scratch of a pass. */
static size_t lay_out(olica_forward *f, void *block) {
  olica_arena arena = {.block = block};
  for (int i = 0; i < f->arch->ropes; i++) {
    size_t numbers = (size_t)f->tokens * (size_t)olica_rope_pairs(&f->arch->rope[i], f->arch->head);
    OLICA_TAKE(&arena, f->cosine[i], numbers);
    OLICA_TAKE(&arena, f->sine[i], numbers);
  }
  olica_pass_lay_out(f, &arena);
  return arena.used;
}

olica_hold olica_forward_hold(olica_ledger *ledger, const olica_arch *arch, int rows, int tokens,
                              olica_dtype precision, int threads) {
  olica_forward f = {.arch = arch,
                     .rows = rows,
                     .tokens = tokens,
                     .threads = threads,
                     .precision = precision,
                     .size = olica_number_size(precision)};
  olica_ledger_reserve(ledger, olica_pass_workspace(precision, arch));
  return olica_ledger_hold(ledger, lay_out(&f, NULL));
}

/* Fills the tables of a RoPE for sequences of a regime. */
static void tabulate(olica_forward *f, int rope, int regime) {
  olica_rope_tables(&f->arch->rope[rope], f->arch->head, regime, f->tokens, f->cosine[rope], f->sine[rope]);
  f->regime[rope] = regime;
}

static olica_status create(olica_forward *f) {
  OLICA_TRY(OLICA_LAY_OUT(f->env, "scratch of the forward pass", f->block, lay_out, f));
  for (int i = 0; i < f->arch->ropes; i++) tabulate(f, i, 0);
  return olica_kernel_reserve(f->kernel, olica_pass_workspace(f->precision, f->arch));
}

olica_status olica_forward_create(olica_kernel *kernel, const olica_arch *arch, int rows, int tokens,
                                  olica_forward **out) {
  olica_forward *f;
  OLICA_TRY(OLICA_NEW(olica_kernel_env(kernel), f, 1));
  *f = (olica_forward){.env = olica_kernel_env(kernel),
                       .kernel = kernel,
                       .arch = arch,
                       .rows = rows,
                       .tokens = tokens,
                       .threads = olica_kernel_threads(kernel),
                       .precision = olica_kernel_precision(kernel),
                       .size = olica_number_size(olica_kernel_precision(kernel))};
  olica_status status = create(f);
  if (status != OLICA_OK)
    olica_forward_destroy(f);
  else
    *out = f;
  return status;
}

void olica_forward_destroy(olica_forward *f) {
  if (!f) return;
  olica_memory_free(f->env, f->block);
  olica_memory_free(f->env, f);
}

int olica_forward_rows(const olica_forward *f) {
  return f->rows;
}

int olica_forward_threads(const olica_forward *f) {
  return f->threads;
}

double olica_pass_pairs(const olica_pack *pack) {
  double all = 0;
  for (int i = 0; i < pack->segments; i++) {
    const olica_segment *s = &pack->segment[i];
    all += (double)s->count * s->prefix + (double)s->count * (s->count + 1) / 2;
  }
  return all;
}

/* Returns the regime that the layer's RoPE has in a segment. */
static int regime_of(const olica_pass *pass, const olica_segment *segment) {
  int length = segment->length > 0 ? segment->length : segment->prefix + segment->count;
  return olica_rope_regime(olica_pass_rope(pass), length);
}

/* Passes segments [first, until) of the pack, which lie behind each other, as a pack of their own. */
static olica_status pass_part(const olica_pass *pass, int first, int until) {
  const olica_segment *all = pass->pack->segment;
  int row = all[first].first, count = until - first;
  olica_segment *part;
  OLICA_TRY(OLICA_NEW(pass->f->env, part, (size_t)count));
  for (int i = 0; i < count; i++) {
    part[i] = all[first + i];
    part[i].first -= row;
    if (part[i].prefix) part[i].base -= row;
  }
  const olica_pack pack = {
      .rows = part[count - 1].first + part[count - 1].count, .segments = count, .segment = part};
  olica_pass own = *pass;
  own.pack = &pack;
  own.x += (size_t)row * (size_t)pass->f->arch->hidden;
  olica_status status = olica_pass_run(&own);
  olica_memory_free(pass->f->env, part);
  return status;
}

/* Passes the segments of each regime together, as far as they follow each other. */
static olica_status pass_by_regime(const olica_pass *pass) {
  const olica_pack *pack = pass->pack;
  olica_forward *f = pass->f;
  int rope = olica_pass_layer(pass)->rope;
  for (int first = 0, until; first < pack->segments; first = until) {
    int regime = regime_of(pass, &pack->segment[first]);
    for (until = first + 1; until < pack->segments; until++)
      if (regime_of(pass, &pack->segment[until]) != regime) break;
    if (regime != f->regime[rope]) tabulate(f, rope, regime);
    assert(until - first == pack->segments || !pass->observer);
    OLICA_TRY(until - first == pack->segments ? olica_pass_run(pass) : pass_part(pass, first, until));
  }
  return OLICA_OK;
}

olica_status olica_forward_pass(olica_forward *f, const olica_maps *maps, const olica_pack *pack, float *x,
                                const olica_observer *observer) {
  const olica_pass pass = {.f = f, .maps = maps, .pack = pack, .x = x, .observer = observer};
  assert(pack->rows <= f->rows && maps->kernel == f->kernel);
  const olica_rope *rope = olica_pass_rope(&pass);
  bool by_length = rope && (rope->kind == OLICA_ROPE_DYNAMIC || rope->kind == OLICA_ROPE_LONG);
  return by_length ? pass_by_regime(&pass) : olica_pass_run(&pass);
}
