/* Any bytes as an .npy file: refused with a message, or ids that can be read to the last. */
#include "fuzz_file.h"
#include "io/npy.h"

/* The first and the last few ids; what is no id is refused. */
static olica_status read_ends(olica_context *context, const olica_npy *npy) {
  enum { FEW = 16, VOCABULARY = 1000 };
  int32_t ids[FEW];
  int64_t all = npy->rows * npy->cols, n = all < FEW ? all : FEW;
  FUZZ_EXPECT(npy->dims > 0 && npy->rows >= 0 && npy->cols >= 0);
  if (all == 0) return OLICA_OK;
  for (int end = 0; end < 2; end++) {
    int64_t first = end ? all - n : 0;
    OLICA_TRY(olica_npy_read(context, npy, first / npy->cols, first % npy->cols, n, VOCABULARY, ids));
    for (int64_t i = 0; i < n; i++) FUZZ_EXPECT(ids[i] >= 0 && ids[i] < VOCABULARY);
  }
  return OLICA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_box *box = fuzz_open(data, size);
  olica_npy *npy = NULL;
  olica_status status = olica_npy_open(box->context, box->path, &npy);
  if (status == OLICA_OK) status = read_ends(box->context, npy);
  olica_npy_close(box->context, npy);
  fuzz_close(box, status);
  return 0;
}
