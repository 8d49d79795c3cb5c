#include "rates.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "calib/stream.h"
#include "io/file.h"
#include "la/product.h"
#include "par/comm.h"

#define NOISE 1.1 /* rates that differ by less are the same */

enum { LENGTH = 512, PIECE = 32 << 20 };

/* A measurement in one precision. */
typedef struct bench {
  olica_context *context; /* of this rank alone, with its own environment */
  olica_arch arch;        /* of one layer: */
  olica_arch_layer first;
  olica_layer *layer;
  int tokens;
  double seconds;
} bench;

static int scaled(int n, double by) {
  int m = (int)(n * by);
  return m > 1 ? m : 1;
}

/* Returns an architecture of the same proportions and head size, small enough to be made quickly. */
static olica_arch shrink(const olica_arch *arch, const olica_layer_shape *shape) {
  olica_arch small = *arch;
  double numbers = (double)olica_layer_shape_total(arch, shape), by = sqrt(OLICA_RATES_NUMBERS / numbers);
  if (by >= 1) return small;
  small.kv_heads = scaled(arch->kv_heads, by);
  small.heads = arch->group * small.kv_heads;
  by = (double)small.heads / arch->heads < by ? (double)small.heads / arch->heads : by;
  small.hidden = (scaled(arch->hidden, by) + 63) / 64 * 64;
  small.ffn = (scaled(arch->ffn, by) + 63) / 64 * 64;
  return small;
}

/* Fills with small pseudorandom numbers, so that states stay finite however many passages there are. */
static void fill(float *x, size_t count, float scale) {
  uint32_t state = 1;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = scale * ((float)(state >> 8) / (float)(1 << 23) - 1.0f);
  }
}

static olica_status make_layer(bench *b, const bool bias[OLICA_PROJECTIONS]) {
  b->arch.layers = 1;
  b->arch.layer = &b->first;
  const olica_layer_shape shape = olica_layer_shape_dense(&b->arch, 0, bias);
  olica_layer *layer;
  OLICA_TRY(olica_layer_create(b->context->env, &b->arch, &shape, NULL, &layer));
  b->layer = layer;
  fill(layer->own, olica_layer_bytes(&b->arch, &shape) / sizeof(float), 0.02f);
  return OLICA_OK;
}

/* Returns the rate of the fastest passage, which other jobs disturb least. The first passage, which warms up,
 * does not count. */
static olica_status time_passages(const bench *b, olica_stream *stream, olica_forward *forward,
                                  const olica_maps *maps, double *rate) {
  double one =
      (double)stream->sequences * b->tokens * olica_layer_shape_work(&b->arch, &b->layer->shape, b->tokens);
  double began = olica_timer_now(), last = began, least = 0;
  for (int i = 0; i < 2 || last - began < b->seconds; i++) {
    OLICA_TRY(olica_stream_advance(stream, forward, maps, NULL));
    double now = olica_timer_now();
    if (i == 1 || (i > 1 && now - last < least)) least = now - last;
    last = now;
  }
  *rate = one / fmax(least, 1e-9);
  return OLICA_OK;
}

/* On failure the environment frees the memory. */
static olica_status measure(const bench *b, olica_dtype precision, double *rate) {
  olica_context *context = b->context;
  int pack = olica_stream_pack(precision, context->threads, b->tokens);
  olica_kernel *kernel;
  olica_stream *stream;
  olica_forward *forward;
  olica_maps *maps;
  OLICA_TRY(olica_kernel_create(context->env, precision, context->threads, &kernel));
  OLICA_TRY(olica_stream_create(context, b->arch.hidden, pack, b->tokens, &stream));
  fill(stream->x, (size_t)pack * (size_t)b->tokens * (size_t)b->arch.hidden, 1.0f);
  OLICA_TRY(olica_forward_create(kernel, &b->arch, pack * b->tokens, b->tokens, &forward));
  OLICA_TRY(olica_maps_create(context, kernel, &b->arch, b->layer, 0, &maps));
  OLICA_TRY(time_passages(b, stream, forward, maps, rate));
  olica_maps_destroy(maps);
  olica_forward_destroy(forward);
  olica_stream_destroy(stream);
  olica_kernel_destroy(kernel);
  return OLICA_OK;
}

/* Reads the start of the embedding, which is in the system's cache or not, like the model. */
static olica_status measure_reading(olica_env *env, const olica_source *source, double *rate) {
  const olica_tensor *tensor = source->table[OLICA_TABLE_EMBED];
  const char *path = source->catalog->path[tensor->file];
  size_t bytes = tensor->bytes < PIECE ? (size_t)tensor->bytes : PIECE;
  char *data;
  int fd;
  int64_t size;
  OLICA_TRY(OLICA_NEW(env, data, bytes));
  OLICA_TRY(olica_file_open(env, path, &fd, &size));
  double began = olica_timer_now();
  olica_status status = olica_file_read(env, fd, path, tensor->offset, data, bytes);
  *rate = (double)bytes / fmax(olica_timer_now() - began, 1e-6);
  close(fd);
  olica_memory_free(env, data);
  return status;
}

/* Measures on this rank alone, without communication; all ranks begin together. */
static olica_status measure_all(const olica_setup *setup, olica_context *own, double seconds, bool reads,
                                double rate[3]) {
  const olica_options *o = setup->options;
  bool evaluates = *o->evaluate.text || *o->evaluate.tokens;
  int64_t length = olica_setup_prunes(setup) || !evaluates ? o->calibration.length : o->evaluate.length;
  bench b = {.context = own,
             .arch = shrink(&setup->source->arch, &setup->source->shape[0]),
             .first = setup->source->arch.layer[0],
             .tokens = (int)(length < LENGTH ? length : LENGTH),
             .seconds = seconds};
  OLICA_TRY(olica_product_reserve(own->env, own->threads));
  b.first.heads = b.arch.heads;
  b.first.kv_heads = b.arch.kv_heads;
  b.first.ffn = b.arch.ffn;
  OLICA_TRY(make_layer(&b, setup->source->shape[0].bias));
  OLICA_TRY(measure(&b, OLICA_FP32, &rate[0]));
  if (rate[1] > 0) OLICA_TRY(measure(&b, OLICA_BF16, &rate[1]));
  olica_layer_destroy(own->env, b.layer);
  return reads ? measure_reading(own->env, setup->source, &rate[2]) : OLICA_OK;
}

static olica_status measure_apart(const olica_setup *setup, double seconds, bool reads, double rate[3]) {
  olica_env *env = olica_env_create(), *mine = setup->context->env;
  olica_context *own = NULL;
  if (!env) return olica_error_set(mine, OLICA_ERR_MEMORY, "memory: no room to measure the machine in");
  olica_status status = olica_context_create(env, MPI_COMM_SELF, setup->context->threads, &own);
  env->log.speaks = false;
  if (status == OLICA_OK) status = measure_all(setup, own, seconds, reads, rate);
  if (status != OLICA_OK) olica_error_set(mine, status, "%s", env->error.text);
  olica_context_destroy(own);
  olica_env_destroy(env);
  olica_context_restore_threads(setup->context);
  return status;
}

olica_status olica_rates_measure(const olica_setup *setup, double seconds, bool reads, olica_rates *rates) {
  olica_context *context = setup->context;
  double lacks = !olica_kernel_has_bf16();
  olica_comm_max(context, context->comm, &lacks, 1);
  double rate[3] = {0, lacks == 0, 0};
  OLICA_AGREE(context, measure_apart(setup, seconds, reads, rate));
  for (int i = 0; i < 3; i++) rate[i] = -rate[i];
  olica_comm_max(context, context->comm, rate, 3);
  *rates = (olica_rates){.fp32 = -rate[0], .bf16 = -rate[1], .reading = -rate[2]};
  return OLICA_OK;
}

bool olica_rates_prefer_fp32(const olica_rates *rates) {
  return rates->bf16 > 0 && rates->fp32 > NOISE * rates->bf16;
}

bool olica_rates_prefer_bf16(const olica_rates *rates) {
  return rates->bf16 > NOISE * rates->fp32;
}

olica_status olica_rates_warn(const olica_setup *setup) {
  olica_env *env = setup->context->env;
  olica_rates rates;
  if (setup->precision != OLICA_BF16) return OLICA_OK;
  if (olica_rates_measure(setup, 0.1, false, &rates) != OLICA_OK) return olica_error_clear(env), OLICA_OK;
  if (!olica_rates_prefer_fp32(&rates)) return OLICA_OK;
  olica_log_line(env, "measured: fp32 %.3g GFLOP/s a rank, bf16 %.3g", rates.fp32 / 1e9, rates.bf16 / 1e9);
  if (setup->context->rank == 0)
    olica_log_warn(env, "[compute] precision = bf16: fp32 is faster on this processor, and more precise");
  return OLICA_OK;
}
