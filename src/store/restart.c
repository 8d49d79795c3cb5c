#include "store/restart.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"
#include "io/json.h"
#include "par/comm.h"
#include "par/watch.h"
#include "restart_file.h"

enum { NAME_ROOM = 8 };

/* Returns the bytes of a file with these sections, without the table. */
static int64_t file_bytes(int count, const olica_restart_section *sections) {
  int64_t bytes = OLICA_RESTART_BLOCK;
  for (int i = 0; i < count; i++) bytes += olica_restart_file_aligned(sections[i].bytes);
  return bytes;
}

/* Writes "NAME.1" into a path that make_path has allocated. */
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

/* Excludes a file; rank 0 warns. `why` is a sentence that begins with the file's name. Called by all ranks.
 */
static void reject(olica_restart *restart, int slot, const char *why) {
  restart->slot[slot].whole = false;
  if (restart->context->rank == 0)
    olica_log_warn(restart->context->env, "[restart] a restart file is not used: %s", why);
}

/* ---- listing the files: rank 0 ---- */

static olica_status look_at(olica_restart *restart, int slot, const char *path) {
  olica_env *env = restart->context->env;
  int64_t sequence, bytes;
  char *text;
  olica_status status = olica_restart_file_read(env, path, &sequence, &text, &bytes);
  if (status == OLICA_ERR_INPUT) {
    reject(restart, slot, env->error.text);
    olica_error_clear(env);
    return OLICA_OK;
  }
  OLICA_TRY(status);
  restart->slot[slot].whole = true;
  restart->slot[slot].sequence = sequence;
  olica_memory_free(env, text);
  return OLICA_OK;
}

static olica_status look(olica_restart *restart) {
  char *path;
  OLICA_TRY(make_path(restart, 0, &path));
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) {
    slot_path(restart, i, path);
    if (restart->slot[i].there) OLICA_TRY(look_at(restart, i, path));
  }
  olica_memory_free(restart->context->env, path);
  return OLICA_OK;
}

/* A file counts as existing unless its name is unused or impossible; if access() fails for another reason,
 * reading the file reports it. */
static olica_status list(olica_restart *restart) {
  char *path;
  OLICA_TRY(make_path(restart, 0, &path));
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) {
    slot_path(restart, i, path);
    restart->slot[i].there =
        access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG);
  }
  olica_memory_free(restart->context->env, path);
  return OLICA_OK;
}

static void share_slots(olica_restart *restart) {
  olica_comm_bcast(restart->context, restart->context->comm, restart->slot, sizeof restart->slot, 0);
}

olica_status olica_restart_open(olica_context *context, const char *name, int keep, olica_restart **out) {
  olica_restart *restart = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, restart, 1));
  assert(restart && keep >= 2 && keep <= OLICA_RESTART_KEEP_MAX);
  restart->context = context;
  restart->keep = keep;
  restart->found = -1;
  restart->name = olica_memory_string(context->env, name);
  OLICA_AGREE(context, restart->name ? OLICA_OK : context->env->error.code);
  OLICA_AGREE(context, context->rank == 0 ? list(restart) : OLICA_OK);
  share_slots(restart);
  *out = restart;
  return OLICA_OK;
}

bool olica_restart_exists(const olica_restart *restart) {
  bool exists = false;
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) exists = exists || restart->slot[i].there;
  return exists;
}

olica_status olica_restart_look(olica_restart *restart) {
  olica_context *context = restart->context;
  OLICA_AGREE(context, context->rank == 0 ? look(restart) : OLICA_OK);
  share_slots(restart);
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
    bool there = restart->slot[i].there;
    restart->slot[i].whole = restart->slot[i].there = false;
    if (!root || !there) continue;
    slot_path(restart, i, path);
    if (unlink(path) != 0 && errno != ENOENT)
      olica_log_warn(restart->context->env, "[restart] %s cannot be removed: %s", path, strerror(errno));
  }
  olica_memory_free(restart->context->env, path);
}

/* ---- finding and loading ---- */

/* Copies the table of a slot from rank 0 to every rank, as a counted string; OLICA_ERR_INPUT: the file is not
 * complete (any more). */
static olica_status share_text(olica_restart *restart, int slot, char **text, int64_t *bytes) {
  olica_context *context = restart->context;
  int64_t sequence;
  char *path;
  olica_status status = OLICA_OK;
  *text = NULL;
  OLICA_AGREE(context, make_path(restart, slot, &path));
  if (context->rank == 0) status = olica_restart_file_read(context->env, path, &sequence, text, bytes);
  olica_memory_free(context->env, path);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, bytes, sizeof *bytes, 0);
  OLICA_AGREE(context, *text ? OLICA_OK : OLICA_NEW(context->env, *text, (size_t)*bytes + 1));
  olica_comm_bcast(context, context->comm, *text, (size_t)*bytes, 0);
  return OLICA_OK;
}

static olica_status parse(olica_restart *restart, const char *text, int64_t bytes, json_t **state) {
  olica_env *env = restart->context->env;
  json_t *root;
  OLICA_TRY(olica_json_parse(env, restart->name, text, (size_t)bytes, &root));
  json_decref(restart->sections);
  restart->sections = json_incref(json_object_get(root, "sections"));
  *state = json_incref(json_object_get(root, "state"));
  json_decref(root);
  if (json_is_object(restart->sections) && json_is_object(*state)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT, "%s.%d: its table has no sections, or no state", restart->name,
                         restart->found);
}

static olica_status read_state(olica_restart *restart, json_t **state) {
  olica_context *context = restart->context;
  char *text;
  int64_t bytes;
  OLICA_TRY(share_text(restart, restart->found, &text, &bytes));
  olica_status status = olica_comm_agree(context, context->comm, parse(restart, text, bytes, state));
  olica_memory_free(context->env, text);
  if (status == OLICA_OK) return OLICA_OK;
  json_decref(*state);
  *state = NULL;
  return status;
}

olica_status olica_restart_find(olica_restart *restart, json_t **state) {
  *state = NULL;
  while ((restart->found = newest(restart)) >= 0) {
    olica_status status = read_state(restart, state);
    if (status != OLICA_ERR_INPUT) return status;
    reject(restart, restart->found, restart->context->env->error.text);
    olica_error_clear(restart->context->env);
  }
  return OLICA_OK;
}

void olica_restart_skip(olica_restart *restart, const char *why) {
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s.%d: %s", restart->name, restart->found, why);
  reject(restart, restart->found, text);
}

/* Gives offset and checksum of a section of the file that was found; false: it has none of this size. */
static bool place_of(const olica_restart *restart, const olica_restart_section *section, int64_t *offset,
                     uint64_t *sum) {
  const json_t *entry = json_object_get(restart->sections, section->name);
  const json_t *at = json_object_get(entry, "offset"), *size = json_object_get(entry, "bytes"),
               *check = json_object_get(entry, "checksum");
  *offset = json_integer_value(at);
  *sum = (uint64_t)json_integer_value(check);
  return json_is_integer(at) && *offset >= OLICA_RESTART_BLOCK && json_is_integer(size) &&
         json_is_integer(check) && json_integer_value(size) == section->bytes;
}

/* Returns a piece's part of its section's checksum, which covers its offset too. */
static uint64_t piece_checksum(const olica_restart_piece *piece) {
  uLong crc = crc32_z(0, (const Bytef *)&piece->offset, sizeof piece->offset);
  return (uint64_t)crc32_z(crc, piece->data, (size_t)piece->bytes);
}

int64_t olica_restart_bytes(const olica_restart *restart, const char *section) {
  const json_t *entry = json_object_get(restart->sections, section);
  return entry ? json_integer_value(json_object_get(entry, "bytes")) : -1;
}

static bool is_mine(const olica_restart *restart, const olica_restart_section *section) {
  return !section->shared || restart->context->rank == 0;
}

/* Reads this rank's pieces; sums[i] adds up their checksums. */
static olica_status read_pieces(const olica_restart *restart, int count,
                                const olica_restart_section *sections, uint64_t *sums) {
  olica_env *env = restart->context->env;
  char *path;
  int fd;
  int64_t size, offset;
  uint64_t expected;
  OLICA_TRY(make_path(restart, restart->found, &path));
  olica_status status = olica_file_open(env, path, &fd, &size);
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
  if (fd >= 0) close(fd);
  olica_memory_free(env, path);
  return status;
}

static void add_up(const olica_restart *restart, int count, uint64_t *sums) {
  olica_watch_enter(restart->context, "a sum of checksums");
  MPI_Allreduce(MPI_IN_PLACE, sums, count, MPI_UINT64_T, MPI_SUM, restart->context->comm);
  olica_watch_leave(restart->context);
}

static olica_status check_sections(const olica_restart *restart, int count,
                                   const olica_restart_section *sections) {
  int64_t offset;
  uint64_t sum;
  for (int i = 0; i < count; i++)
    if (!place_of(restart, &sections[i], &offset, &sum))
      return olica_error_set(restart->context->env, OLICA_ERR_INPUT,
                             "%s.%d: its table has no section %s of %lld bytes", restart->name,
                             restart->found, sections[i].name, (long long)sections[i].bytes);
  return OLICA_OK;
}

static olica_status check_sums(const olica_restart *restart, int count, const olica_restart_section *sections,
                               const uint64_t *sums) {
  int64_t offset;
  uint64_t sum;
  for (int i = 0; i < count; i++) {
    place_of(restart, &sections[i], &offset, &sum);
    if (sum != sums[i])
      return olica_error_set(restart->context->env, OLICA_ERR_INPUT,
                             "%s.%d: its section %s has checksum %llx, expected %llx", restart->name,
                             restart->found, sections[i].name, (unsigned long long)sums[i],
                             (unsigned long long)sum);
  }
  return OLICA_OK;
}

/* Returns OLICA_ERR_INPUT if a section is missing or damaged. */
static olica_status load_pieces(const olica_restart *restart, int count,
                                const olica_restart_section *sections, uint64_t *sums) {
  OLICA_TRY(check_sections(restart, count, sections));
  OLICA_AGREE(restart->context, read_pieces(restart, count, sections, sums));
  add_up(restart, count, sums);
  return check_sums(restart, count, sections, sums);
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
  olica_status status = load_pieces(restart, count, sections, sums);
  olica_memory_free(context->env, sums);
  if (status != OLICA_OK && status != OLICA_ERR_INPUT) return status;
  *good = status == OLICA_OK;
  if (!*good) {
    reject(restart, restart->found, context->env->error.text);
    olica_error_clear(context->env);
    clear_pieces(count, sections);
  }
  for (int i = 0; i < count && *good; i++)
    if (sections[i].shared && sections[i].count > 0)
      olica_comm_bcast(context, context->comm, sections[i].piece->data, (size_t)sections[i].bytes, 0);
  return OLICA_OK;
}

/* ---- saving ---- */

/* Returns a free slot, or that of the oldest file. */
static int oldest(const olica_restart *restart) {
  int best = 0;
  for (int i = 0; i < restart->keep; i++) {
    if (!restart->slot[i].whole) return i;
    if (restart->slot[i].sequence < restart->slot[best].sequence) best = i;
  }
  return best;
}

static olica_status write_pieces(const olica_restart *restart, const char *path, int count,
                                 const olica_restart_section *sections, uint64_t *sums) {
  olica_env *env = restart->context->env;
  int fd;
  int64_t offset = OLICA_RESTART_BLOCK;
  OLICA_TRY(olica_file_edit(env, path, &fd));
  olica_status status = OLICA_OK;
  for (int i = 0; i < count && status == OLICA_OK; i++) {
    const olica_restart_section *section = &sections[i];
    for (int64_t p = 0; is_mine(restart, section) && p < section->count && status == OLICA_OK; p++) {
      const olica_restart_piece *piece = &section->piece[p];
      status = olica_file_write(env, fd, path, offset + piece->offset, piece->data, (size_t)piece->bytes);
      sums[i] += piece_checksum(piece);
    }
    offset += olica_restart_file_aligned(section->bytes);
  }
  if (status == OLICA_OK) status = olica_file_sync(env, fd, path);
  close(fd);
  return status;
}

/* Returns the table of sections and the state as text, to be freed. */
static char *make_text(json_t *state, int count, const olica_restart_section *sections,
                       const uint64_t *sums) {
  json_t *table = json_object();
  int64_t offset = OLICA_RESTART_BLOCK;
  for (int i = 0; i < count; i++) {
    json_object_set_new(table, sections[i].name,
                        json_pack("{s:I, s:I, s:I}", "offset", (json_int_t)offset, "bytes",
                                  (json_int_t)sections[i].bytes, "checksum", (json_int_t)sums[i]));
    offset += olica_restart_file_aligned(sections[i].bytes);
  }
  json_t *root = json_pack("{s:o, s:O}", "sections", table, "state", state);
  char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
  json_decref(root);
  return text;
}

static olica_status commit(olica_restart *restart, const char *path, int64_t sequence, json_t *state,
                           int count, const olica_restart_section *sections, const uint64_t *sums) {
  olica_env *env = restart->context->env;
  char *text = make_text(state, count, sections, sums);
  if (!text) return olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for its table", path);
  olica_status status = olica_restart_file_end(env, path, file_bytes(count, sections), sequence, text);
  free(text);
  return status;
}

static olica_status save(olica_restart *restart, const char *path, int64_t sequence, json_t *state, int count,
                         const olica_restart_section *sections, uint64_t *sums) {
  olica_context *context = restart->context;
  bool root = context->rank == 0;
  int64_t bytes = file_bytes(count, sections);
  OLICA_AGREE(context, root ? olica_restart_file_begin(context->env, path, bytes) : OLICA_OK);
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
  restart->slot[slot].whole = restart->slot[slot].there = status == OLICA_OK;
  restart->slot[slot].sequence = sequence;
  olica_memory_free(env, sums);
  olica_memory_free(env, path);
  return status;
}
