/* The number formats that weights are stored in, and conversion from and to the fp32 we compute in. Little
 * endian, round to nearest even. Not collective, never fail. */
#ifndef OLICA_LA_NUMBER_H
#define OLICA_LA_NUMBER_H

#include <stddef.h>

typedef enum olica_dtype { OLICA_FP32, OLICA_FP16, OLICA_BF16, OLICA_DTYPES } olica_dtype;

/* Bytes of one number; its name, "fp32", "fp16", "bf16". */
size_t olica_number_size(olica_dtype dtype);
const char *olica_number_name(olica_dtype dtype);

/* The format of that name, or OLICA_DTYPES if there is none. */
olica_dtype olica_number_parse(const char *name);

/* n stored numbers at `from` (any alignment) to fp32, and back. */
void olica_number_decode(olica_dtype dtype, const void *from, float *to, size_t n);
void olica_number_encode(olica_dtype dtype, const float *from, void *to, size_t n);

/* x rounded in place to what the format can hold: what will be read back after encode. */
void olica_number_round(olica_dtype dtype, float *x, size_t n);

/* Index of the first NaN or infinity among n numbers, or n. */
size_t olica_number_nonfinite(const float *x, size_t n);

#endif
