/* Any bytes as a safetensors file: refused with a message, or a catalog whose tensors lie in it. */
#include "fuzz_file.h"
#include "io/shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_box *box = fuzz_open(data, size);
  olica_catalog *catalog;
  int file;
  FUZZ_EXPECT(olica_catalog_create(box->context, &catalog) == OLICA_OK);
  olica_status status = olica_catalog_add_file(catalog, box->path, &file);
  if (status == OLICA_OK) status = olica_catalog_share(catalog, olica_shard_read(catalog, file));
  if (status == OLICA_OK) fuzz_tensors(catalog, size);
  olica_catalog_destroy(catalog);
  fuzz_close(box, status);
  return 0;
}
