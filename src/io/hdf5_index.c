#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hdf5_private.h"
#include "io/file.h"

/* Our files nest four levels deep and have some thousand datasets; a hostile one may link to itself. */
enum { DEPTH_MAX = 8, LINKS_MAX = 1 << 18, TEXT_MAX = 64, DIMS_MAX = 4 };

typedef struct walk {
  olica_catalog *catalog;
  olica_env *env;
  const char *path;
  int64_t bytes; /* of the file */
  int file;      /* number in the catalog */
  int depth;
  long links;
  char name[OLICA_TENSOR_NAME]; /* path of the current object; a group's path ends with a slash */
} walk;

static const char *hand(const walk *its) {
  return its->name[0] ? its->name : "the root";
}

/* Refuses the current object. */
static olica_status refuse(const walk *its, const char *found, const char *expected) {
  return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: %s %s, expected %s", its->path, hand(its), found,
                         expected);
}

/* Reports that HDF5 cannot read the current object. */
static olica_status damaged(const walk *its) {
  char reason[OLICA_HDF5_REASON];
  olica_hdf5_reason(reason);
  return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: %s cannot be read: %s", its->path, hand(its),
                         reason);
}

/* Opens a scalar attribute of the object; `found` returns whether it exists with the right class and size. */
static olica_status open_attribute(const walk *its, hid_t object, const char *name, H5T_class_t class,
                                   hid_t *attribute, hid_t *type) {
  *attribute = *type = H5I_INVALID_HID;
  htri_t there = H5Aexists(object, name);
  if (there < 0) return damaged(its);
  if (!there) return OLICA_OK;
  *attribute = H5Aopen(object, name, H5P_DEFAULT);
  hid_t space = H5Aget_space(*attribute);
  *type = H5Aget_type(*attribute);
  hssize_t elements = H5Sget_simple_extent_npoints(space);
  H5Sclose(space);
  if (*attribute < 0 || *type < 0) return damaged(its);
  if (elements == 1 && H5Tget_class(*type) == class && H5Tget_size(*type) <= TEXT_MAX) return OLICA_OK;
  char text[128];
  snprintf(text, sizeof text, "has an attribute %s of another kind", name);
  return refuse(its, text, class == H5T_STRING ? "a short string" : "an integer");
}

static void close_attribute(hid_t attribute, hid_t type) {
  if (type >= 0) H5Tclose(type);
  if (attribute >= 0) H5Aclose(attribute);
}

/* Reads a string attribute into value: "" if it does not exist. Only fixed length: HDF5 1.10 crashes on a
 * damaged heap of strings, which has no checksum. */
static olica_status read_text(const walk *its, hid_t object, const char *name, char value[TEXT_MAX + 1]) {
  hid_t attribute, type;
  char text[128];
  memset(value, 0, TEXT_MAX + 1);
  olica_status status = open_attribute(its, object, name, H5T_STRING, &attribute, &type);
  snprintf(text, sizeof text, "has an attribute %s of variable length", name);
  if (status == OLICA_OK && attribute >= 0) {
    if (H5Tis_variable_str(type) != 0)
      status = refuse(its, text, "a string of fixed length");
    else if (H5Aread(attribute, type, value) < 0) /* at most TEXT_MAX bytes: open_attribute has checked it */
      status = damaged(its);
  }
  close_attribute(attribute, type);
  return status;
}

static olica_status read_integer(const walk *its, hid_t object, const char *name, bool *there,
                                 int64_t *value) {
  hid_t attribute, type;
  *there = false;
  olica_status status = open_attribute(its, object, name, H5T_INTEGER, &attribute, &type);
  if (status == OLICA_OK && attribute >= 0) {
    *there = H5Aread(attribute, H5T_NATIVE_INT64, value) >= 0;
    if (!*there) status = damaged(its);
  }
  close_attribute(attribute, type);
  return status;
}

/* Returns our type of a dataset from its attribute `dtype`, checked against the type in the file. */
static olica_status read_type(const walk *its, hid_t dataset, olica_element *type) {
  char name[TEXT_MAX + 1], text[TEXT_MAX + 80];
  OLICA_TRY(read_text(its, dataset, "dtype", name));
  int found = 0;
  while (found < OLICA_ELEMENTS && strcmp(name, olica_element_name((olica_element)found)) != 0) found++;
  if (found == OLICA_ELEMENTS) {
    snprintf(text, sizeof text, "has the attribute dtype = \"%.64s\"", name);
    return refuse(its, text, "fp32, fp16, bf16, int32, uint8 or fp64");
  }
  hid_t ours = olica_hdf5_datatype((olica_element)found), its_own = H5Dget_type(dataset);
  htri_t same = its_own >= 0 ? H5Tequal(ours, its_own) : -1;
  H5Tclose(ours);
  if (its_own >= 0) H5Tclose(its_own);
  if (same < 0) return damaged(its);
  *type = (olica_element)found;
  if (same) return OLICA_OK;
  snprintf(text, sizeof text, "has the attribute dtype = \"%s\" and numbers of another type", name);
  return refuse(its, text, "them to agree");
}

static olica_status read_shape(const walk *its, hid_t dataset, olica_element type, olica_tensor *tensor) {
  hid_t space = H5Dget_space(dataset);
  if (space < 0) return damaged(its);
  hsize_t shape[OLICA_TENSOR_DIMS] = {0};
  int dims = H5Sget_simple_extent_type(space) == H5S_SIMPLE ? H5Sget_simple_extent_ndims(space) : 0;
  if (dims >= 1 && dims <= DIMS_MAX) H5Sget_simple_extent_dims(space, shape, NULL);
  H5Sclose(space);
  if (dims < 1 || dims > DIMS_MAX) return refuse(its, "has no dimension, or too many", "1 to 4");
  tensor->dims = dims;
  tensor->bytes = (int64_t)olica_element_size(type);
  for (int i = 0; i < dims; i++) {
    if (shape[i] < 1 || shape[i] > (hsize_t)(its->bytes / tensor->bytes))
      return refuse(its, "has an empty dimension, or more elements than the file has bytes",
                    "a whole dataset");
    tensor->shape[i] = (int64_t)shape[i];
    tensor->bytes *= tensor->shape[i];
  }
  return OLICA_OK;
}

static olica_status read_place(const walk *its, hid_t dataset, olica_tensor *tensor) {
  hid_t creation = H5Dget_create_plist(dataset);
  if (creation < 0) return damaged(its);
  bool contiguous = H5Pget_layout(creation) == H5D_CONTIGUOUS, outside = H5Pget_external_count(creation) != 0;
  bool filtered = H5Pget_nfilters(creation) != 0;
  H5Pclose(creation);
  if (!contiguous || filtered)
    return refuse(its, "is chunked, compact, virtual or filtered", "a contiguous dataset");
  if (outside) return refuse(its, "lies in an external file", "the numbers in this one");
  haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF || offset > (haddr_t)its->bytes || tensor->bytes > its->bytes - (int64_t)offset)
    return refuse(its, "lies outside of the file", "a file that is whole");
  tensor->offset = (int64_t)offset;
  return OLICA_OK;
}

static olica_status read_dataset(const walk *its, hid_t dataset) {
  olica_tensor tensor = {.file = its->file};
  olica_element type = OLICA_ELEMENT_BYTES;
  int64_t crc = 0;
  memcpy(tensor.name, its->name, sizeof tensor.name);
  OLICA_TRY(read_type(its, dataset, &type));
  OLICA_TRY(read_shape(its, dataset, type, &tensor));
  OLICA_TRY(read_place(its, dataset, &tensor));
  OLICA_TRY(read_integer(its, dataset, "crc32", &tensor.has_crc, &crc));
  if (crc < 0 || crc > UINT32_MAX) return refuse(its, "has a crc32 out of range", "32 bits");
  tensor.crc = (uint32_t)crc;
  tensor.dtype = type <= OLICA_ELEMENT_BF16 ? (olica_dtype)type : OLICA_DTYPES;
  snprintf(tensor.stored, sizeof tensor.stored, "%s", olica_element_name(type));
  return olica_catalog_add(its->catalog, &tensor);
}

static olica_status walk_group(walk *its, hid_t group);

static olica_status walk_object(walk *its, hid_t group, const char *link) {
  hid_t object = H5Oopen(group, link, H5P_DEFAULT);
  if (object < 0) return damaged(its);
  H5I_type_t kind = H5Iget_type(object);
  olica_status status;
  if (kind == H5I_DATASET)
    status = read_dataset(its, object);
  else if (kind == H5I_GROUP)
    status = walk_group(its, object);
  else
    status = refuse(its, "is neither group nor dataset", "one of them");
  H5Oclose(object);
  return status;
}

/* Appends the link's name to the path while the object is visited. */
static olica_status walk_link(walk *its, hid_t group, const char *link, const H5L_info_t *info) {
  size_t before = strlen(its->name), length = strlen(link);
  if (length == 0 || length >= sizeof its->name - before - 1)
    return refuse(its, "has a member with an empty or very long name", "names of ours");
  memcpy(its->name + before, link, length + 1);
  olica_status status;
  if (info->type != H5L_TYPE_HARD)
    status = refuse(its, "is a soft or external link", "a dataset of this file");
  else if (its->links++ >= LINKS_MAX)
    status = refuse(its, "is one of too many members", "a checkpoint");
  else
    status = walk_object(its, group, link);
  if (status == OLICA_OK) its->name[before] = '\0';
  return status;
}

/* Called by H5Literate; a return value other than 0 ends the iteration. */
static herr_t visit(hid_t group, const char *link, const H5L_info_t *info, void *its) {
  return (herr_t)walk_link(its, group, link, info);
}

static olica_status walk_group(walk *its, hid_t group) {
  if (its->depth == DEPTH_MAX) return refuse(its, "lies too deep", "at most 8 groups in each other");
  H5G_info_t info;
  if (H5Gget_info(group, &info) < 0) return damaged(its);
  if (info.storage_type == H5G_STORAGE_TYPE_DENSE) /* see create_groups in hdf5.c */
    return refuse(its, "is a group with its links in a heap", "them in its header");
  size_t before = strlen(its->name);
  if (before > 0) memcpy(its->name + before, "/", 2); /* walk_link keeps space for it */
  its->depth++;
  olica_error_clear(its->env);
  herr_t result = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, its);
  its->depth--;
  if (result == 0) its->name[before] = '\0';
  if (result < 0) return damaged(its);
  return (olica_status)result;
}

/* Checks the root attributes: the format, the schema, and that the file is complete. */
static olica_status check_root(walk *its, hid_t root, const char *format, int64_t schema) {
  char found[TEXT_MAX + 1], text[TEXT_MAX + 64];
  bool has_schema, has_complete;
  int64_t its_schema = 0, complete = 0;
  OLICA_TRY(read_text(its, root, "format", found));
  if (strcmp(found, format) != 0)
    return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: is an HDF5 file of format \"%s\", expected \"%s\"",
                           its->path, found, format);
  OLICA_TRY(read_integer(its, root, "schema", &has_schema, &its_schema));
  snprintf(text, sizeof text, "%lld", (long long)its_schema);
  if (!has_schema || its_schema != schema)
    return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: has schema %s, expected %lld", its->path,
                           has_schema ? text : "unknown", (long long)schema);
  OLICA_TRY(read_integer(its, root, "complete", &has_complete, &complete));
  if (has_complete && complete == 1) return OLICA_OK;
  return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: is not complete: its job did not finish writing it",
                         its->path);
}

static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

/* Checks the signature and superblock version. Before version 2 the metadata has no checksums, and HDF5 1.10
 * crashes on inconsistent data. */
static olica_status check_signature(walk *its) {
  unsigned char found[sizeof signature + 1] = {0};
  int fd;
  OLICA_TRY(olica_file_open(its->env, its->path, &fd, &its->bytes));
  size_t bytes = its->bytes < (int64_t)sizeof found ? (size_t)its->bytes : sizeof found;
  olica_status status = olica_file_read(its->env, fd, its->path, 0, found, bytes);
  close(fd);
  OLICA_TRY(status);
  if (memcmp(found, signature, sizeof signature) != 0)
    return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: is not an HDF5 file", its->path);
  if (found[sizeof signature] >= 2) return OLICA_OK;
  return olica_error_set(its->env, OLICA_ERR_INPUT,
                         "%s: is in HDF5's oldest file format, expected that of HDF5 1.8 or later (h5py: "
                         "libver = 'v108')",
                         its->path);
}

static int by_offset(const void *a, const void *b) {
  const olica_tensor *one = a, *other = b;
  return (one->offset > other->offset) - (one->offset < other->offset);
}

/* Refuses overlapping datasets: a small file must not appear as a large model through several names for one
 * dataset, and of two that share bytes one must be wrong. */
static olica_status check_overlap(const walk *its, int first) {
  olica_tensor *tensor = its->catalog->tensor + first;
  int count = its->catalog->count - first;
  if (count > 0) qsort(tensor, (size_t)count, sizeof *tensor, by_offset);
  for (int i = 1; i < count; i++)
    if (tensor[i].offset - tensor[i - 1].offset < tensor[i - 1].bytes)
      return olica_error_set(its->env, OLICA_ERR_INPUT,
                             "%s: %s and %s overlap, expected each in its own bytes", its->path,
                             tensor[i - 1].name, tensor[i].name);
  return OLICA_OK;
}

static olica_status index_file(walk *its, const char *format, int64_t schema) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(access, false,
                      true); /* the file is not being written, and some file systems have no locks */
  hid_t file = H5Fopen(its->path, H5F_ACC_RDONLY, access);
  if (file < 0) {
    char reason[OLICA_HDF5_REASON];
    olica_hdf5_reason(reason);
    H5Pclose(access);
    return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: HDF5 cannot open it: %s", its->path, reason);
  }
  H5Pclose(access);
  hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
  olica_status status = root < 0 ? damaged(its) : check_root(its, root, format, schema);
  int first = its->catalog->count;
  if (status == OLICA_OK) status = walk_group(its, root);
  if (status == OLICA_OK) status = check_overlap(its, first);
  if (root >= 0) H5Gclose(root);
  H5Fclose(file);
  return status;
}

olica_status olica_hdf5_index(olica_catalog *catalog, const char *path, const char *format, int64_t schema) {
  olica_hdf5_start();
  walk its = {.catalog = catalog, .env = catalog->context->env, .path = path};
  OLICA_TRY(check_signature(&its));
  OLICA_TRY(olica_catalog_add_file(catalog, path, &its.file));
  return index_file(&its, format, schema);
}

/* HDF5 refuses truncated files, and 1.10 may crash on damaged ones, so this reads the bytes directly. In our
 * files the root's header comes first, and in it the attribute `format`: its name, 12 bytes of type (a fixed
 * string) and space (a scalar), its value. */
bool olica_hdf5_begins_as(const char *path, const char *format) {
  enum { HEAD = 512, BETWEEN = 12 };
  unsigned char head[HEAD];
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ssize_t bytes = fd >= 0 ? pread(fd, head, HEAD, 0) : -1;
  if (fd >= 0) close(fd);
  if (bytes < (ssize_t)sizeof signature || memcmp(head, signature, sizeof signature) != 0) return false;
  const unsigned char *end = head + bytes, *name = memmem(head, (size_t)bytes, "format", sizeof "format");
  size_t length = strlen(format);
  return name && (size_t)(end - name) >= sizeof "format" + BETWEEN + length &&
         memcmp(name + sizeof "format" + BETWEEN, format, length) == 0;
}
