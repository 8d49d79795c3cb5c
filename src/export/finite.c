#include "finite.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "q8_0.h"

enum { PIECE = 4 << 20 };

static olica_status refuse(const olica_catalog *catalog, const olica_tensor *tensor, double number,
                           int64_t element) {
  return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                         "%s: %s has %g at element %lld, expected finite numbers",
                         olica_catalog_file(catalog, tensor), tensor->name, number, (long long)element);
}

/* Reads numbers [first, first + n), n at most PIECE / 4. */
static olica_status check_piece(olica_catalog *catalog, const olica_tensor *tensor, int64_t first, size_t n,
                                unsigned char *raw, float *numbers) {
  OLICA_TRY(olica_catalog_read(catalog, tensor, first, (int64_t)n, raw));
  olica_number_decode(tensor->dtype, raw, numbers, n);
  size_t bad = olica_number_nonfinite(numbers, n);
  return bad < n ? refuse(catalog, tensor, (double)numbers[bad], first + (int64_t)bad) : OLICA_OK;
}

/* The same of blocks of Q8_0, whose only numbers that may not be finite are the scales. */
static olica_status check_blocks(olica_catalog *catalog, const olica_tensor *tensor, int64_t first, size_t n,
                                 unsigned char *raw) {
  int fd;
  int64_t size;
  const char *file = olica_catalog_file(catalog, tensor);
  size_t blocks = n / OLICA_Q8_0_NUMBERS;
  OLICA_TRY(olica_file_open(catalog->context->env, file, &fd, &size));
  olica_status status = olica_file_read(catalog->context->env, fd, file,
                                        tensor->offset + first / OLICA_Q8_0_NUMBERS * OLICA_Q8_0_BYTES, raw,
                                        blocks * OLICA_Q8_0_BYTES);
  close(fd);
  for (size_t i = 0; status == OLICA_OK && i < blocks; i++) {
    float scale;
    olica_number_decode(OLICA_FP16, raw + i * OLICA_Q8_0_BYTES, &scale, 1);
    if (!isfinite(scale))
      status = refuse(catalog, tensor, (double)scale, first + (int64_t)(i * OLICA_Q8_0_NUMBERS));
  }
  return status;
}

static olica_status check_tensor(olica_catalog *catalog, const olica_tensor *tensor, int64_t *turn,
                                 unsigned char *raw, float *numbers) {
  const olica_context *context = catalog->context;
  int64_t all = tensor->shape[0] * (tensor->dims == 2 ? tensor->shape[1] : 1), most = PIECE / sizeof(float);
  for (int64_t first = 0; first < all; first += most) {
    size_t n = (size_t)(all - first < most ? all - first : most);
    if ((*turn)++ % context->size != context->rank) continue;
    OLICA_TRY(tensor->dtype == OLICA_DTYPES ? check_blocks(catalog, tensor, first, n, raw)
                                            : check_piece(catalog, tensor, first, n, raw, numbers));
  }
  return OLICA_OK;
}

olica_status olica_export_check_finite(olica_catalog *catalog) {
  olica_env *env = catalog->context->env;
  float *numbers;
  unsigned char *raw;
  int64_t turn = 0;
  OLICA_TRY(OLICA_NEW(env, numbers, PIECE / sizeof *numbers));
  OLICA_TRY(OLICA_NEW(env, raw, PIECE));
  for (int i = 0; i < catalog->count; i++)
    OLICA_TRY(check_tensor(catalog, &catalog->tensor[i], &turn, raw, numbers));
  olica_memory_free(env, numbers);
  olica_memory_free(env, raw);
  return OLICA_OK;
}
