/* Any bytes as the index of a model in two shards, a.safetensors and b.safetensors, with the tensors x and y.
 */
#include "fuzz_file.h"
#include "io/safetensors.h"

enum { PATH = 96 };

static void put(const char *directory, const char *name, const char *tensor) {
  char path[PATH], header[96];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  int n = snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                   tensor);
  FILE *file = fopen(path, "wb");
  FUZZ_EXPECT(file && fwrite((uint64_t[]){(uint64_t)n}, 8, 1, file) == 1);
  FUZZ_EXPECT(fwrite(header, 1, (size_t)n, file) == (size_t)n && fwrite("1234", 1, 4, file) == 4);
  FUZZ_EXPECT(fclose(file) == 0);
}

/* A model directory whose index is the input's file. */
static const char *directory(const fuzz_box *box) {
  static char made[PATH / 2];
  char link[PATH];
  if (made[0]) return made;
  snprintf(made, sizeof made, "/tmp/olica-fuzz.XXXXXX");
  FUZZ_EXPECT(mkdtemp(made));
  put(made, "a.safetensors", "x");
  put(made, "b.safetensors", "y");
  snprintf(link, sizeof link, "%s/model.safetensors.index.json", made);
  FUZZ_EXPECT(symlink(box->path, link) == 0);
  return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_box *box = fuzz_open(data, size);
  olica_catalog *catalog;
  FUZZ_EXPECT(olica_catalog_create(box->context, &catalog) == OLICA_OK);
  olica_status status = olica_catalog_share(catalog, olica_safetensors_open(catalog, directory(box)));
  FUZZ_EXPECT(status != OLICA_OK || (catalog->count >= 1 && catalog->files <= 2));
  olica_catalog_destroy(catalog);
  fuzz_close(box, status);
  return 0;
}
