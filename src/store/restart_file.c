#include "restart_file.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"

enum { BLOCK = OLICA_RESTART_BLOCK, TEXT_BYTES_MAX = 64 << 20 };

typedef struct header {
  char magic[16];
  int64_t sequence, text_offset, text_bytes;
  uint32_t text_crc, crc; /* crc: of all members before it */
} header;

/* The last character is the form of what the program writes: raised when an older program's sections or state
 * cannot be read any more. */
static const char magic[16] = "olica restart 2";
enum { FORM_AT = sizeof magic - 2 };

static uint32_t checksum(const void *data, int64_t bytes) {
  return (uint32_t)crc32_z(0, data, (size_t)bytes);
}

int64_t olica_restart_file_aligned(int64_t bytes) {
  return (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

static olica_status check_header(olica_env *env, const char *path, const header *head, int64_t bytes) {
  static const header nothing;
  if (memcmp(head, &nothing, sizeof nothing) == 0)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: was not written to its end", path);
  if (memcmp(head->magic, magic, FORM_AT) != 0 || head->crc != checksum(head, offsetof(header, crc)))
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: its first block is damaged, or no restart file's",
                           path);
  if (memcmp(head->magic, magic, sizeof magic) != 0)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s: is a restart file of form %c, of another version of the program, expected "
                           "form %c",
                           path, head->magic[FORM_AT], magic[FORM_AT]);
  if (head->sequence <= 0 || head->text_bytes <= 0 || head->text_bytes > TEXT_BYTES_MAX ||
      head->text_offset < BLOCK || head->text_offset > bytes - head->text_bytes)
    return olica_error_set(env, OLICA_ERR_INPUT,
                           "%s: holds %lld bytes, expected a table of %lld at byte %lld", path,
                           (long long)bytes, (long long)head->text_bytes, (long long)head->text_offset);
  return OLICA_OK;
}

static olica_status read_open(olica_env *env, int fd, const char *path, int64_t bytes, header *head,
                              char **text) {
  if (bytes < BLOCK)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: holds %lld bytes, expected at least %d", path,
                           (long long)bytes, BLOCK);
  OLICA_TRY(olica_file_read(env, fd, path, 0, head, sizeof *head));
  OLICA_TRY(check_header(env, path, head, bytes));
  *text = olica_memory_get(env, path, (size_t)head->text_bytes + 1, 1);
  if (!*text) return env->error.code;
  OLICA_TRY(olica_file_read(env, fd, path, head->text_offset, *text, (size_t)head->text_bytes));
  uint32_t sum = checksum(*text, head->text_bytes);
  if (sum == head->text_crc) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: its table has checksum %08x, expected %08x", path, sum,
                         head->text_crc);
}

olica_status olica_restart_file_read(olica_env *env, const char *path, int64_t *sequence, char **text,
                                     int64_t *text_bytes) {
  int fd;
  int64_t bytes;
  header head = {0};
  *text = NULL;
  OLICA_TRY(olica_file_open(env, path, &fd, &bytes));
  olica_status status = read_open(env, fd, path, bytes, &head, text);
  close(fd);
  if (status != OLICA_OK) OLICA_FREE(env, *text);
  *sequence = head.sequence;
  *text_bytes = head.text_bytes;
  return status;
}

olica_status olica_restart_file_begin(olica_env *env, const char *path, int64_t bytes) {
  static const char nothing[BLOCK];
  int fd;
  bool is_new = access(path, F_OK) != 0;
  OLICA_TRY(olica_file_edit(env, path, &fd));
  olica_status status = olica_file_write(env, fd, path, 0, nothing, sizeof nothing);
  if (status == OLICA_OK) status = olica_file_reserve(env, fd, path, bytes);
  close(fd);
  return status == OLICA_OK && is_new ? olica_file_sync_name(env, path) : status;
}

/* Fills the first block; its checksums guard the table and the block. */
static void make_header(char *block, int64_t offset, int64_t sequence, const char *text) {
  header head = {.sequence = sequence, .text_offset = offset, .text_bytes = (int64_t)strlen(text)};
  memcpy(head.magic, magic, sizeof magic);
  head.text_crc = checksum(text, head.text_bytes);
  head.crc = checksum(&head, offsetof(header, crc));
  memcpy(block, &head, sizeof head);
}

olica_status olica_restart_file_end(olica_env *env, const char *path, int64_t offset, int64_t sequence,
                                    const char *text) {
  int fd;
  char block[BLOCK] = {0};
  if (strlen(text) > TEXT_BYTES_MAX)
    return olica_error_set(env, OLICA_ERR_INTERNAL, "%s: its table is too long", path);
  make_header(block, offset, sequence, text);
  OLICA_TRY(olica_file_edit(env, path, &fd));
  olica_status status = olica_file_write(env, fd, path, offset, text, strlen(text));
  if (status == OLICA_OK) status = olica_file_write(env, fd, path, 0, block, sizeof block);
  if (status == OLICA_OK) status = olica_file_sync(env, fd, path);
  close(fd);
  return status;
}
