/* All uses of oneDNN in this program. Primitives are created for one thread and run by each thread on its own
 * data, so that results do not depend on the number of threads. Products are dense: only then are oneDNN
 * 2.6's primitives fast. */
#include "la/kernel.h"

#include <assert.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

enum {
  COLUMNS = 64,      /* oneDNN's blocks of a packed factor: columns, */
  DEPTH = 32,        /* and rows */
  SCRATCH = 1 << 18, /* enough for any primitive's scratchpad of one thread */
  PROBE = 64         /* order of the product used to query the kernel's name */
};

/* Arguments of a product that change with every call, per thread. */
enum { LEFT, RIGHT, PRODUCT, SPACE, ARGUMENTS };

struct olica_matmul {
  struct olica_matmul *next;
  const olica_kernel *kernel;
  olica_matmul_shape shape;
  dnnl_primitive_t run;
  dnnl_memory_desc_t order; /* of the right factor */
  dnnl_memory_t *memory;    /* [ARGUMENTS x threads], without data of their own */
  bool divides;             /* it takes all threads unless it is told not to */
};

/* Converts strided fp32 to the layout of a product's right factor. */
typedef struct loader {
  struct loader *next;
  const olica_matmul *matmul;
  int64_t row_stride, column_stride;
  dnnl_primitive_t run;
  dnnl_memory_t *from; /* [threads] */
} loader;

struct olica_operand {
  const olica_matmul *matmul;
  char *own;            /* its data, if the caller gave no memory */
  dnnl_memory_t memory; /* the memory object around it: setting the data of a padded memory object would write
                           into it */
};

typedef struct worker {
  dnnl_stream_t stream;
  char *scratch; /* scratchpad of the running primitive */
  char *room;    /* workspace of the caller */
} worker;

struct olica_kernel {
  olica_env *env;
  olica_dtype precision;
  int threads;
  char name[OLICA_KERNEL_TEXT];
  dnnl_engine_t engine;
  worker *worker;                   /* [threads] */
  size_t scratch_bytes, room_bytes; /* of a worker */
  olica_matmul *matmuls;
  loader *loaders;
};

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

int olica_kernel_threads(const olica_kernel *kernel) {
  return kernel->threads;
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

/* ---- the kernel ---- */

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

olica_status olica_kernel_reserve(olica_kernel *kernel, size_t bytes) {
  if (bytes <= kernel->room_bytes) return OLICA_OK;
  kernel->room_bytes = 0;
  for (int t = 0; t < kernel->threads; t++) {
    OLICA_FREE(kernel->env, kernel->worker[t].room);
    OLICA_TRY(OLICA_NEW(kernel->env, kernel->worker[t].room, bytes));
  }
  kernel->room_bytes = bytes;
  return OLICA_OK;
}

void *olica_kernel_room(const olica_kernel *kernel, int thread) {
  return kernel->worker[thread].room;
}

static olica_status create_workers(olica_kernel *kernel) {
  olica_env *env = kernel->env;
  OLICA_TRY(OLICA_NEW(env, kernel->worker, (size_t)kernel->threads));
  for (int t = 0; t < kernel->threads; t++)
    TRY_DNNL(env, dnnl_stream_create(&kernel->worker[t].stream, kernel->engine, dnnl_stream_default_flags));
  return OLICA_OK;
}

static olica_status create(olica_kernel *kernel) {
  const olica_matmul *any;
  if (kernel->precision == OLICA_BF16 && !olica_kernel_has_bf16())
    return olica_error_set(kernel->env, OLICA_ERR_CONFIG,
                           "products in bf16: this processor has none, expected AVX512_BF16 or AMX");
  TRY_DNNL(kernel->env, dnnl_engine_create(&kernel->engine, dnnl_cpu, 0));
  OLICA_TRY(create_workers(kernel));
  /* Primitives need different sizes; the estimate counts SCRATCH, so allocate that at once. */
  OLICA_TRY(take_scratch(kernel, SCRATCH));
  return olica_matmul_find(kernel, (olica_matmul_shape){PROBE, PROBE, PROBE, OLICA_RIGHT_PACKED, false},
                           &any);
}

olica_status olica_kernel_create(olica_env *env, olica_dtype precision, int threads, olica_kernel **out) {
  olica_kernel *kernel;
  OLICA_TRY(OLICA_NEW(env, kernel, 1));
  *kernel = (olica_kernel){.env = env, .precision = precision, .threads = threads};
  olica_status status = create(kernel);
  if (status != OLICA_OK)
    olica_kernel_destroy(kernel);
  else
    *out = kernel;
  return status;
}

static void destroy_matmul(olica_kernel *kernel, olica_matmul *matmul) {
  for (int i = 0; matmul->memory && i < ARGUMENTS * kernel->threads; i++)
    dnnl_memory_destroy(matmul->memory[i]);
  dnnl_primitive_destroy(matmul->run);
  olica_memory_free(kernel->env, matmul->memory);
  olica_memory_free(kernel->env, matmul);
}

static void destroy_loader(olica_kernel *kernel, loader *load) {
  for (int t = 0; load->from && t < kernel->threads; t++) dnnl_memory_destroy(load->from[t]);
  dnnl_primitive_destroy(load->run);
  olica_memory_free(kernel->env, load->from);
  olica_memory_free(kernel->env, load);
}

void olica_kernel_destroy(olica_kernel *kernel) {
  if (!kernel) return;
  for (loader *load = kernel->loaders, *next; load; load = next) {
    next = load->next;
    destroy_loader(kernel, load);
  }
  for (olica_matmul *matmul = kernel->matmuls, *next; matmul; matmul = next) {
    next = matmul->next;
    destroy_matmul(kernel, matmul);
  }
  for (int t = 0; kernel->worker && t < kernel->threads; t++) {
    dnnl_stream_destroy(kernel->worker[t].stream);
    olica_memory_free(kernel->env, kernel->worker[t].scratch);
    olica_memory_free(kernel->env, kernel->worker[t].room);
  }
  olica_memory_free(kernel->env, kernel->worker);
  dnnl_engine_destroy(kernel->engine);
  olica_memory_free(kernel->env, kernel);
}

olica_hold olica_kernel_hold(olica_ledger *ledger, int threads) {
  return olica_ledger_hold(ledger, (size_t)threads * (SCRATCH + ledger->workspace));
}

/* ---- products ---- */

/* `packed` is the layout of the same product without addition; NULL: oneDNN chooses. */
static dnnl_status_t describe_factors(olica_dtype precision, const olica_matmul_shape *s,
                                      const dnnl_memory_desc_t *packed, dnnl_memory_desc_t of[ARGUMENTS]) {
  const dnnl_data_type_t type = precision == OLICA_BF16 ? dnnl_bf16 : dnnl_f32;
  const dnnl_dims_t left = {s->rows, s->depth}, right = {s->depth, s->columns},
                    product = {s->rows, s->columns};
  const dnnl_format_tag_t tags[] = {[OLICA_RIGHT_PACKED] = dnnl_format_tag_any,
                                    [OLICA_RIGHT_ROWS] = dnnl_ab,
                                    [OLICA_RIGHT_TRANSPOSED] = dnnl_ba};
  dnnl_status_t status = dnnl_memory_desc_init_by_tag(&of[LEFT], 2, left, type, dnnl_ab);
  if (packed)
    of[RIGHT] = *packed;
  else if (status == dnnl_success)
    status = dnnl_memory_desc_init_by_tag(&of[RIGHT], 2, right, type, tags[s->right]);
  if (status == dnnl_success)
    status = dnnl_memory_desc_init_by_tag(&of[PRODUCT], 2, product, dnnl_f32, dnnl_ab);
  return status;
}

/* We provide the scratchpad, so that several threads can run one primitive. */
static dnnl_status_t make_attributes(bool adds, dnnl_primitive_attr_t *attributes, dnnl_post_ops_t *sum) {
  dnnl_status_t status = dnnl_primitive_attr_create(attributes);
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
  if (!adds || status != dnnl_success) return status;
  status = dnnl_post_ops_create(sum);
  if (status == dnnl_success) status = dnnl_post_ops_append_sum(*sum, 1.0f);
  if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, *sum);
  return status;
}

static dnnl_status_t describe(const olica_kernel *kernel, const olica_matmul_shape *shape,
                              dnnl_memory_desc_t of[ARGUMENTS], dnnl_primitive_desc_t *description) {
  dnnl_matmul_desc_t product;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t sum = NULL;
  dnnl_status_t status = dnnl_matmul_desc_init(&product, &of[LEFT], &of[RIGHT], NULL, &of[PRODUCT]);
  if (status == dnnl_success) status = make_attributes(shape->adds, &attributes, &sum);
  if (status == dnnl_success)
    status = dnnl_primitive_desc_create(description, &product, attributes, kernel->engine, NULL);
  dnnl_post_ops_destroy(sum);
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

/* Returns the instructions of oneDNN's general product, whose implementation does not say them. */
static const char *instructions(void) {
  dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core) return "avx512_core";
  if ((isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2) return "avx2";
  if ((isa & dnnl_cpu_isa_avx) == dnnl_cpu_isa_avx) return "avx";
  return (isa & dnnl_cpu_isa_sse41) == dnnl_cpu_isa_sse41 ? "sse41" : "plain";
}

/* Sets the name "oneDNN 2.6.3 avx512_core_bf16" from a primitive's implementation, "brg:avx512_core_bf16" or
 * "gemm:jit". */
static void name_kernel(olica_kernel *kernel, const char *implementation) {
  char version[OLICA_KERNEL_TEXT];
  snprintf(kernel->name, sizeof kernel->name, "oneDNN %.16s %.36s", olica_kernel_version(version),
           strncmp(implementation, "brg:", 4) == 0 ? implementation + 4 : instructions());
}

static void inspect(olica_kernel *kernel, olica_matmul *matmul, const_dnnl_primitive_desc_t description) {
  const char *implementation = "?";
  dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &implementation);
  matmul->divides = strncmp(implementation, "brg:", 4) != 0;
  if (!*kernel->name) name_kernel(kernel, implementation);
}

static olica_status make_memory(olica_kernel *kernel, olica_matmul *matmul,
                                const dnnl_memory_desc_t of[ARGUMENTS]) {
  olica_env *env = kernel->env;
  OLICA_TRY(OLICA_NEW(env, matmul->memory, ARGUMENTS * (size_t)kernel->threads));
  for (int i = 0; i < ARGUMENTS * kernel->threads; i++)
    if (i % ARGUMENTS != RIGHT || matmul->shape.right != OLICA_RIGHT_PACKED)
      TRY_DNNL(env,
               dnnl_memory_create(&matmul->memory[i], &of[i % ARGUMENTS], kernel->engine, DNNL_MEMORY_NONE));
  return OLICA_OK;
}

static olica_status make_matmul(olica_kernel *kernel, olica_matmul *matmul,
                                const dnnl_memory_desc_t *packed) {
  dnnl_memory_desc_t of[ARGUMENTS];
  dnnl_primitive_desc_t description;
  int threads = omp_get_max_threads();
  omp_set_num_threads(1); /* a primitive keeps the number of threads at its creation */
  dnnl_status_t status = describe_factors(kernel->precision, &matmul->shape, packed, of);
  if (status == dnnl_success) status = describe(kernel, &matmul->shape, of, &description);
  if (status == dnnl_success) {
    status = dnnl_primitive_create(&matmul->run, description);
    matmul->order = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    of[RIGHT] = matmul->order;
    of[SPACE] = *dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    inspect(kernel, matmul, description);
    dnnl_primitive_desc_destroy(description);
  }
  omp_set_num_threads(threads);
  TRY_DNNL(kernel->env, status);
  OLICA_TRY(take_scratch(kernel, dnnl_memory_desc_get_size(&of[SPACE])));
  return make_memory(kernel, matmul, of);
}

static bool same_shape(const olica_matmul_shape *a, const olica_matmul_shape *b) {
  return a->rows == b->rows && a->depth == b->depth && a->columns == b->columns && a->right == b->right &&
         a->adds == b->adds;
}

olica_status olica_matmul_find(olica_kernel *kernel, olica_matmul_shape shape, const olica_matmul **found) {
  const olica_matmul *plain = NULL;
  for (olica_matmul *matmul = kernel->matmuls; matmul; matmul = matmul->next)
    if (same_shape(&matmul->shape, &shape)) return *found = matmul, OLICA_OK;
  if (shape.adds && shape.right == OLICA_RIGHT_PACKED) {
    olica_matmul_shape without = shape; /* one operand serves both products */
    without.adds = false;
    OLICA_TRY(olica_matmul_find(kernel, without, &plain));
  }
  olica_matmul *matmul;
  OLICA_TRY(OLICA_NEW(kernel->env, matmul, 1));
  *matmul = (olica_matmul){.next = kernel->matmuls, .kernel = kernel, .shape = shape};
  kernel->matmuls = matmul; /* also after a failure: it is freed with the others */
  *found = matmul;
  return make_matmul(kernel, matmul, plain ? &plain->order : NULL);
}

void olica_matmul_run(const olica_matmul *matmul, int thread, const void *left, const olica_operand *operand,
                      const void *right, float *product) {
  const worker *own = &matmul->kernel->worker[thread];
  const dnnl_memory_t *memory = matmul->memory + ARGUMENTS * (size_t)thread;
  void *const at[ARGUMENTS] = {(void *)left, (void *)right, product,
                               own->scratch}; /* factors are only read */
  dnnl_status_t status = dnnl_success;
  for (int i = 0; i < ARGUMENTS && status == dnnl_success; i++)
    if (memory[i]) status = dnnl_memory_set_data_handle(memory[i], at[i]);
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memory[LEFT]},
                                       {DNNL_ARG_WEIGHTS, operand ? operand->memory : memory[RIGHT]},
                                       {DNNL_ARG_DST, memory[PRODUCT]},
                                       {DNNL_ARG_SCRATCHPAD, memory[SPACE]}};
  int threads = matmul->divides && !omp_in_parallel() ? omp_get_max_threads() : 1;
  if (threads > 1) omp_set_num_threads(1);
  if (status == dnnl_success) status = dnnl_primitive_execute(matmul->run, own->stream, 4, arguments);
  if (threads > 1) omp_set_num_threads(threads);
  assert(status == dnnl_success); /* cannot fail: everything it needs was created before */
  (void)status;
}

/* ---- operands ---- */

size_t olica_operand_measure(olica_dtype precision, int depth, int columns) {
  return (size_t)olica_round_up(depth, DEPTH) * (size_t)olica_round_up(columns, COLUMNS) *
         olica_number_size(precision);
}

olica_status olica_operand_create(olica_kernel *kernel, const olica_matmul *matmul, void *room,
                                  olica_operand **out) {
  olica_operand *operand;
  olica_status status = OLICA_OK;
  OLICA_TRY(OLICA_NEW(kernel->env, operand, 1));
  operand->matmul = matmul;
  if (!room) status = OLICA_NEW(kernel->env, operand->own, dnnl_memory_desc_get_size(&matmul->order));
  if (status == OLICA_OK && dnnl_memory_create(&operand->memory, &matmul->order, kernel->engine,
                                               room ? room : operand->own) != dnnl_success)
    status = refused(kernel->env, "dnnl_memory_create", dnnl_out_of_memory);
  if (status != OLICA_OK)
    olica_operand_destroy(kernel, operand);
  else
    *out = operand;
  return status;
}

void olica_operand_destroy(olica_kernel *kernel, olica_operand *operand) {
  if (!operand) return;
  dnnl_memory_destroy(operand->memory);
  olica_memory_free(kernel->env, operand->own);
  olica_memory_free(kernel->env, operand);
}

static olica_status make_loader(olica_kernel *kernel, loader *load) {
  olica_env *env = kernel->env;
  const olica_matmul_shape *shape = &load->matmul->shape;
  const dnnl_dims_t dims = {shape->depth, shape->columns}, strides = {load->row_stride, load->column_stride};
  dnnl_memory_desc_t plain;
  dnnl_primitive_desc_t description;
  TRY_DNNL(env, dnnl_memory_desc_init_by_strides(&plain, 2, dims, dnnl_f32, strides));
  int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  dnnl_status_t status = dnnl_reorder_primitive_desc_create(&description, &plain, kernel->engine,
                                                            &load->matmul->order, kernel->engine, NULL);
  if (status == dnnl_success) {
    status = dnnl_primitive_create(&load->run, description);
    dnnl_primitive_desc_destroy(description);
  }
  omp_set_num_threads(threads);
  TRY_DNNL(env, status);
  OLICA_TRY(OLICA_NEW(env, load->from, (size_t)kernel->threads));
  for (int t = 0; t < kernel->threads; t++)
    TRY_DNNL(env, dnnl_memory_create(&load->from[t], &plain, kernel->engine, DNNL_MEMORY_NONE));
  return OLICA_OK;
}

static olica_status find_loader(olica_kernel *kernel, const olica_matmul *matmul, int64_t row_stride,
                                int64_t column_stride, loader **found) {
  for (loader *load = kernel->loaders; load; load = load->next)
    if (load->matmul == matmul && load->row_stride == row_stride && load->column_stride == column_stride)
      return *found = load, OLICA_OK;
  loader *load;
  OLICA_TRY(OLICA_NEW(kernel->env, load, 1));
  *load = (loader){kernel->loaders, matmul, row_stride, column_stride, NULL, NULL};
  kernel->loaders = *found = load;
  return make_loader(kernel, load);
}

olica_status olica_operand_load(olica_kernel *kernel, int thread, olica_operand *operand, const float *w,
                                int64_t row_stride, int64_t column_stride) {
  loader *load;
  OLICA_TRY(find_loader(kernel, operand->matmul, row_stride, column_stride, &load));
  assert(load->from);
  TRY_DNNL(kernel->env, dnnl_memory_set_data_handle(load->from[thread], (void *)w)); /* is only read */
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, load->from[thread]}, {DNNL_ARG_TO, operand->memory}};
  TRY_DNNL(kernel->env, dnnl_primitive_execute(load->run, kernel->worker[thread].stream, 2, arguments));
  return OLICA_OK;
}
