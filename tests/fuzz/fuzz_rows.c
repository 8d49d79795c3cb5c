/* Any bytes as a text of every kind: the first byte chooses kind and length, the rest is the file. */
#include "fuzz_file.h"
#include "text/rows.h"

/* Every row lies in the file, behind the one before, and has a text. */
static void look_at(const olica_rows *rows, int64_t size) {
  int64_t end = 0;
  for (int64_t row = 0; row < rows->count; row++) {
    char *text;
    size_t bytes;
    FUZZ_EXPECT(rows->index.begin[row] >= end && rows->index.bytes[row] > 0);
    end = rows->index.begin[row] + rows->index.bytes[row];
    FUZZ_EXPECT(end <= size);
    FUZZ_EXPECT(olica_rows_text(rows, row, &text, &bytes) == OLICA_OK && !text[bytes]);
    olica_memory_free(rows->context->env, text);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  fuzz_box *box = fuzz_open(data + 1, size - 1);
  char field[] = "text";
  const olica_text_source source = {(olica_text_kind)(data[0] % 4), box->path, field, 1};
  olica_rows *rows;
  olica_status status = olica_rows_open(box->context, &source, 1 + data[0] / 4, &rows);
  if (status == OLICA_OK) {
    if (source.kind != OLICA_TEXT_NPY) look_at(rows, (int64_t)size - 1);
    olica_rows_close(rows);
  }
  fuzz_close(box, status);
  return 0;
}
