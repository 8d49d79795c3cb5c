/* Resumes a file whose writing was interrupted. */
#include <assert.h>
#include <fcntl.h>
#include <zlib.h>

#include "hdf5_private.h"
#include "par/comm.h"
#include "par/watch.h"

olica_status olica_hdf5_reopen(olica_context *context, const char *path, MPI_Info hints, olica_hdf5 **out) {
  olica_hdf5_start();
  olica_hdf5 *file = NULL;
  OLICA_AGREE(context, olica_hdf5_allocate(context, path, &file));
  assert(file);
  file->reopened = true;
  OLICA_AGREE(context,
              olica_hdf5_try_file(file, O_NOFOLLOW)); /* refuse a link: it would be published as one */
  hid_t access = olica_hdf5_access(context, hints);
  OLICA_TRY(olica_hdf5_agree(file, access >= 0, "set up", "HDF5"));
  olica_watch_enter(context, "the opening of an HDF5 file");
  file->id = H5Fopen(path, H5F_ACC_RDWR, access);
  olica_watch_leave(context);
  OLICA_TRY(olica_hdf5_agree(file, file->id >= 0, "reopen", "it"));
  H5Pclose(access);
  *out = file;
  return OLICA_OK;
}

bool olica_hdf5_open_dataset(const olica_hdf5 *file, olica_hdf5_set *set) {
  hsize_t extent[H5S_MAX_RANK] = {0};
  set->id = H5Dopen2(file->id, set->name, H5P_DEFAULT);
  if (set->id < 0) return false;
  hid_t space = H5Dget_space(set->id), type = H5Dget_type(set->id), wanted = olica_hdf5_datatype(set->type);
  bool same =
      space >= 0 && H5Sget_simple_extent_dims(space, extent, NULL) == set->dims && H5Tequal(type, wanted) > 0;
  if (same && set->shape[0] == 0) set->shape[0] = (int64_t)extent[0];
  for (int i = 0; same && i < set->dims; i++) same = extent[i] == (hsize_t)set->shape[i];
  if (!same) return false;
  H5Sclose(space);
  H5Tclose(type);
  H5Tclose(wanted);
  return true;
}

void olica_hdf5_measure(const olica_hdf5 *file, olica_hdf5_progress *progress) {
  for (int i = 0; i < file->count; i++)
    progress[i] = (olica_hdf5_progress){file->set[i].next, file->set[i].crc};
}

void olica_hdf5_resume(olica_hdf5 *file, const olica_hdf5_progress *progress) {
  for (int i = 0; i < file->count; i++) {
    file->set[i].next = progress[i].rows;
    file->set[i].crc = (uint32_t)progress[i].crc;
  }
}

static olica_status check(const olica_hdf5 *file, const olica_hdf5_set *set) {
  olica_env *env = file->context->env;
  char *data;
  hid_t type = olica_hdf5_datatype(set->type);
  OLICA_TRY(OLICA_NEW(env, data, (size_t)(set->shape[0] * set->row_bytes)));
  if (H5Dread(set->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
    return olica_hdf5_failed(file, "read", set->name);
  H5Tclose(type);
  uLong crc = crc32_z(0, (const Bytef *)data, (size_t)(set->next * set->row_bytes));
  olica_memory_free(env, data);
  if ((uint32_t)crc == set->crc) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO, "%s: %s has checksum %08lx, expected %08x", file->path, set->name,
                         crc, set->crc);
}

olica_status olica_hdf5_check(const olica_hdf5 *file, int dataset) {
  OLICA_AGREE(file->context, file->context->rank == 0 ? check(file, &file->set[dataset]) : OLICA_OK);
  return OLICA_OK;
}
