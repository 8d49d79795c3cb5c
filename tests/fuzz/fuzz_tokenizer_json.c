/* Any bytes as a tokenizer.json: refused with a message, or a tokenizer that keeps its contract on texts. */
#include "tokenizer_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_tokenizer(OLICA_TOKENIZER_JSON, data, size);
  return 0;
}
