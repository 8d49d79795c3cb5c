/* Parallel HDF5 as a format of the writer: an item is a dataset; the root has the attributes `format`,
 * `schema`, and `complete`, which seal sets to 1. */
#include "format.h"
#include "io/hdf5.h"

static olica_status create(olica_context *context, const char *part, const olica_writer_options *options,
                           void **file) {
  olica_hdf5 *made = NULL;
  olica_status status = olica_hdf5_create(context, part, options->hints, &made);
  *file = made;
  OLICA_TRY(status);
  OLICA_TRY(olica_hdf5_attribute_text(made, "format", options->contents));
  OLICA_TRY(olica_hdf5_attribute_integer(made, "schema", options->schema));
  return olica_hdf5_attribute_integer(made, "complete", 0);
}

static olica_status reopen(olica_context *context, const char *part, const olica_writer_options *options,
                           void **file) {
  olica_hdf5 *opened = NULL;
  olica_status status = olica_hdf5_reopen(context, part, options->hints, &opened);
  *file = opened;
  return status;
}

static olica_status declare(void *file, const olica_writer_item *item, int *number) {
  return olica_hdf5_dataset(file, item->name, item->type, item->dims, item->shape, number);
}

static olica_status begin(void *file) {
  return olica_hdf5_reserve(file);
}

static olica_status write_rows(void *file, int number, int64_t first, int64_t count, const void *rows) {
  return olica_hdf5_write(file, number, first, count, rows);
}

static olica_status flush(void *file, void *progress) {
  OLICA_TRY(olica_hdf5_flush(file));
  olica_hdf5_measure(file, progress);
  return OLICA_OK;
}

static olica_status resume(void *file, const void *progress, int mark) {
  olica_hdf5_resume(file, progress);
  return mark < 0 ? OLICA_OK : olica_hdf5_check(file, mark);
}

static olica_status seal(void *file) {
  OLICA_TRY(olica_hdf5_seal(file));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "complete", 1));
  return olica_hdf5_close(file);
}

static void leave(void *file) {
  olica_hdf5_abandon(file);
}

static double written(const void *file) {
  return olica_hdf5_bytes_written(file);
}

const olica_format_ops olica_format_hdf5 = {
    .name = "hdf5",
    .create = create,
    .declare = declare,
    .begin = begin,
    .write = write_rows,
    .seal = seal,
    .leave = leave,
    .written = written,
    .memory = olica_hdf5_writer_bytes,
    .check_name = olica_hdf5_check_name,
    .reopen = reopen,
    .flush = flush,
    .resume = resume,
    .item_progress = sizeof(olica_hdf5_progress),
};
