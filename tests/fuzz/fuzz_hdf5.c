/* Any bytes as a checkpoint of ours: refused with a message, or a catalog whose tensors lie in the file; then
 * verified, and bound as a model. The checksums of HDF5's structure are put right first, as a hostile writer
 * would, so that what was changed is looked at. */
#include "fuzz_file.h"
#include "model/source.h"
#include "store/checkpoint.h"

/* HDF5's own, which it exports. */
uint32_t H5_checksum_metadata(const void *data, size_t bytes, uint32_t start);

enum { SUPERBLOCK = 44, CONTINUATION = 0x10, HEADERS_MAX = 4096 };

static uint64_t number(const uint8_t *at, size_t bytes) {
  uint64_t value = 0;
  while (bytes-- > 0) value = value << 8 | at[bytes];
  return value;
}

static void seal(uint8_t *from, size_t bytes) {
  uint32_t sum = H5_checksum_metadata(from, bytes, 0);
  for (int i = 0; i < 4; i++) from[bytes + (size_t)i] = (uint8_t)(sum >> 8 * i);
}

/* The block that a message of an object header goes on in. */
static void seal_continuation(uint8_t *file, size_t size, const uint8_t *body) {
  uint64_t at = number(body, 8), bytes = number(body + 8, 8);
  if (at < size && bytes >= 8 && bytes <= size - at && memcmp(file + at, "OCHK", 4) == 0)
    seal(file + at, bytes - 4);
}

/* An object header (version 2): signature, version, flags, times, limits, length of the messages, messages.
 */
static void seal_header(uint8_t *file, size_t size, size_t at) {
  if (size - at < 6) return;
  uint8_t flags = file[at + 5];
  size_t width = (size_t)1 << (flags & 3), order = flags & 4 ? 2 : 0;
  size_t begin = at + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
  if (begin + width > size) return;
  uint64_t bytes = number(file + begin, width);
  begin += width;
  if (bytes > size - begin || size - begin - bytes < 4) return;
  for (size_t m = begin; m + 4 + order + 16 <= begin + bytes;) {
    if (file[m] == CONTINUATION) seal_continuation(file, size, file + m + 4 + order);
    m += 4 + order + (size_t)number(file + m + 1, 2);
  }
  seal(file + at, begin + bytes - at);
}

static void seal_all(uint8_t *file, size_t size) {
  if (size >= SUPERBLOCK + 4) seal(file, SUPERBLOCK);
  for (size_t at = 0, found = 0; at + 4 <= size && found < HEADERS_MAX; at++)
    if (memcmp(file + at, "OHDR", 4) == 0) seal_header(file, size, at), found++;
}

static olica_status read_index(fuzz_box *box, size_t size) {
  olica_catalog *catalog;
  FUZZ_EXPECT(olica_catalog_create(box->context, &catalog) == OLICA_OK);
  olica_status status =
      olica_hdf5_index(catalog, box->path, OLICA_CHECKPOINT_FORMAT, OLICA_CHECKPOINT_SCHEMA);
  status = olica_catalog_share(catalog, status);
  if (status == OLICA_OK) fuzz_tensors(catalog, size);
  olica_catalog_destroy(catalog);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *file = malloc(size + 1);
  FUZZ_EXPECT(file);
  if (size > 0) memcpy(file, data, size);
  seal_all(file, size);
  fuzz_box *box = fuzz_open(file, size);
  olica_status status = read_index(box, size);
  if (status == OLICA_OK) {
    int64_t tensors, bytes;
    olica_source *source = NULL;
    status = olica_checkpoint_verify(box->context, box->path, &tensors, &bytes);
    if (status == OLICA_OK) status = olica_source_open(box->context, box->path, &source);
    olica_source_close(source);
  }
  fuzz_close(box, status);
  free(file);
  return 0;
}
