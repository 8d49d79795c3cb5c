#include "olica/store/restart.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "olica/io/file.h"
#include "olica/io/json.h"
#include "olica/par/comm.h"
#include "olica/par/watch.h"

enum { BLOCK = 4096, TEXT_BYTES_MAX = 64 << 20, NAME_ROOM = 8 };

/* The first block of a file, written last. */
typedef struct header {
  char magic[16];
  int64_t sequence, text_offset, text_bytes;
  uint32_t text_crc, crc; /* the last one of all before it */
} header;

static const char magic[16] = "olica restart 1";

static uint32_t checksum(const void *data, int64_t bytes) {
  return (uint32_t)crc32_z(0, data, (size_t)bytes);
}

static int64_t aligned(int64_t bytes) {
  return (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

/* Of a file with these sections, but for the table. */
static int64_t file_bytes(int count, const olica_restart_section *sections) {
  int64_t bytes = BLOCK;
  for (int i = 0; i < count; i++) bytes += aligned(sections[i].bytes);
  return bytes;
}

/* "NAME.1"; of the size that create made room for. */
static void slot_path(const olica_restart *restart, int slot, char *path) {
  snprintf(path, strlen(restart->name) + NAME_ROOM, "%s.%d", restart->name, slot);
}

static olica_status make_path(const olica_restart *restart, int slot, char **path) {
  olica_env *env = restart->context->env;
  *path = olica_memory_get(env, "file name", strlen(restart->name) + NAME_ROOM, 1);
  if (!*path) return env->error.code;
  slot_path(restart, slot, *path);
  return OLICA_OK;
}

/* ---- looking at what is there: rank 0 ---- */

static bool is_header(const header *head, int64_t bytes) {
  return memcmp(head->magic, magic, sizeof magic) == 0 &&
         head->crc == checksum(head, offsetof(header, crc)) && head->sequence > 0 && head->text_bytes > 0 &&
         head->text_bytes <= TEXT_BYTES_MAX && head->text_offset >= BLOCK &&
         head->text_offset <= bytes - head->text_bytes;
}

/* The table of a file as text (counted), NULL where it is not whole: whatever the reason, it does not count.
 */
static char *read_text(olica_env *env, const char *path, header *head) {
  int fd;
  int64_t bytes;
  char *text = NULL;
  if (olica_file_open(env, path, &fd, &bytes) != OLICA_OK) return NULL;
  bool good = bytes >= BLOCK && olica_file_read(env, fd, path, 0, head, sizeof *head) == OLICA_OK &&
              is_header(head, bytes) &&
              (text = olica_memory_get(env, path, (size_t)head->text_bytes + 1, 1)) != NULL &&
              olica_file_read(env, fd, path, head->text_offset, text, (size_t)head->text_bytes) == OLICA_OK &&
              checksum(text, head->text_bytes) == head->text_crc;
  close(fd);
  if (good) return text;
  olica_memory_free(env, text);
  return NULL;
}

static olica_status look(olica_restart *restart, bool *exists) {
  olica_env *env = restart->context->env;
  char *path;
  OLICA_TRY(make_path(restart, 0, &path));
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) {
    header head = {0};
    slot_path(restart, i, path);
    if (access(path, F_OK) == 0) *exists = true;
    char *text = read_text(env, path, &head);
    restart->slot[i].whole = text != NULL;
    restart->slot[i].sequence = text ? head.sequence : 0;
    olica_memory_free(env, text);
  }
  olica_error_clear(env);
  olica_memory_free(env, path);
  return OLICA_OK;
}

olica_status olica_restart_open(olica_context *context, const char *name, int keep, olica_restart **out,
                                bool *exists) {
  olica_restart *restart = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, restart, 1));
  assert(restart && keep >= 2 && keep <= OLICA_RESTART_KEEP_MAX);
  restart->context = context;
  restart->keep = keep;
  restart->found = -1;
  restart->name = olica_memory_string(context->env, name);
  OLICA_AGREE(context, restart->name ? OLICA_OK : context->env->error.code);
  *exists = false;
  OLICA_AGREE(context, context->rank == 0 ? look(restart, exists) : OLICA_OK);
  olica_comm_bcast(context, context->comm, restart->slot, sizeof restart->slot, 0);
  olica_comm_bcast(context, context->comm, exists, sizeof *exists, 0);
  *out = restart;
  return OLICA_OK;
}

void olica_restart_close(olica_restart *restart) {
  if (!restart) return;
  olica_env *env = restart->context->env;
  json_decref(restart->sections);
  olica_memory_free(env, restart->name);
  olica_memory_free(env, restart);
}

static int newest(const olica_restart *restart) {
  int best = -1;
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++)
    if (restart->slot[i].whole && (best < 0 || restart->slot[i].sequence > restart->slot[best].sequence))
      best = i;
  return best;
}

void olica_restart_remove(olica_restart *restart) {
  char *path = NULL;
  bool root = restart->context->rank == 0;
  if (root && make_path(restart, 0, &path) != OLICA_OK) return;
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) {
    restart->slot[i].whole = false;
    if (!root) continue;
    slot_path(restart, i, path);
    unlink(path);
  }
  olica_memory_free(restart->context->env, path);
}

/* ---- finding and loading ---- */

/* Rank 0's text of a slot on every rank; *bytes 0: it is not whole (any more). */
static olica_status share_text(olica_restart *restart, int slot, char **text, int64_t *bytes) {
  olica_context *context = restart->context;
  header head = {0};
  char *path;
  *text = NULL;
  OLICA_AGREE(context, make_path(restart, slot, &path));
  if (context->rank == 0) *text = read_text(context->env, path, &head);
  olica_error_clear(context->env);
  *bytes = *text ? head.text_bytes : 0;
  olica_comm_bcast(context, context->comm, bytes, sizeof *bytes, 0);
  OLICA_AGREE(context, *text || *bytes == 0 ? OLICA_OK : OLICA_NEW(context->env, *text, (size_t)*bytes + 1));
  if (*bytes > 0) olica_comm_bcast(context, context->comm, *text, (size_t)*bytes, 0);
  olica_memory_free(context->env, path);
  return OLICA_OK;
}

olica_status olica_restart_find(olica_restart *restart, json_t **state) {
  olica_env *env = restart->context->env;
  *state = NULL;
  while ((restart->found = newest(restart)) >= 0) {
    char *text;
    int64_t bytes;
    json_t *root = NULL;
    OLICA_TRY(share_text(restart, restart->found, &text, &bytes));
    if (bytes > 0) olica_json_parse(env, restart->name, text, (size_t)bytes, &root);
    olica_error_clear(env);
    olica_memory_free(env, text);
    json_decref(restart->sections);
    restart->sections = json_incref(json_object_get(root, "sections"));
    *state = json_incref(json_object_get(root, "state"));
    json_decref(root);
    if (restart->sections && *state) return OLICA_OK;
    olica_restart_skip(restart);
  }
  return OLICA_OK;
}

void olica_restart_skip(olica_restart *restart) {
  restart->slot[restart->found].whole = false;
}

/* Where a section lies in the file that was found, and its checksum; false: it is not there in this size. */
static bool place_of(const olica_restart *restart, const olica_restart_section *section, int64_t *offset,
                     uint64_t *sum) {
  const json_t *entry = json_object_get(restart->sections, section->name);
  const json_t *at = json_object_get(entry, "offset"), *size = json_object_get(entry, "bytes"),
               *check = json_object_get(entry, "checksum");
  *offset = json_integer_value(at);
  *sum = (uint64_t)json_integer_value(check);
  return json_is_integer(at) && *offset >= BLOCK && json_is_integer(size) && json_is_integer(check) &&
         json_integer_value(size) == section->bytes;
}

/* A piece's part of its section's checksum: where it lies counts too. */
static uint64_t piece_checksum(const olica_restart_piece *piece) {
  uLong crc = crc32_z(0, (const Bytef *)&piece->offset, sizeof piece->offset);
  return (uint64_t)crc32_z(crc, piece->data, (size_t)piece->bytes);
}

static bool is_mine(const olica_restart *restart, const olica_restart_section *section) {
  return !section->shared || restart->context->rank == 0;
}

/* This rank's pieces; sums[i] their checksums. */
static olica_status read_pieces(const olica_restart *restart, int count,
                                const olica_restart_section *sections, uint64_t *sums) {
  olica_env *env = restart->context->env;
  char *path;
  int fd;
  int64_t size, offset;
  uint64_t expected;
  OLICA_TRY(make_path(restart, restart->found, &path));
  OLICA_TRY(olica_file_open(env, path, &fd, &size));
  olica_status status = OLICA_OK;
  for (int i = 0; i < count && status == OLICA_OK; i++) {
    const olica_restart_section *section = &sections[i];
    if (!is_mine(restart, section)) continue;
    place_of(restart, section, &offset, &expected);
    for (int64_t p = 0; p < section->count && status == OLICA_OK; p++) {
      const olica_restart_piece *piece = &section->piece[p];
      status = olica_file_read(env, fd, path, offset + piece->offset, piece->data, (size_t)piece->bytes);
      sums[i] += piece_checksum(piece);
    }
  }
  close(fd);
  olica_memory_free(env, path);
  return status;
}

static void add_up(const olica_restart *restart, int count, uint64_t *sums) {
  olica_watch_enter(restart->context, "a sum of checksums");
  MPI_Allreduce(MPI_IN_PLACE, sums, count, MPI_UINT64_T, MPI_SUM, restart->context->comm);
  olica_watch_leave(restart->context);
}

static bool all_there(const olica_restart *restart, int count, const olica_restart_section *sections) {
  int64_t offset;
  uint64_t sum;
  for (int i = 0; i < count; i++)
    if (!place_of(restart, &sections[i], &offset, &sum)) return false;
  return true;
}

static bool all_sound(const olica_restart *restart, int count, const olica_restart_section *sections,
                      const uint64_t *sums) {
  int64_t offset;
  uint64_t sum;
  for (int i = 0; i < count; i++) {
    place_of(restart, &sections[i], &offset, &sum);
    if (sum != sums[i]) return false;
  }
  return true;
}

static void clear_pieces(int count, const olica_restart_section *sections) {
  for (int i = 0; i < count; i++)
    for (int64_t p = 0; p < sections[i].count; p++)
      memset(sections[i].piece[p].data, 0, (size_t)sections[i].piece[p].bytes);
}

olica_status olica_restart_load(olica_restart *restart, int count, const olica_restart_section *sections,
                                bool *good) {
  olica_context *context = restart->context;
  uint64_t *sums;
  assert(restart->found >= 0);
  OLICA_AGREE(context, OLICA_NEW(context->env, sums, (size_t)count));
  *good = all_there(restart, count, sections);
  if (*good) {
    olica_status status =
        olica_comm_agree(context, context->comm, read_pieces(restart, count, sections, sums));
    if (status != OLICA_OK && status != OLICA_ERR_INPUT) return status;
    add_up(restart, count, sums);
    *good = status == OLICA_OK && all_sound(restart, count, sections, sums);
    olica_error_clear(context->env);
  }
  if (!*good) clear_pieces(count, sections);
  for (int i = 0; i < count && *good; i++)
    if (sections[i].shared && sections[i].count > 0)
      olica_comm_bcast(context, context->comm, sections[i].piece->data, (size_t)sections[i].bytes, 0);
  olica_memory_free(context->env, sums);
  return OLICA_OK;
}

/* ---- saving ---- */

/* A free place, else the oldest. */
static int oldest(const olica_restart *restart) {
  int best = 0;
  for (int i = 0; i < restart->keep; i++) {
    if (!restart->slot[i].whole) return i;
    if (restart->slot[i].sequence < restart->slot[best].sequence) best = i;
  }
  return best;
}

/* Rank 0: the file is there, says that it is not whole, and has its blocks. */
static olica_status begin_file(olica_env *env, const char *path, int64_t bytes) {
  static const char nothing[BLOCK];
  int fd;
  bool is_new = access(path, F_OK) != 0;
  OLICA_TRY(olica_file_edit(env, path, &fd));
  olica_status status = olica_file_write(env, fd, path, 0, nothing, sizeof nothing);
  if (status == OLICA_OK) status = olica_file_reserve(env, fd, path, bytes);
  close(fd);
  return status == OLICA_OK && is_new ? olica_file_sync_name(env, path) : status;
}

static olica_status write_pieces(const olica_restart *restart, const char *path, int count,
                                 const olica_restart_section *sections, uint64_t *sums) {
  olica_env *env = restart->context->env;
  int fd;
  int64_t offset = BLOCK;
  OLICA_TRY(olica_file_edit(env, path, &fd));
  olica_status status = OLICA_OK;
  for (int i = 0; i < count && status == OLICA_OK; i++) {
    const olica_restart_section *section = &sections[i];
    for (int64_t p = 0; is_mine(restart, section) && p < section->count && status == OLICA_OK; p++) {
      const olica_restart_piece *piece = &section->piece[p];
      status = olica_file_write(env, fd, path, offset + piece->offset, piece->data, (size_t)piece->bytes);
      sums[i] += piece_checksum(piece);
    }
    offset += aligned(section->bytes);
  }
  if (status == OLICA_OK) status = olica_file_sync(env, fd, path);
  close(fd);
  return status;
}

/* The table of sections and the state, as text to be freed. */
static char *make_text(json_t *state, int count, const olica_restart_section *sections,
                       const uint64_t *sums) {
  json_t *table = json_object();
  int64_t offset = BLOCK;
  for (int i = 0; i < count; i++) {
    json_object_set_new(table, sections[i].name,
                        json_pack("{s:I, s:I, s:I}", "offset", (json_int_t)offset, "bytes",
                                  (json_int_t)sections[i].bytes, "checksum", (json_int_t)sums[i]));
    offset += aligned(sections[i].bytes);
  }
  json_t *root = json_pack("{s:o, s:O}", "sections", table, "state", state);
  char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
  json_decref(root);
  return text;
}

/* Rank 0, once the pieces are safe: the table, and the first block. Its checksum guards the table. */
static olica_status end_file(olica_env *env, const char *path, int64_t offset, int64_t sequence,
                             const char *text) {
  int fd;
  char block[BLOCK] = {0};
  header head = {.sequence = sequence, .text_offset = offset, .text_bytes = (int64_t)strlen(text)};
  memcpy(head.magic, magic, sizeof magic);
  head.text_crc = checksum(text, head.text_bytes);
  head.crc = checksum(&head, offsetof(header, crc));
  memcpy(block, &head, sizeof head);
  OLICA_TRY(olica_file_edit(env, path, &fd));
  olica_status status = olica_file_write(env, fd, path, offset, text, (size_t)head.text_bytes);
  if (status == OLICA_OK) status = olica_file_write(env, fd, path, 0, block, sizeof block);
  if (status == OLICA_OK) status = olica_file_sync(env, fd, path);
  close(fd);
  return status;
}

static olica_status commit(olica_restart *restart, const char *path, int64_t sequence, json_t *state,
                           int count, const olica_restart_section *sections, const uint64_t *sums) {
  olica_env *env = restart->context->env;
  char *text = make_text(state, count, sections, sums);
  if (!text) return olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for its table", path);
  olica_status status = strlen(text) > TEXT_BYTES_MAX
                            ? olica_error_set(env, OLICA_ERR_INTERNAL, "%s: its table is too long", path)
                            : end_file(env, path, file_bytes(count, sections), sequence, text);
  free(text);
  return status;
}

static olica_status save(olica_restart *restart, const char *path, int64_t sequence, json_t *state, int count,
                         const olica_restart_section *sections, uint64_t *sums) {
  olica_context *context = restart->context;
  bool root = context->rank == 0;
  int64_t bytes = file_bytes(count, sections);
  OLICA_AGREE(context, root ? begin_file(context->env, path, bytes) : OLICA_OK);
  OLICA_AGREE(context, write_pieces(restart, path, count, sections, sums));
  add_up(restart, count, sums);
  OLICA_AGREE(context, root ? commit(restart, path, sequence, state, count, sections, sums) : OLICA_OK);
  return OLICA_OK;
}

olica_status olica_restart_save(olica_restart *restart, json_t *state, int count,
                                const olica_restart_section *sections) {
  olica_context *context = restart->context;
  olica_env *env = context->env;
  int slot = oldest(restart), last = newest(restart);
  int64_t sequence = 1 + (last < 0 ? 0 : restart->slot[last].sequence);
  char *path = NULL;
  uint64_t *sums = NULL;
  olica_status status = make_path(restart, slot, &path);
  if (status == OLICA_OK) status = OLICA_NEW(env, sums, (size_t)count);
  OLICA_AGREE(context, status);
  restart->slot[slot].whole = false;
  status = save(restart, path, sequence, state, count, sections, sums);
  if (status != OLICA_OK && context->rank == 0) unlink(path);
  restart->slot[slot].whole = status == OLICA_OK;
  restart->slot[slot].sequence = sequence;
  olica_memory_free(env, sums);
  olica_memory_free(env, path);
  return status;
}
