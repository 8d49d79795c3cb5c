/* Any bytes as a GGUF file: refused with a message, or metadata and a catalog whose tensors lie in it. */
#include "fuzz_file.h"
#include "io/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_box *box = fuzz_open(data, size);
  olica_catalog *catalog;
  json_t *metadata;
  FUZZ_EXPECT(olica_catalog_create(box->context, &catalog) == OLICA_OK);
  olica_status status = olica_gguf_open(catalog, box->path, &metadata);
  FUZZ_EXPECT((status == OLICA_OK) == json_is_object(metadata));
  FUZZ_EXPECT(status != OLICA_OK || olica_gguf_begins(box->path));
  json_decref(metadata);
  status = olica_catalog_share(catalog, status);
  if (status == OLICA_OK) fuzz_tensors(catalog, size);
  olica_catalog_destroy(catalog);
  fuzz_close(box, status);
  return 0;
}
