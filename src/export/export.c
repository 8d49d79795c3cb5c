/* The frame of all kinds: opens the checkpoint, has a kind plan its output, writes and publishes it. */
#include "export/export.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "export/kinds.h"
#include "io/file.h"
#include "io/json.h"
#include "io/lock.h"
#include "origin.h"
#include "par/comm.h"
#include "part.h"
#include "replace.h"
#include "store/checkpoint.h"
#include "write.h"

/* Chooses the type of the numbers: the one asked for, or that of the checkpoint. */
static olica_status choose_type(olica_export *e) {
  int asked = e->options->type;
  e->type = asked ? (olica_export_type)(asked - 1) : (olica_export_type)e->source->dtype;
  if (e->kind->types >> e->type & 1) return OLICA_OK;
  char known[80] = "";
  for (int t = 0; t < OLICA_EXPORT_TYPES; t++)
    if (e->kind->types >> t & 1) {
      strncat(known, *known ? ", " : "", sizeof known - strlen(known) - 1);
      strncat(known, olica_export_type_name((olica_export_type)t), sizeof known - strlen(known) - 1);
    }
  return olica_export_refuse(e, "[output] export_dtype = %s, expected one of %s in this form",
                             olica_export_type_name(e->type), known);
}

static olica_status plan(olica_export *e) {
  OLICA_TRY(choose_type(e));
  OLICA_TRY(e->kind->plan(e));
  return olica_export_place(e);
}

/* Rank 0: the list of all files with their sizes and checksums, last: a directory without it is not whole. */
static olica_status save_list(olica_export *e) {
  if (!e->kind->directory) return OLICA_OK;
  json_t *files = json_copy(e->beside);
  for (int f = 0; f < e->files; f++)
    json_object_set_new(files, e->file[f].name,
                        json_pack("{s:I, s:I}", "bytes",
                                  (json_int_t)e->file[f].head_bytes + (json_int_t)e->file[f].data, "crc32",
                                  (json_int_t)e->file[f].crc));
  json_t *list = json_pack("{s:s, s:s, s:s, s:o}", "program", "olica_mpi", "kind", e->kind->name, "dtype",
                           olica_export_type_name(e->type), "files", files);
  olica_status status = olica_export_save_json(e, OLICA_EXPORT_LIST, list, true);
  json_decref(list);
  return status;
}

/* Rank 0: what stands beside the tensors, then the name. A single file gets its head now: without it no tool
 * takes it for one of its own. */
static olica_status complete(olica_export *e) {
  if (!e->kind->directory) OLICA_TRY(olica_export_write_head(e, &e->file[0]));
  if (e->kind->beside) OLICA_TRY(e->kind->beside(e));
  OLICA_TRY(save_list(e));
  return olica_export_part_publish(e);
}

static void tell(olica_export *e) {
  double bytes = 0;
  for (int f = 0; f < e->files; f++) bytes += (double)e->file[f].head_bytes + (double)e->file[f].data;
  for (int i = 0; i < e->notes; i++) olica_log_line(e->env, "export %s: %s", e->kind->name, e->note[i]);
  if (e->small > 0 && e->context->rank == 0)
    olica_log_warn(e->env, "export %s:%s: %.0f of %.0f numbers are too small for %s and become 0",
                   e->kind->name, e->path, e->small, e->numbers, olica_export_type_name(e->type));
  olica_log_line(e->env, "export %s: %s, %.0f numbers, %.1f MB in %d file%s of tensors, %s", e->kind->name,
                 e->path, e->numbers, bytes / 1e6, e->files, olica_log_plural(e->files),
                 olica_export_type_name(e->type));
}

static olica_status write_output(olica_export *e) {
  bool root = e->context->rank == 0;
  OLICA_AGREE(e->context, root ? olica_export_part_begin(e) : OLICA_OK);
  olica_status status = olica_export_write(e);
  if (status == OLICA_OK)
    status = olica_comm_agree(e->context, e->context->comm, root ? complete(e) : OLICA_OK);
  if (status != OLICA_OK && root) olica_export_part_remove(e);
  return status;
}

/* Writes one output; `common` has what all share. */
static olica_status run_one(const olica_export *common, const olica_export_target *target) {
  olica_export e = *common;
  int lock = -1;
  bool root = e.context->rank == 0;
  e.kind = olica_export_kind_at(target->kind);
  e.path = target->path;
  snprintf(e.part, sizeof e.part, "%s.part", target->path);
  e.beside = json_object();
  OLICA_AGREE(e.context, plan(&e));
  if (e.source->arch.text_of)
    olica_export_note(&e, "This is the text model of a %s alone: its other parts are not here.",
                      e.source->arch.text_of);
  OLICA_AGREE(e.context, root ? olica_lock_take(e.env, e.path, &lock) : OLICA_OK);
  const olica_export_list alone = {.count = 1, .target = {*target}};
  olica_status status = root ? olica_export_recover(&e) : OLICA_OK;
  if (root && status == OLICA_OK) status = olica_export_probe(e.env, "export", &alone, e.options->overwrite);
  status = olica_comm_agree(e.context, e.context->comm, status);
  if (status == OLICA_OK) status = write_output(&e);
  if (root) olica_lock_release(e.env, e.path, lock);
  if (status == OLICA_OK) tell(&e);
  olica_export_forget(&e);
  return status;
}

static olica_status run_all(olica_export *common, const olica_export_list *list) {
  OLICA_TRY(olica_origin_open(common));
  for (int i = 0; i < list->count; i++) OLICA_TRY(run_one(common, &list->target[i]));
  olica_origin_close(common);
  return OLICA_OK;
}

olica_status olica_export_run(olica_context *context, const char *checkpoint, const olica_export_list *list,
                              const olica_export_options *options, bool verify) {
  olica_export common = {
      .context = context, .env = context->env, .options = options, .checkpoint = checkpoint};
  struct stat info;
  bool root = context->rank == 0;
  OLICA_AGREE(context,
              root ? olica_export_probe(context->env, "export", list, options->overwrite) : OLICA_OK);
  bool directory = root && stat(checkpoint, &info) == 0 && S_ISDIR(info.st_mode);
  olica_comm_bcast(context, context->comm, &directory, sizeof directory, 0);
  if (verify && !directory)
    OLICA_TRY(olica_checkpoint_verify(context, checkpoint, &(int64_t){0}, &(int64_t){0}));
  OLICA_TRY(olica_source_open(context, checkpoint, &common.source));
  OLICA_TRY(run_all(&common, list));
  olica_source_close(common.source);
  return OLICA_OK;
}
