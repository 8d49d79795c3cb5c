/* All of oneDNN that this program uses. The weights are cut into panels of columns of y, and the rows of x
 * into blocks: one panel times one block is a task of one thread, whose operands stay in its cache. As the
 * tasks do not depend on the number of threads, neither do the results. Primitives are made for one thread
 * and a full block; the rows of a shorter one are filled up with zeros. What a task makes lies dense in a
 * tile of its thread, because the fast primitives of oneDNN 2.6 write no other way, and goes from there to y.
 */
#include "olica/la/packed.h"

#include <assert.h>
#include <cblas.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

#include "olica/la/product.h"

enum {
  BLOCK = 64,       /* rows of a task */
  PANEL = 256,      /* its columns of y at most: with their weights in the second cache up to in = 2000 */
  CHUNK = 512,      /* rows of x in bf16 at a time */
  COLUMNS = 64,     /* oneDNN's blocks of weights: columns of y, */
  DEPTH = 32,       /* and of x */
  SCRATCH = 1 << 16 /* what a primitive wants of a thread, about */
};

/* What multiplies a block of x [BLOCK x in] with a panel into a tile [BLOCK x columns]. The memory objects
 * only carry pointers: x, tile and scratch of each thread. */
typedef struct primitive {
  struct primitive *next;
  int in, columns;
  dnnl_primitive_t run;
  dnnl_memory_desc_t weights;
  dnnl_memory_t *memory; /* [3 x threads] */
} primitive;

/* What each thread has of its own. */
typedef struct worker {
  dnnl_stream_t stream;
  float *tile;   /* [BLOCK x PANEL] */
  char *scratch; /* of the primitive that runs */
} worker;

struct olica_kernel {
  olica_env *env;
  olica_dtype precision;
  int threads;
  char name[OLICA_KERNEL_TEXT];
  dnnl_engine_t engine; /* NULL in fp32, like all below */
  worker *worker;       /* [threads] */
  size_t scratch_bytes; /* of a worker */
  primitive *primitives;
  uint16_t *x; /* [CHUNK x most_in] rows of x in bf16 */
  int most_in;
};

typedef struct panel {
  int first, columns; /* of y */
  const primitive *primitive;
  char *weights;        /* in its order */
  dnnl_memory_t memory; /* around them */
} panel;

struct olica_packed {
  olica_kernel *kernel;
  olica_packed_weights weights;
  int panels; /* 0 in fp32 */
  panel *panel;
};

static int round_up(int n, int unit) {
  return (n + unit - 1) / unit * unit;
}

/* Columns of all panels but the last. */
static int panel_columns(int out) {
  int panels = (out + PANEL - 1) / PANEL;
  return panels ? round_up((out + panels - 1) / panels, COLUMNS) : COLUMNS;
}

/* ---- the kernel ---- */

bool olica_kernel_has_bf16(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

const char *olica_kernel_version(char text[OLICA_KERNEL_TEXT]) {
  const dnnl_version_t *version = dnnl_version();
  snprintf(text, OLICA_KERNEL_TEXT, "%d.%d.%d", version->major, version->minor, version->patch);
  return text;
}

olica_env *olica_kernel_env(const olica_kernel *kernel) {
  return kernel->env;
}

olica_dtype olica_kernel_precision(const olica_kernel *kernel) {
  return kernel->precision;
}

const char *olica_kernel_name(const olica_kernel *kernel) {
  return kernel->name;
}

static olica_status refused(olica_env *env, const char *call, dnnl_status_t status) {
  return olica_error_set(env, status == dnnl_out_of_memory ? OLICA_ERR_MEMORY : OLICA_ERR_INTERNAL,
                         "oneDNN: %.*s returned %d, expected 0", (int)strcspn(call, "("), call, (int)status);
}

#define TRY_DNNL(env, call)                                                                                  \
  do {                                                                                                       \
    dnnl_status_t dnnl_ = (call);                                                                            \
    if (dnnl_ != dnnl_success) return refused(env, #call, dnnl_);                                            \
  } while (0)

static olica_status take_scratch(olica_kernel *kernel, size_t bytes) {
  if (bytes <= kernel->scratch_bytes) return OLICA_OK;
  kernel->scratch_bytes = 0;
  for (int t = 0; t < kernel->threads; t++) {
    OLICA_FREE(kernel->env, kernel->worker[t].scratch);
    OLICA_TRY(OLICA_NEW(kernel->env, kernel->worker[t].scratch, bytes));
  }
  kernel->scratch_bytes = bytes;
  return OLICA_OK;
}

static olica_status take_rows(olica_kernel *kernel, int in) {
  if (in <= kernel->most_in) return OLICA_OK;
  kernel->most_in = 0;
  OLICA_FREE(kernel->env, kernel->x);
  OLICA_TRY(OLICA_NEW(kernel->env, kernel->x, (size_t)CHUNK * (size_t)in));
  kernel->most_in = in;
  return OLICA_OK;
}

static olica_status create_workers(olica_kernel *kernel) {
  olica_env *env = kernel->env;
  OLICA_TRY(OLICA_NEW(env, kernel->worker, (size_t)kernel->threads));
  for (int t = 0; t < kernel->threads; t++) {
    OLICA_TRY(OLICA_NEW(env, kernel->worker[t].tile, BLOCK * PANEL));
    TRY_DNNL(env, dnnl_stream_create(&kernel->worker[t].stream, kernel->engine, dnnl_stream_default_flags));
  }
  return OLICA_OK;
}

/* ---- primitives ---- */

/* x and the tile by rows; the weights as the primitive likes them best. Scratch is ours to give, so that
 * several threads may run one primitive. */
static dnnl_status_t describe(const olica_kernel *kernel, const primitive *p, dnnl_memory_desc_t *x,
                              dnnl_memory_desc_t *tile, dnnl_primitive_desc_t *description) {
  const dnnl_dims_t x_dims = {BLOCK, p->in}, w_dims = {p->in, p->columns}, tile_dims = {BLOCK, p->columns};
  dnnl_memory_desc_t w;
  dnnl_matmul_desc_t product;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_status_t status = dnnl_memory_desc_init_by_tag(x, 2, x_dims, dnnl_bf16, dnnl_ab);
  if (status == dnnl_success)
    status = dnnl_memory_desc_init_by_tag(&w, 2, w_dims, dnnl_bf16, dnnl_format_tag_any);
  if (status == dnnl_success) status = dnnl_memory_desc_init_by_tag(tile, 2, tile_dims, dnnl_f32, dnnl_ab);
  if (status == dnnl_success) status = dnnl_matmul_desc_init(&product, x, &w, NULL, tile);
  if (status == dnnl_success) status = dnnl_primitive_attr_create(&attributes);
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (status == dnnl_success)
    status = dnnl_primitive_desc_create(description, &product, attributes, kernel->engine, NULL);
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

/* "oneDNN 2.6.3 avx512_core_bf16", from what implements a primitive: "brg:avx512_core_bf16". */
static void name_kernel(olica_kernel *kernel, const_dnnl_primitive_desc_t description) {
  const char *name = "?", *colon;
  char version[OLICA_KERNEL_TEXT];
  dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name);
  colon = strrchr(name, ':');
  snprintf(kernel->name, sizeof kernel->name, "oneDNN %.16s %.36s", olica_kernel_version(version),
           colon ? colon + 1 : name);
}

static olica_status make_memory(olica_kernel *kernel, primitive *p, const dnnl_memory_desc_t *x,
                                const dnnl_memory_desc_t *tile, const dnnl_memory_desc_t *scratch) {
  olica_env *env = kernel->env;
  const dnnl_memory_desc_t *of[3] = {x, tile, scratch};
  OLICA_TRY(OLICA_NEW(env, p->memory, 3 * (size_t)kernel->threads));
  for (int i = 0; i < 3 * kernel->threads; i++)
    TRY_DNNL(env, dnnl_memory_create(&p->memory[i], of[i % 3], kernel->engine, DNNL_MEMORY_NONE));
  return OLICA_OK;
}

static olica_status make_primitive(olica_kernel *kernel, primitive *p) {
  dnnl_memory_desc_t x, tile, scratch;
  dnnl_primitive_desc_t description;
  /* A primitive keeps the number of threads of its making. */
  int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  dnnl_status_t status = describe(kernel, p, &x, &tile, &description);
  if (status == dnnl_success) {
    status = dnnl_primitive_create(&p->run, description);
    p->weights = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    scratch = *dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    if (!*kernel->name) name_kernel(kernel, description);
    dnnl_primitive_desc_destroy(description);
  }
  omp_set_num_threads(threads);
  TRY_DNNL(kernel->env, status);
  OLICA_TRY(take_scratch(kernel, dnnl_memory_desc_get_size(&scratch)));
  return make_memory(kernel, p, &x, &tile, &scratch);
}

static olica_status find_primitive(olica_kernel *kernel, int in, int columns, const primitive **found) {
  primitive *p = kernel->primitives;
  while (p && (p->in != in || p->columns != columns)) p = p->next;
  if (!p) {
    OLICA_TRY(OLICA_NEW(kernel->env, p, 1));
    *p = (primitive){.next = kernel->primitives, .in = in, .columns = columns};
    kernel->primitives = p; /* whatever comes of it: it is taken down with the others */
    OLICA_TRY(make_primitive(kernel, p));
  }
  *found = p;
  return OLICA_OK;
}

static void destroy_primitive(olica_kernel *kernel, primitive *p) {
  for (int i = 0; p->memory && i < 3 * kernel->threads; i++) dnnl_memory_destroy(p->memory[i]);
  dnnl_primitive_destroy(p->run);
  olica_memory_free(kernel->env, p->memory);
  olica_memory_free(kernel->env, p);
}

static olica_status create_bf16(olica_kernel *kernel) {
  const primitive *any;
  if (!olica_kernel_has_bf16())
    return olica_error_set(kernel->env, OLICA_ERR_CONFIG,
                           "products in bf16: this processor has none, expected AVX512_BF16 or AMX");
  TRY_DNNL(kernel->env, dnnl_engine_create(&kernel->engine, dnnl_cpu, 0));
  OLICA_TRY(create_workers(kernel));
  return find_primitive(kernel, PANEL, PANEL, &any);
}

olica_status olica_kernel_create(olica_env *env, olica_dtype precision, int threads, olica_kernel **out) {
  olica_kernel *kernel;
  OLICA_TRY(OLICA_NEW(env, kernel, 1));
  *kernel = (olica_kernel){.env = env, .precision = precision, .threads = threads};
  if (precision == OLICA_FP32)
    snprintf(kernel->name, sizeof kernel->name, "OpenBLAS %.50s", openblas_get_corename());
  olica_status status = precision == OLICA_FP32 ? OLICA_OK : create_bf16(kernel);
  if (status != OLICA_OK)
    olica_kernel_destroy(kernel);
  else
    *out = kernel;
  return status;
}

void olica_kernel_destroy(olica_kernel *kernel) {
  if (!kernel) return;
  for (primitive *p = kernel->primitives, *next; p; p = next) {
    next = p->next;
    destroy_primitive(kernel, p);
  }
  for (int t = 0; kernel->worker && t < kernel->threads; t++) {
    dnnl_stream_destroy(kernel->worker[t].stream);
    olica_memory_free(kernel->env, kernel->worker[t].tile);
    olica_memory_free(kernel->env, kernel->worker[t].scratch);
  }
  olica_memory_free(kernel->env, kernel->worker);
  olica_memory_free(kernel->env, kernel->x);
  dnnl_engine_destroy(kernel->engine);
  olica_memory_free(kernel->env, kernel);
}

size_t olica_kernel_bytes(olica_dtype precision, int threads, int most_in) {
  if (precision == OLICA_FP32) return 0;
  return (size_t)CHUNK * (size_t)most_in * sizeof(uint16_t) +
         (size_t)threads * (BLOCK * PANEL * sizeof(float) + SCRATCH);
}

/* ---- packing ---- */

size_t olica_packed_bytes(olica_dtype precision, int out, int in) {
  if (precision == OLICA_FP32) return 0;
  return (size_t)round_up(out, COLUMNS) * (size_t)round_up(in, DEPTH) * sizeof(uint16_t);
}

/* The panel's part of W becomes bf16 in the order that its primitive wants. */
static olica_status reorder(olica_kernel *kernel, const olica_packed_weights *weights, const panel *part) {
  size_t skip = (size_t)part->first * (weights->transposed ? 1 : (size_t)weights->in);
  const dnnl_dims_t dims = {weights->in, part->columns}, by_row = {1, weights->in},
                    by_column = {weights->out, 1};
  float *w = (float *)weights->w + skip; /* is only read */
  dnnl_memory_desc_t plain;
  dnnl_memory_t from = NULL;
  dnnl_primitive_desc_t description = NULL;
  dnnl_primitive_t run = NULL;
  dnnl_stream_t stream = kernel->worker[0].stream;
  dnnl_status_t status =
      dnnl_memory_desc_init_by_strides(&plain, 2, dims, dnnl_f32, weights->transposed ? by_column : by_row);
  if (status == dnnl_success) status = dnnl_memory_create(&from, &plain, kernel->engine, w);
  if (status == dnnl_success)
    status = dnnl_reorder_primitive_desc_create(&description, &plain, kernel->engine,
                                                &part->primitive->weights, kernel->engine, NULL);
  if (status == dnnl_success) status = dnnl_primitive_create(&run, description);
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, part->memory}};
  if (status == dnnl_success) status = dnnl_primitive_execute(run, stream, 2, arguments);
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  dnnl_primitive_destroy(run);
  dnnl_primitive_desc_destroy(description);
  dnnl_memory_destroy(from);
  TRY_DNNL(kernel->env, status);
  return OLICA_OK;
}

static olica_status pack_panel(olica_kernel *kernel, const olica_packed_weights *weights, panel *part) {
  OLICA_TRY(find_primitive(kernel, weights->in, part->columns, &part->primitive));
  const dnnl_memory_desc_t *order = &part->primitive->weights;
  OLICA_TRY(OLICA_NEW(kernel->env, part->weights, dnnl_memory_desc_get_size(order)));
  TRY_DNNL(kernel->env, dnnl_memory_create(&part->memory, order, kernel->engine, part->weights));
  return reorder(kernel, weights, part);
}

static olica_status pack(olica_packed *packed) {
  olica_kernel *kernel = packed->kernel;
  int out = packed->weights.out, columns = panel_columns(out);
  OLICA_TRY(take_rows(kernel, packed->weights.in));
  OLICA_TRY(OLICA_NEW(kernel->env, packed->panel, (size_t)((out + columns - 1) / columns)));
  for (int first = 0; first < out; first += columns) {
    panel *part = &packed->panel[packed->panels++];
    part->first = first;
    part->columns = out - first < columns ? out - first : columns;
    OLICA_TRY(pack_panel(kernel, &packed->weights, part));
  }
  return OLICA_OK;
}

olica_status olica_packed_create(olica_kernel *kernel, olica_packed_weights weights, olica_packed **out) {
  olica_packed *packed;
  OLICA_TRY(OLICA_NEW(kernel->env, packed, 1));
  *packed = (olica_packed){.kernel = kernel, .weights = weights};
  olica_status status = kernel->precision == OLICA_FP32 ? OLICA_OK : pack(packed);
  if (status != OLICA_OK)
    olica_packed_destroy(packed);
  else
    *out = packed;
  return status;
}

void olica_packed_destroy(olica_packed *packed) {
  if (!packed) return;
  for (int i = 0; i < packed->panels; i++) {
    dnnl_memory_destroy(packed->panel[i].memory);
    olica_memory_free(packed->kernel->env, packed->panel[i].weights);
  }
  olica_memory_free(packed->kernel->env, packed->panel);
  olica_memory_free(packed->kernel->env, packed);
}

/* ---- multiplying ---- */

/* Block number `block` of x in bf16, filled up with zeros. */
static void load_block(const olica_kernel *kernel, int in, int block, int rows, const float *x,
                       int x_stride) {
  uint16_t *to = kernel->x + (size_t)block * BLOCK * (size_t)in;
  int first = block * BLOCK, count = rows - first < BLOCK ? rows - first : BLOCK;
  for (int t = 0; t < count; t++)
    olica_number_encode(OLICA_BF16, x + (size_t)(first + t) * (size_t)x_stride, to + (size_t)t * (size_t)in,
                        (size_t)in);
  memset(to + (size_t)count * (size_t)in, 0, (size_t)(BLOCK - count) * (size_t)in * sizeof *to);
}

/* tile := block of x times panel */
static void run(const worker *own, int thread, const panel *part, uint16_t *x) {
  const dnnl_memory_t *memory = part->primitive->memory + 3 * (size_t)thread;
  void *const at[3] = {x, own->tile, own->scratch};
  dnnl_status_t status = dnnl_success;
  for (int i = 0; i < 3 && status == dnnl_success; i++)
    status = dnnl_memory_set_data_handle(memory[i], at[i]);
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memory[0]},
                                       {DNNL_ARG_WEIGHTS, part->memory},
                                       {DNNL_ARG_DST, memory[1]},
                                       {DNNL_ARG_SCRATCHPAD, memory[2]}};
  if (status == dnnl_success)
    status = dnnl_primitive_execute(part->primitive->run, own->stream, 4, arguments);
  assert(status == dnnl_success); /* all it needs was there when it was made */
}

/* One task: `rows` rows of y, of a block and a panel. */
static void work_on(const olica_packed *packed, const panel *part, int rows, uint16_t *x, float *y) {
  int thread = omp_get_thread_num(), columns = part->columns;
  const worker *own = &packed->kernel->worker[thread];
  size_t stride = (size_t)packed->weights.out;
  run(own, thread, part, x);
  for (int t = 0; t < rows; t++) {
    const float *from = own->tile + (size_t)t * (size_t)columns;
    float *to = y + (size_t)t * stride;
    if (packed->weights.adds)
      for (int i = 0; i < columns; i++) to[i] += from[i];
    else
      memcpy(to, from, (size_t)columns * sizeof *to);
  }
}

/* At most CHUNK rows. */
static void multiply(const olica_packed *packed, int rows, const float *x, int x_stride, float *y) {
  const olica_kernel *kernel = packed->kernel;
  int in = packed->weights.in, out = packed->weights.out, blocks = (rows + BLOCK - 1) / BLOCK;
  double work = (double)rows * out * in;
#pragma omp parallel num_threads(kernel->threads) if (work >= OLICA_PRODUCT_PARALLEL)
  {
#pragma omp for schedule(static)
    for (int block = 0; block < blocks; block++) load_block(kernel, in, block, rows, x, x_stride);
#pragma omp for collapse(2) schedule(static)
    for (int i = 0; i < packed->panels; i++)
      for (int block = 0; block < blocks; block++) {
        const panel *part = &packed->panel[i];
        int left = rows - block * BLOCK;
        work_on(packed, part, left < BLOCK ? left : BLOCK, kernel->x + (size_t)block * BLOCK * (size_t)in,
                y + (size_t)block * BLOCK * (size_t)out + part->first);
      }
  }
}

void olica_packed_multiply(olica_packed *packed, int rows, const float *x, int x_stride, float *y) {
  const olica_packed_weights *w = &packed->weights;
  olica_env *env = packed->kernel->env;
  if (packed->kernel->precision == OLICA_FP32) {
    olica_product_general(env, 0, !w->transposed, rows, w->out, w->in, 1.0f, x, x_stride, w->w,
                          w->transposed ? w->out : w->in, w->adds ? 1.0f : 0.0f, y, w->out);
    return;
  }
  for (int first = 0; first < rows; first += CHUNK)
    multiply(packed, rows - first < CHUNK ? rows - first : CHUNK, x + (size_t)first * (size_t)x_stride,
             x_stride, y + (size_t)first * (size_t)w->out);
  olica_timer_work(&env->timers, 2.0 * rows * w->out * w->in, 0);
}
