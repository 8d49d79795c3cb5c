/* A layer. Every thread takes blocks of rows through all products of a stage while they are in its
 * cache: norm, query, key, value; then, after the attention of all threads, output, norm, and the three
 * products of the FFN, whose neurons are never written to memory as a whole. What a product reads is in the
 * kernel's precision; tiles, the residual stream, norms, softmax and silu are fp32. */
#include <omp.h>
#include <string.h>

#include "la/product.h"
#include "par/partition.h"
#include "passes.h"

/* A thread's workspace: a group of blocks on its way. */
typedef struct room {
  char *input, *neurons; /* workspace for blocks [d], [f] */
  char *low, *more_low;  /* each [olica_pass_low_width]: two maps in low rank are at work side by side */
  float *normed;         /* [64 x d] */
  float *tiles, *other;  /* [group's rows x PANEL] */
  float *added; /* [group's rows x d] output of attention or FFN that a norm waits for; NULL: none does */
} room;

static size_t lay_out(olica_dtype precision, const olica_arch *arch, room *r, void *block) {
  olica_arena arena = {.block = block};
  int rows = olica_packed_group_rows(precision), low = olica_pass_low_width(arch);
  OLICA_TAKE(&arena, r->input, olica_blocks_bytes(precision, rows, arch->hidden));
  OLICA_TAKE(&arena, r->neurons, olica_blocks_bytes(precision, rows, arch->ffn));
  OLICA_TAKE(&arena, r->low, olica_blocks_bytes(precision, rows, low));
  OLICA_TAKE(&arena, r->more_low, olica_blocks_bytes(precision, rows, low));
  OLICA_TAKE(&arena, r->normed, OLICA_BLOCK_ROWS * (size_t)arch->hidden);
  OLICA_TAKE(&arena, r->tiles, (size_t)rows * OLICA_PANEL_COLUMNS);
  OLICA_TAKE(&arena, r->other, (size_t)rows * OLICA_PANEL_COLUMNS);
  if (arch->block.output_norms) OLICA_TAKE(&arena, r->added, (size_t)rows * (size_t)arch->hidden);
  return arena.used;
}

size_t olica_pass_workspace(olica_dtype precision, const olica_arch *arch) {
  return lay_out(precision, arch, &(room){0}, NULL);
}

void olica_pass_lay_out(olica_forward *f, olica_arena *arena) {
  const olica_arch *arch = f->arch;
  olica_scratch *s = &f->scratch;
  size_t rows = (size_t)f->rows, keys = (size_t)(arch->kv_heads * arch->head) * f->size;
  int queries = arch->heads * arch->head;
  s->attention_bytes = olica_attention_workspace(f->precision, arch, f->tokens);
  OLICA_TAKE(arena, s->query, rows * (size_t)queries * f->size);
  OLICA_TAKE(arena, s->key, rows * keys);
  OLICA_TAKE(arena, s->value, rows * keys);
  if (arch->qk_norm == OLICA_QK_NORM_WIDTH) {
    OLICA_TAKE(arena, s->query_scale, rows);
    OLICA_TAKE(arena, s->key_scale, rows);
  }
  OLICA_TAKE(arena, s->mixed, olica_blocks_bytes(f->precision, f->rows, queries));
  OLICA_TAKE(arena, s->attention, (size_t)f->threads * s->attention_bytes);
}

/* ---- a group of blocks ---- */

typedef struct group {
  const olica_pass *pass;
  int thread;
  int block, blocks; /* of the pack */
  int row, rows;     /* of the pack */
  int skipped;       /* blocks in front of them in the room: a strip's, in its group */
  room room;
} group;

static group make_group(const olica_pass *pass, int thread, int block, int blocks) {
  int row = block * OLICA_BLOCK_ROWS, left = pass->pack->rows - row, most = blocks * OLICA_BLOCK_ROWS;
  group g = {.pass = pass, .thread = thread, .block = block, .blocks = blocks, .row = row};
  g.rows = left < most ? left : most;
  lay_out(pass->f->precision, pass->f->arch, &g.room, olica_kernel_room(pass->f->kernel, thread));
  return g;
}

/* Blocks that pass a panel before what they became is used: one, while the tile is in the innermost cache, if
 * the panel's weights stay in the second one for the next; else the whole group, slab by slab. */
static int strip_blocks(const olica_blocks *x) {
  enum { STAYS = 4096 }; /* bytes of a row */
  return (size_t)x->width * x->size <= STAYS ? 1 : olica_packed_group(x->precision);
}

static group make_strip(const group *g, int first, int blocks) {
  group strip = make_group(g->pass, g->thread, g->block + first,
                           g->blocks - first < blocks ? g->blocks - first : blocks);
  strip.skipped = first;
  return strip;
}

/* Uses tiles [rows x columns], columns [first, first + columns) of a map's output. */
typedef void tiles_use(const group *g, void *to, int first, int columns, const float *tiles);

static olica_blocks blocks_in(const group *g, char *at, int width) {
  return olica_blocks_in(g->pass->f->precision, at, width);
}

static int rows_of_block(const group *g, int block) {
  int left = g->rows - block * OLICA_BLOCK_ROWS;
  return left < OLICA_BLOCK_ROWS ? left : OLICA_BLOCK_ROWS;
}

static void observe(const group *g, olica_tap tap, int first, int columns, const float *tiles) {
  if (!g->pass->observer) return;
  for (int b = 0; b < g->blocks; b++)
    olica_pass_observe(g->pass, (olica_view){.tap = tap,
                                             .thread = g->thread,
                                             .row = g->row + b * OLICA_BLOCK_ROWS,
                                             .rows = rows_of_block(g, b),
                                             .col = first,
                                             .cols = columns,
                                             .stride = columns,
                                             .x = tiles + (size_t)b * OLICA_BLOCK_ROWS * (size_t)columns});
}

static void add_bias(float *tiles, const float *bias, int rows, int columns) {
  if (!bias) return;
  for (int t = 0; t < rows; t++)
    for (int i = 0; i < columns; i++) tiles[(size_t)t * (size_t)columns + i] += bias[i];
}

static const olica_linear *linear_of(const group *g, olica_projection projection) {
  return &g->pass->maps->layer->linear[projection];
}

/* One panel of a map of x, with its bias; the group's (strip's) blocks of x begin with number `block`. */
static int make_tiles(const group *g, const olica_packed *map, const float *bias, int panel,
                      const olica_blocks *x, int block, int *first, float *tiles) {
  int columns = olica_packed_columns(map, panel, first);
  olica_packed_tiles(map, g->thread, panel, x, block, g->blocks, false, tiles);
  add_bias(tiles, bias ? bias + *first : NULL, g->rows, columns);
  return columns;
}

static void store_blocks(const group *g, void *to, int first, int columns, const float *tiles) {
  olica_blocks_store(to, g->skipped * OLICA_BLOCK_ROWS, g->rows, first, columns, tiles, columns);
}

/* A map of x, whose blocks begin with number `block`, panel by panel. */
static void apply_map(const group *g, const olica_packed *map, const float *bias, const olica_blocks *x,
                      int block, tiles_use *use, void *to) {
  int first, blocks = strip_blocks(x);
  for (int panel = 0; panel < olica_packed_panels(map); panel++)
    for (int b = 0; b < g->blocks; b += blocks) {
      const group strip = make_strip(g, b, blocks);
      int columns = make_tiles(&strip, map, bias, panel, x, block + b, &first, g->room.tiles);
      use(&strip, to, first, columns, g->room.tiles);
    }
}

/* Blocks of the inner factor's output, in the room `at`. */
static olica_blocks apply_inner(const group *g, const olica_packed *inner, int rank, const olica_blocks *x,
                                int block, char *at) {
  olica_blocks low = blocks_in(g, at, rank);
  olica_blocks_clear(&low, g->rows);
  apply_map(g, inner, NULL, x, block, store_blocks, &low);
  return low;
}

static void apply(const group *g, olica_projection projection, const olica_blocks *x, int block,
                  tiles_use *use, void *to) {
  const olica_linear *linear = linear_of(g, projection);
  const olica_packed_linear *map = &g->pass->maps->linear[projection];
  if (!map->inner) {
    apply_map(g, map->outer, linear->bias, x, block, use, to);
    return;
  }
  const olica_blocks low = apply_inner(g, map->inner, linear->rank, x, block, g->room.low);
  apply_map(g, map->outer, linear->bias, &low, 0, use, to);
}

/* The weights and biases of a norm; without weights it leaves its rows as they are. */
typedef struct norm_weights {
  const float *gains, *biases;
} norm_weights;

/* A block's rows of x, normed into the room, and rounded into blocks while the innermost cache holds them. */
static void norm_block(const group *g, int row, int rows, norm_weights by, const olica_blocks *input) {
  enum { ROWS = 8 };
  const olica_arch *arch = g->pass->f->arch;
  size_t d = (size_t)arch->hidden;
  for (int t = 0, n; t < rows; t += n) {
    float *normed = g->room.normed + (size_t)t * d;
    n = rows - t < ROWS ? rows - t : ROWS;
    const float *x = g->pass->x + (size_t)(g->row + row + t) * d;
    if (!by.gains) memcpy(normed, x, (size_t)n * d * sizeof *normed);
    for (int i = 0; by.gains && i < n; i++)
      olica_pass_norm_row(arch, arch->hidden, x + (size_t)i * d, by.gains, by.biases, normed + (size_t)i * d);
    olica_blocks_store(input, row + t, n, 0, arch->hidden, normed, arch->hidden);
  }
}

/* The group's rows of x, normed, as blocks. */
static olica_blocks norm(const group *g, norm_weights by, olica_tap tap) {
  int d = g->pass->f->arch->hidden;
  const olica_blocks input = blocks_in(g, g->room.input, d);
  olica_blocks_clear(&input, g->rows);
  for (int b = 0; b < g->blocks; b++) {
    int rows = rows_of_block(g, b), row = b * OLICA_BLOCK_ROWS;
    norm_block(g, row, rows, by, &input);
    olica_pass_observe(g->pass, (olica_view){.tap = tap,
                                             .thread = g->thread,
                                             .row = g->row + row,
                                             .rows = rows,
                                             .cols = d,
                                             .stride = d,
                                             .x = g->room.normed});
  }
  return input;
}

static olica_blocks attention_input(const group *g, olica_tap tap) {
  const olica_layer *layer = g->pass->maps->layer;
  return norm(g, (norm_weights){layer->input_norm, layer->input_norm_bias}, tap);
}

static olica_blocks ffn_input(const group *g) {
  const olica_layer *layer = g->pass->maps->layer;
  return norm(g, (norm_weights){layer->ffn_norm, layer->ffn_norm_bias}, OLICA_TAP_FFN_INPUT);
}

/* ---- the stages ---- */

/* Rows of all columns of a projection. */
typedef struct projected {
  char *x;
  int width;
} projected;

static void store_rows(const group *g, void *to, int first, int columns, const float *tiles) {
  const olica_forward *f = g->pass->f;
  const projected *rows = to;
  for (int t = 0; t < g->rows; t++) {
    size_t at = (size_t)(g->row + t) * (size_t)rows->width + (size_t)first;
    olica_number_round_operand(f->precision, tiles + (size_t)t * (size_t)columns, rows->x + at * f->size,
                               columns);
  }
}

static void project(const group *g) {
  const olica_scratch *s = &g->pass->f->scratch;
  const olica_blocks input = attention_input(g, OLICA_TAP_ATTENTION_INPUT);
  char *const to[] = {[OLICA_Q] = s->query, [OLICA_K] = s->key, [OLICA_V] = s->value};
  for (int p = OLICA_Q; p <= OLICA_V; p++)
    apply(g, (olica_projection)p, &input, 0, store_rows,
          &(projected){to[p], linear_of(g, (olica_projection)p)->out});
}

/* x += scale y [rows x columns], at column `first` of x. */
static void add_to_x(const group *g, int first, int columns, const float *y) {
  const olica_arch *arch = g->pass->f->arch;
  size_t d = (size_t)arch->hidden;
  float scale = olica_arch_factor(arch->residual_scale);
  for (int t = 0; t < g->rows; t++) {
    float *x = g->pass->x + (size_t)(g->row + t) * d + first;
    const float *added = y + (size_t)t * (size_t)columns;
    if (scale == 1.0f)
      for (int i = 0; i < columns; i++) x[i] += added[i];
    else
      for (int i = 0; i < columns; i++) x[i] += scale * added[i];
  }
}

/* Tiles of the output of attention or FFN are added to x, or put aside where a norm waits for whole rows. */
static void put_output(const group *g, int first, int columns, const float *tiles) {
  size_t d = (size_t)g->pass->f->arch->hidden;
  float *added = g->room.added;
  if (!added) {
    add_to_x(g, first, columns, tiles);
    return;
  }
  added += (size_t)(g->skipped * OLICA_BLOCK_ROWS) * d + first;
  for (int t = 0; t < g->rows; t++)
    memcpy(added + (size_t)t * d, tiles + (size_t)t * (size_t)columns, (size_t)columns * sizeof *added);
}

/* The rows that were put aside are normed and added to x. */
static void add_normed(const group *g, const float *gains) {
  const olica_arch *arch = g->pass->f->arch;
  float *added = g->room.added;
  if (!added) return;
  for (int t = 0; t < g->rows; t++) {
    float *row = added + (size_t)t * (size_t)arch->hidden;
    olica_pass_norm_row(arch, arch->hidden, row, gains, NULL, row);
  }
  add_to_x(g, 0, arch->hidden, added);
}

static void use_attention_output(const group *g, void *to, int first, int columns, const float *tiles) {
  (void)to;
  observe(g, OLICA_TAP_ATTENTION_OUTPUT, first, columns, tiles);
  put_output(g, first, columns, tiles);
}

/* Neurons from tiles of gate and up (NULL: from those of up, in `gate`), some rows at a time, which are
 * stored while the innermost cache holds them. */
static void combine(const group *strip, const olica_blocks *neurons, int first, int columns, float *gate,
                    const float *up) {
  enum { ROWS = 8 };
  for (int t = 0, n; t < strip->rows; t += n) {
    size_t at = (size_t)t * (size_t)columns;
    n = strip->rows - t < ROWS ? strip->rows - t : ROWS;
    olica_pass_neurons(neurons->precision, strip->pass->f->arch, n * columns, gate + at, up ? up + at : NULL);
    olica_blocks_store(neurons, strip->skipped * OLICA_BLOCK_ROWS + t, n, first, columns, gate + at, columns);
  }
}

/* The input of a projection's outer factor: x itself, or what the inner one makes of it in the room `at`. */
static olica_blocks outer_input(const group *g, olica_projection projection, const olica_blocks *x,
                                char *at) {
  const olica_packed *inner = g->pass->maps->linear[projection].inner;
  return inner ? apply_inner(g, inner, linear_of(g, projection)->rank, x, 0, at) : *x;
}

/* Gate, where there is one, and up, panel by panel, become neurons. */
static olica_blocks make_neurons(const group *g, const olica_blocks *input) {
  const olica_maps *maps = g->pass->maps;
  const olica_packed *gate = maps->linear[OLICA_GATE].outer, *up = maps->linear[OLICA_UP].outer;
  olica_blocks neurons = blocks_in(g, g->room.neurons, maps->layer->shape.ffn);
  const olica_blocks of_gate = outer_input(g, OLICA_GATE, input, g->room.low),
                     of_up = outer_input(g, OLICA_UP, input, g->room.more_low);
  float *tiles = g->room.tiles, *of_up_tiles = gate ? g->room.other : tiles;
  int first, blocks = strip_blocks(input);
  olica_blocks_clear(&neurons, g->rows);
  for (int panel = 0; panel < olica_packed_panels(up); panel++)
    for (int b = 0; b < g->blocks; b += blocks) {
      const group strip = make_strip(g, b, blocks);
      if (gate) make_tiles(&strip, gate, linear_of(g, OLICA_GATE)->bias, panel, &of_gate, b, &first, tiles);
      int columns =
          make_tiles(&strip, up, linear_of(g, OLICA_UP)->bias, panel, &of_up, b, &first, of_up_tiles);
      combine(&strip, &neurons, first, columns, tiles, gate ? of_up_tiles : NULL);
      observe(&strip, OLICA_TAP_FFN_NEURONS, first, columns, tiles);
    }
  return neurons;
}

/* Down, and the branch on top of it, panel by panel. */
static void finish(const group *g, const olica_blocks *input, const olica_blocks *neurons) {
  const olica_maps *maps = g->pass->maps;
  const olica_packed *down = maps->linear[OLICA_DOWN].outer;
  const olica_blocks of_down = outer_input(g, OLICA_DOWN, neurons, g->room.more_low);
  olica_blocks low = {0};
  int first, rank = maps->layer->shape.branch, blocks = strip_blocks(neurons);
  if (rank) low = apply_inner(g, maps->branch.inner, rank, input, 0, g->room.low);
  for (int panel = 0; panel < olica_packed_panels(down); panel++)
    for (int b = 0; b < g->blocks; b += blocks) {
      const group strip = make_strip(g, b, blocks);
      int columns =
          make_tiles(&strip, down, linear_of(g, OLICA_DOWN)->bias, panel, &of_down, b, &first, g->room.tiles);
      if (rank)
        olica_packed_tiles(maps->branch.outer, g->thread, panel, &low, b, strip.blocks, true, g->room.tiles);
      observe(&strip, OLICA_TAP_FFN_OUTPUT, first, columns, g->room.tiles);
      put_output(&strip, first, columns, g->room.tiles);
    }
  add_normed(g, maps->layer->ffn_output_norm);
}

/* In a parallel block the FFN's input comes from the states before the attention's output is added. */
static void after_attention(const group *g, const olica_blocks *mixed) {
  const olica_observer *observer = g->pass->observer;
  bool parallel = g->pass->f->arch->block.parallel;
  olica_blocks input = {0};
  if (parallel) input = attention_input(g, OLICA_TAP_FFN_INPUT);
  apply(g, OLICA_O, mixed, g->block, use_attention_output, NULL);
  add_normed(g, g->pass->maps->layer->attention_output_norm);
  if (!parallel) input = ffn_input(g);
  const olica_blocks neurons = make_neurons(g, &input);
  if (!observer || !observer->to_neurons) finish(g, &input, &neurons);
}

/* The calling thread's blocks, group by group; mixed NULL: before attention. */
static void stage(const olica_pass *pass, const olica_blocks *mixed) {
  int blocks = (pass->pack->rows + OLICA_BLOCK_ROWS - 1) / OLICA_BLOCK_ROWS, thread = omp_get_thread_num(),
      most = olica_packed_group(pass->f->precision);
  olica_range own = olica_partition_block(blocks, omp_get_num_threads(), thread);
  for (int done = 0; done < (int)own.count; done += most) {
    int left = (int)own.count - done;
    const group g = make_group(pass, thread, (int)own.first + done, left < most ? left : most);
    if (mixed)
      after_attention(&g, mixed);
    else
      project(&g);
  }
}

static double flops(const olica_pass *pass) {
  const olica_arch *arch = pass->f->arch;
  const olica_layer_shape *shape = &pass->maps->layer->shape;
  bool cut = pass->observer && pass->observer->to_neurons;
  double numbers = cut ? 0 : 2.0 * shape->branch * arch->hidden;
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    const olica_linear *linear = &pass->maps->layer->linear[p];
    double both = (double)linear->out + linear->in, whole = (double)linear->out * linear->in;
    if (p != OLICA_DOWN || !cut) numbers += linear->rank ? linear->rank * both : whole;
  }
  return 2 * pass->pack->rows * numbers +
         2 * olica_pass_pairs(pass->pack) * olica_layer_shape_heads(shape) * (arch->head + shape->values);
}

olica_status olica_pass_run(const olica_pass *pass) {
  const olica_forward *f = pass->f;
  const olica_blocks mixed =
      olica_blocks_in(f->precision, f->scratch.mixed, pass->maps->layer->linear[OLICA_O].in);
  double work = flops(pass);
  OLICA_TRY(olica_attention_prepare(pass));
  olica_blocks_clear(&mixed, pass->pack->rows);
#pragma omp parallel num_threads(f->threads) if (work >= OLICA_PRODUCT_PARALLEL)
  {
    stage(pass, NULL);
#pragma omp barrier
    olica_attention(pass, &mixed);
    stage(pass, &mixed);
  }
  olica_timer_work(&f->env->timers, work, 0);
  return OLICA_OK;
}
