#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "hdf5_private.h"
#include "par/comm.h"
#include "par/watch.h"

enum {
  LINKS_MAX = 65535,         /* most links of a group: HDF5's own limit for a compact header */
  ROW_BYTES_MAX = 256 << 20, /* a rank's buffer must hold a row */
  ALIGN_FROM = 64 << 10,
  ALIGN_TO = 4 << 10,
  METADATA_BLOCK = 64 << 10,
  METADATA_CACHE = 32 << 20
};

olica_status olica_hdf5_failed(const olica_hdf5 *file, const char *verb, const char *what) {
  char reason[OLICA_HDF5_REASON], space[64] = "";
  olica_hdf5_reason(reason);
  struct statvfs fs;
  if (statvfs(file->path, &fs) == 0 && fs.f_bavail * fs.f_frsize < 1 << 20)
    snprintf(space, sizeof space, "; %llu bytes are free", (unsigned long long)(fs.f_bavail * fs.f_frsize));
  return olica_error_set(file->context->env, OLICA_ERR_IO, "%s: cannot %s %s: %s%s", file->path, verb, what,
                         reason, space);
}

olica_status olica_hdf5_agree(const olica_hdf5 *file, bool good, const char *verb, const char *what) {
  olica_status mine = good ? OLICA_OK : olica_hdf5_failed(file, verb, what);
  return olica_comm_agree(file->context, file->context->comm, mine);
}

/* Makes the metadata cache large enough that nothing is written before the disk blocks are reserved: if HDF5
 * writes metadata to a full disk, it fails inside its own collectives. */
static bool set_cache(hid_t access) {
  H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
  if (H5Pget_mdc_config(access, &cache) < 0) return false;
  cache.set_initial_size = true;
  cache.initial_size = cache.max_size = METADATA_CACHE;
  cache.dirty_bytes_threshold = METADATA_CACHE / 4;
  return H5Pset_mdc_config(access, &cache) >= 0;
}

/* The format of HDF5 1.8: its metadata has checksums, and no consistency flag blocks readers after a
 * crash. */
hid_t olica_hdf5_access(const olica_context *context, MPI_Info hints) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  bool good = access >= 0 && H5Pset_fapl_mpio(access, context->comm, hints) >= 0 &&
              H5Pset_coll_metadata_write(access, true) >= 0 &&
              H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
              H5Pset_alignment(access, ALIGN_FROM, ALIGN_TO) >= 0 &&
              H5Pset_meta_block_size(access, METADATA_BLOCK) >= 0 && set_cache(access);
  return good ? access : H5I_INVALID_HID;
}

/* Removes a stale semaphore. For a shared file pointer, which we do not use, OMPIO creates a semaphore of the
 * node, named after the last part of the file's name, and holds it while it opens the file. If a job was
 * killed at that moment, the semaphore stays taken, and every later job that writes a file of that name on
 * this node would block. A process that holds it legitimately is not affected by the removal of its name. */
static void forget_semaphore(const olica_context *context, const char *path) {
  char name[NAME_MAX + 1];
  const char *slash = strrchr(path, '/');
  snprintf(name, sizeof name, "/OMPIO_%s", slash ? slash + 1 : path);
  if (context->node_rank == 0) sem_unlink(name);
}

/* Is it `last`.data.N or `last`.metadata.N? */
static bool is_pointer(const char *name, const char *last) {
  size_t bytes = strlen(last);
  if (strncmp(name, last, bytes) != 0) return false;
  name += bytes;
  if (strncmp(name, ".data.", 6) != 0 && strncmp(name, ".metadata.", 10) != 0) return false;
  name = strrchr(name, '.') + 1;
  return *name && strspn(name, "0123456789") == strlen(name);
}

/* Removes stale files. Over several nodes OMPIO keeps shared file pointers, which we do not use, in files
 * beside ours, NAME.data.RANK and NAME.metadata.RANK, from the opening to the close; a job that is killed
 * leaves them. */
static olica_status forget_pointers(const olica_context *context, const char *path) {
  olica_env *env = context->env;
  const char *slash = strrchr(path, '/');
  char *directory, *stale;
  const struct dirent *entry;
  if (context->rank != 0) return OLICA_OK;
  OLICA_TRY(olica_file_resolve(env, path, ".", &directory));
  DIR *all = opendir(directory);
  while (all && (entry = readdir(all)))
    if (is_pointer(entry->d_name, slash ? slash + 1 : path) &&
        olica_file_resolve(env, path, entry->d_name, &stale) == OLICA_OK) {
      unlink(stale);
      olica_memory_free(env, stale);
    }
  if (all) closedir(all);
  olica_memory_free(env, directory);
  return OLICA_OK;
}

olica_status olica_hdf5_allocate(olica_context *context, const char *path, olica_hdf5 **out) {
  olica_env *env = context->env;
  olica_hdf5 *file;
  OLICA_TRY(OLICA_NEW(env, file, 1));
  file->context = context;
  forget_semaphore(context, path);
  OLICA_TRY(forget_pointers(context, path));
  if (!(file->path = olica_memory_string(env, path))) return env->error.code;
  OLICA_TRY(OLICA_NEW(env, file->share, (size_t)context->size));
  OLICA_TRY(OLICA_NEW(env, file->part, (size_t)context->size));
  *out = file;
  return OLICA_OK;
}

olica_status olica_hdf5_try_file(const olica_hdf5 *file, int flags) {
  int fd = open(file->path, O_RDWR | O_CLOEXEC | flags, 0666);
  if (fd >= 0 && close(fd) == 0) return OLICA_OK;
  return olica_error_set(file->context->env, OLICA_ERR_IO, "%s: rank %d on %s cannot open it: %s", file->path,
                         file->context->rank, file->context->host, strerror(errno));
}

static olica_status make_file(const olica_hdf5 *file) {
  bool root = file->context->rank == 0;
  OLICA_AGREE(file->context, root ? olica_hdf5_try_file(file, O_CREAT) : OLICA_OK);
  OLICA_AGREE(file->context, root ? OLICA_OK : olica_hdf5_try_file(file, 0));
  return OLICA_OK;
}

olica_status olica_hdf5_create(olica_context *context, const char *path, MPI_Info hints, olica_hdf5 **out) {
  olica_hdf5_start();
  olica_hdf5 *file = NULL;
  OLICA_AGREE(context, olica_hdf5_allocate(context, path, &file));
  assert(file);
  OLICA_TRY(make_file(file));
  hid_t access = olica_hdf5_access(context, hints), creation = H5Pcreate(H5P_FILE_CREATE);
  bool good = access >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0;
  OLICA_TRY(olica_hdf5_agree(file, good, "set up", "HDF5"));
  olica_watch_enter(context, "the creation of an HDF5 file");
  file->id = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
  olica_watch_leave(context);
  OLICA_TRY(olica_hdf5_agree(file, file->id >= 0, "create", "it"));
  H5Pclose(creation);
  H5Pclose(access);
  *out = file;
  return OLICA_OK;
}

static olica_status describe(const olica_hdf5 *file, const char *name, olica_element type, int dims,
                             const int64_t *shape, olica_hdf5_set *set) {
  olica_env *env = file->context->env;
  if (file->reserved || strlen(name) >= sizeof set->name || dims < 1 || dims > OLICA_TENSOR_DIMS)
    return olica_error_set(env, OLICA_ERR_INTERNAL,
                           "%s: dataset %s is declared too late, its name too long or "
                           "its dimensions too many",
                           file->path, name);
  *set = (olica_hdf5_set){.type = type, .dims = dims, .row = 1};
  snprintf(set->name, sizeof set->name, "%s", name);
  int64_t most = ROW_BYTES_MAX / (int64_t)olica_element_size(type);
  for (int i = 0; i < dims; i++) {
    bool as_is = file->reopened && dims == 1 && shape[i] == 0;
    if ((shape[i] < 1 && !as_is) || (i > 0 && shape[i] > most / set->row))
      return olica_error_set(env, OLICA_ERR_INTERNAL, "%s: dataset %s has no rows, or rows above %d bytes",
                             file->path, name, ROW_BYTES_MAX);
    set->shape[i] = shape[i];
    if (i > 0) set->row *= shape[i];
  }
  set->row_bytes = set->row * (int64_t)olica_element_size(type);
  return OLICA_OK;
}

/* Creates the groups of a dataset. HDF5 can create them automatically, but with a time stamp, and identical
 * checkpoints must be identical files. Links are stored compactly in the group header: HDF5 1.10.8 crashes on
 * a damaged group with dense storage, which it otherwise uses for more than eight links. */
static bool create_groups(const olica_hdf5 *file, const char *name) {
  char path[OLICA_TENSOR_NAME];
  for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
    snprintf(path, sizeof path, "%.*s", (int)(slash - name), name);
    htri_t there = H5Lexists(file->id, path, H5P_DEFAULT);
    if (there > 0) continue;
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    if (there < 0 || creation < 0 || H5Pset_obj_track_times(creation, false) < 0) return false;
    if (H5Pset_link_phase_change(creation, LINKS_MAX, 0) < 0) return false;
    hid_t group = H5Gcreate2(file->id, path, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (group < 0) return false;
    if (H5Gclose(group) < 0 || H5Pclose(creation) < 0) return false;
  }
  return true;
}

static bool create_dataset(const olica_hdf5 *file, olica_hdf5_set *set) {
  hsize_t extent[OLICA_TENSOR_DIMS];
  for (int i = 0; i < set->dims; i++) extent[i] = (hsize_t)set->shape[i];
  if (!create_groups(file, set->name)) return false;
  hid_t creation = H5Pcreate(H5P_DATASET_CREATE), type = olica_hdf5_datatype(set->type);
  hid_t space = H5Screate_simple(set->dims, extent, NULL);
  bool good = type >= 0 && space >= 0 && H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0 &&
              H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0 &&
              H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0 &&
              H5Pset_obj_track_times(creation, false) >= 0;
  if (good) set->id = H5Dcreate2(file->id, set->name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  if (!good || set->id < 0) return false; /* before the next call overwrites HDF5's error stack */
  H5Sclose(space);
  H5Tclose(type);
  H5Pclose(creation);
  return true;
}

/* Creates or overwrites a scalar attribute; memory and file have the same type. */
static bool put_attribute(hid_t object, const char *name, hid_t type, const void *value) {
  htri_t there = H5Aexists(object, name);
  if (there < 0) return false;
  hid_t attribute, space = H5Screate(H5S_SCALAR);
  if (there)
    attribute = H5Aopen(object, name, H5P_DEFAULT);
  else
    attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  if (attribute < 0 || H5Awrite(attribute, type, value) < 0) return false;
  return H5Aclose(attribute) >= 0 && H5Sclose(space) >= 0;
}

/* A string of fixed length: one of variable length would need a heap. */
static bool put_text(hid_t object, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1);
  if (type < 0 || H5Tset_size(type, strlen(text) + 1) < 0) return false;
  return put_attribute(object, name, type, text) && H5Tclose(type) >= 0;
}

olica_status olica_hdf5_attribute_text(olica_hdf5 *file, const char *name, const char *text) {
  return olica_hdf5_agree(file, put_text(file->id, name, text), "write attribute", name);
}

olica_status olica_hdf5_attribute_integer(olica_hdf5 *file, const char *name, int64_t value) {
  return olica_hdf5_agree(file, put_attribute(file->id, name, H5T_STD_I64LE, &value), "write attribute",
                          name);
}

/* Creates both attributes now: the file must not grow after its blocks are reserved. */
olica_status olica_hdf5_dataset(olica_hdf5 *file, const char *name, olica_element type, int dims,
                                const int64_t *shape, int *number) {
  olica_hdf5_set set = {0};
  OLICA_AGREE(file->context, describe(file, name, type, dims, shape, &set));
  OLICA_AGREE(file->context, OLICA_GROW(file->context->env, file->set, file->room, (size_t)file->count,
                                        (size_t)file->count + 1));
  bool good = file->reopened ? olica_hdf5_open_dataset(file, &set) : create_dataset(file, &set);
  OLICA_TRY(olica_hdf5_agree(file, good, file->reopened ? "reopen" : "create", name));
  good = file->reopened || (put_text(set.id, "dtype", olica_element_name(type)) &&
                            put_attribute(set.id, "crc32", H5T_STD_U32LE, &set.crc));
  OLICA_TRY(olica_hdf5_agree(file, good, "write attributes of", name));
  *number = file->count;
  file->set[file->count++] = set;
  return OLICA_OK;
}

/* If the file system cannot reserve blocks, checks its free space: metadata must not meet a full disk. */
static int look_for_blocks(const char *path, hsize_t bytes) {
  struct statvfs fs;
  if (statvfs(path, &fs) != 0 || fs.f_blocks == 0) return 0;
  return (hsize_t)fs.f_bavail * fs.f_frsize < bytes ? ENOSPC : 0;
}

/* Not posix_fallocate: if the file system cannot reserve, that writes into every block. */
static olica_status take_blocks(olica_hdf5 *file, hsize_t bytes) {
  int fd = open(file->path, O_WRONLY | O_CLOEXEC), error = fd < 0 ? errno : EINTR;
  while (error == EINTR) error = fallocate(fd, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
  if (fd >= 0) close(fd);
  file->has_blocks = error == 0;
  if (error == EOPNOTSUPP || error == ENOSYS) error = file->reopened ? 0 : look_for_blocks(file->path, bytes);
  if (!error) return OLICA_OK;
  return olica_error_set(file->context->env, OLICA_ERR_IO, "%s: cannot reserve %llu bytes: %s", file->path,
                         (unsigned long long)bytes, strerror(error));
}

/* Returns the bytes of a rank's part of a transfer, in the file's type. */
static int64_t scratch_bytes(int ranks, int64_t row_bytes) {
  return olica_hdf5_round_bytes(ranks) / ranks + row_bytes;
}

/* The list grows by doubling. */
int64_t olica_hdf5_writer_bytes(int ranks, int64_t row_bytes, int64_t datasets) {
  return scratch_bytes(ranks, row_bytes) + 2 * datasets * (int64_t)sizeof(olica_hdf5_set);
}

static olica_status make_scratch(olica_hdf5 *file) {
  int64_t row = 0;
  for (int i = 0; i < file->count; i++)
    if (file->set[i].row_bytes > row) row = file->set[i].row_bytes;
  size_t bytes = (size_t)scratch_bytes(file->context->size, row);
  file->scratch = olica_memory_get(file->context->env, "buffer of the HDF5 writer", bytes, 1);
  return file->scratch ? OLICA_OK : file->context->env->error.code;
}

/* HDF5's flush of a file opened through MPI-IO ends in MPI_File_sync, on every rank. */
static bool flush(const olica_hdf5 *file) {
  olica_watch_enter(file->context, "a flush of HDF5");
  bool good = H5Fflush(file->id, H5F_SCOPE_GLOBAL) >= 0;
  olica_watch_leave(file->context);
  return good;
}

olica_status olica_hdf5_flush(olica_hdf5 *file) {
  return olica_hdf5_agree(file, flush(file), "flush", "it");
}

olica_status olica_hdf5_reserve(olica_hdf5 *file) {
  if (file->reserved) return OLICA_OK;
  OLICA_AGREE(file->context, make_scratch(file));
  hsize_t end = 0;
  OLICA_TRY(olica_hdf5_agree(file, H5Fget_filesize(file->id, &end) >= 0, "measure", "it"));
  OLICA_AGREE(file->context, file->context->rank == 0 ? take_blocks(file, end) : OLICA_OK);
  file->reserved = true;
  return olica_hdf5_agree(file, flush(file), "write", "its structure");
}

static olica_status check_whole(const olica_hdf5 *file) {
  for (int i = 0; i < file->count; i++)
    if (file->set[i].next != file->set[i].shape[0])
      return olica_error_set(file->context->env, OLICA_ERR_INTERNAL,
                             "%s: %s has %lld rows written, expected %lld", file->path, file->set[i].name,
                             (long long)file->set[i].next, (long long)file->set[i].shape[0]);
  return OLICA_OK;
}

olica_status olica_hdf5_seal(olica_hdf5 *file) {
  OLICA_AGREE(file->context, check_whole(file));
  OLICA_TRY(olica_hdf5_reserve(file));
  bool good = true;
  for (int i = 0; i < file->count && good; i++)
    good = put_attribute(file->set[i].id, "crc32", H5T_STD_U32LE, &file->set[i].crc);
  OLICA_TRY(olica_hdf5_agree(file, good, "write", "checksums"));
  return olica_hdf5_flush(file);
}

static olica_status sync_file(const olica_hdf5 *file) {
  int fd = open(file->path, O_RDONLY | O_CLOEXEC);
  int error = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
  if (fd >= 0) close(fd);
  if (!error) return OLICA_OK;
  return olica_error_set(file->context->env, OLICA_ERR_IO, "%s: cannot sync it: %s", file->path,
                         strerror(error));
}

olica_status olica_hdf5_close(olica_hdf5 *file) {
  OLICA_TRY(olica_hdf5_flush(file));
  bool good = true;
  for (int i = 0; i < file->count && good; i++) good = H5Dclose(file->set[i].id) >= 0;
  OLICA_TRY(olica_hdf5_agree(file, good, "close", "its datasets"));
  olica_watch_enter(file->context, "the closing of an HDF5 file");
  good = H5Fclose(file->id) >= 0;
  olica_watch_leave(file->context);
  OLICA_TRY(olica_hdf5_agree(file, good, "close", "it"));
  OLICA_AGREE(file->context, file->context->rank == 0 ? sync_file(file) : OLICA_OK);
  olica_hdf5_abandon(file);
  return OLICA_OK;
}

void olica_hdf5_abandon(olica_hdf5 *file) {
  if (!file) return;
  olica_env *env = file->context->env;
  olica_memory_free(env, file->scratch);
  olica_memory_free(env, file->set);
  olica_memory_free(env, file->part);
  olica_memory_free(env, file->share);
  olica_memory_free(env, file->path);
  olica_memory_free(env, file);
}

double olica_hdf5_bytes_written(const olica_hdf5 *file) {
  return (double)file->share[file->context->rank];
}

void olica_hdf5_collective(const olica_hdf5 *file, long *asked, long *made) {
  *asked = file->asked;
  *made = file->made;
}
