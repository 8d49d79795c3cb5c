#include "restart_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"
#include "par/comm.h"
#include "store/checkpoint.h"

static const char *last_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Rank 0 computes the checksum of the checkpoint's canonical path. */
static olica_status mark_place(olica_env *env, const char *checkpoint, uint32_t *mark) {
  char *directory, whole[PATH_MAX];
  OLICA_TRY(olica_file_resolve(env, checkpoint, ".", &directory));
  const char *found = realpath(directory, whole);
  int error = errno;
  if (!found && error == ENOENT && snprintf(whole, sizeof whole, "%s", directory) < (int)sizeof whole)
    found = whole;
  olica_memory_free(env, directory);
  if (!found)
    return olica_error_set(env, OLICA_ERR_IO, "%s: cannot find its directory: %s", checkpoint,
                           strerror(error));
  uLong crc = crc32_z(0, (const Bytef *)whole, strlen(whole));
  *mark = (uint32_t)crc32_z(crc, (const Bytef *)last_of(checkpoint), strlen(last_of(checkpoint)));
  return OLICA_OK;
}

/* "pruned.h5.restart" beside the checkpoint. In the directory of [restart] path, which many jobs with
 * checkpoints of the same name may use, "pruned.h5.1a2b3c4d.restart". */
olica_status olica_restart_files_name(olica_context *context, const olica_options *options, char **name) {
  const char *checkpoint = options->output.checkpoint, *directory = options->restart.path;
  uint32_t mark = 0;
  size_t bytes = strlen(directory) + strlen(checkpoint) + sizeof "/.12345678.restart";
  OLICA_AGREE(context, OLICA_NEW(context->env, *name, bytes));
  if (!*directory) {
    snprintf(*name, bytes, "%s.restart", checkpoint);
    return OLICA_OK;
  }
  OLICA_AGREE(context, context->rank == 0 ? mark_place(context->env, checkpoint, &mark) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &mark, sizeof mark, 0);
  snprintf(*name, bytes, "%s/%s.%08x.restart", directory, last_of(checkpoint), mark);
  return OLICA_OK;
}

/* Rank 0 returns whether [restart] path has restart files of another checkpoint of this name, which may be
 * this one, moved. */
static bool has_others(const olica_options *options) {
  const char *last = last_of(options->output.checkpoint);
  bool found = false;
  DIR *directory = opendir(options->restart.path);
  const struct dirent *entry;
  while (directory && !found && (entry = readdir(directory))) {
    unsigned mark;
    int slot;
    found = strncmp(entry->d_name, last, strlen(last)) == 0 &&
            sscanf(entry->d_name + strlen(last), ".%8x.restart.%d", &mark, &slot) == 2;
  }
  if (directory) closedir(directory);
  return found;
}

/* Returns the bytes on the disk of the .part file that an earlier run has left. */
static double checkpoint_blocks(const char *path) {
  char part[PATH_MAX];
  struct stat info;
  if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part || stat(part, &info) != 0) return 0;
  return 512.0 * (double)info.st_blocks;
}

/* Checks that files can be created in a directory. */
static olica_status touch_directory(olica_env *env, const char *directory) {
  char *path;
  size_t bytes = strlen(directory) + 48;
  OLICA_TRY(OLICA_NEW(env, path, bytes));
  snprintf(path, bytes, "%s/olica-probe.%ld", directory, (long)getpid());
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error = errno;
  if (fd >= 0) {
    close(fd);
    unlink(path);
  }
  olica_memory_free(env, path);
  if (fd >= 0 || error == EEXIST) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO, "[restart] path: %s: cannot create files in it: %s", directory,
                         strerror(error));
}

static olica_status probe_directory(olica_env *env, const char *directory, bool touch) {
  struct stat info;
  if (stat(directory, &info) != 0)
    return olica_error_set(env, OLICA_ERR_IO, "[restart] path: %s: %s, expected a directory", directory,
                           strerror(errno));
  if (!S_ISDIR(info.st_mode))
    return olica_error_set(env, OLICA_ERR_IO, "[restart] path: %s: is no directory, expected one", directory);
  return touch ? touch_directory(env, directory) : OLICA_OK;
}

/* The probe of the checkpoint has checked its own directory. */
olica_status olica_restart_files_probe(const olica_setup *setup, bool touch) {
  olica_context *context = setup->context;
  const char *directory = setup->options->restart.path;
  bool asks =
      context->rank == 0 && *directory && olica_setup_prunes(setup) && olica_options_restarts(setup->options);
  OLICA_AGREE(context, asks ? probe_directory(context->env, directory, touch) : OLICA_OK);
  return OLICA_OK;
}

/* Rank 0: *fits: the disk has space for all restart files, and for the checkpoint if it lies in the same
 * directory; files that they replace are counted as free. */
static olica_status look_for_room(const olica_setup *setup, const char *name, double bytes, double checkpoint,
                                  bool *fits) {
  olica_env *env = setup->context->env;
  char *path, *directory;
  size_t room = strlen(name) + 8;
  struct statvfs fs;
  struct stat info;
  double needed = bytes * (double)setup->options->restart.keep, own = 0;
  OLICA_TRY(OLICA_NEW(env, path, room));
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) {
    snprintf(path, room, "%s.%d", name, i);
    if (stat(path, &info) == 0) own += 512.0 * (double)info.st_blocks;
  }
  if (!*setup->options->restart.path)
    needed += checkpoint - checkpoint_blocks(setup->options->output.checkpoint);
  OLICA_TRY(olica_file_resolve(env, name, ".", &directory));
  *fits = statvfs(directory, &fs) != 0 || fs.f_blocks == 0 ||
          (double)fs.f_bavail * (double)fs.f_frsize + own >= needed;
  olica_memory_free(env, directory);
  olica_memory_free(env, path);
  return OLICA_OK;
}

static olica_status check_room(const olica_setup *setup, const char *name, double bytes, double checkpoint,
                               bool *fits) {
  olica_context *context = setup->context;
  *fits = true;
  OLICA_AGREE(context, context->rank == 0 ? look_for_room(setup, name, bytes, checkpoint, fits) : OLICA_OK);
  olica_comm_bcast(context, context->comm, fits, sizeof *fits, 0);
  if (*fits) return OLICA_OK;
  if (context->rank == 0)
    olica_log_warn(context->env, "[restart] the disk has no space for restart files: the run writes none");
  return OLICA_OK;
}

olica_status olica_restart_files_refuse(olica_env *env, olica_status status) {
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", env->error.text);
  return olica_error_set(env, status, "%s (--fresh starts over)", text);
}

olica_status olica_restart_files_look(olica_context *context, const olica_options *options, bool removes,
                                      bool *there) {
  olica_restart *files;
  char *name;
  OLICA_TRY(olica_restart_files_name(context, options, &name));
  OLICA_TRY(olica_restart_open(context, name, (int)options->restart.keep, &files));
  *there = olica_restart_exists(files);
  if (*there && removes) olica_restart_remove(files);
  olica_restart_close(files);
  olica_memory_free(context->env, name);
  return OLICA_OK;
}

/* Refuses restart files beside the checkpoint, of a run without [restart] path: this run would overwrite that
 * run's .part file. */
static olica_status look_beside(const olica_setup *setup) {
  olica_context *context = setup->context;
  olica_options plain = *setup->options;
  bool there;
  plain.restart.path = "";
  OLICA_TRY(olica_restart_files_look(context, &plain, setup->options->fresh, &there));
  if (!there || setup->options->fresh) return OLICA_OK;
  olica_error_set(
      context->env, OLICA_ERR_CONFIG,
      "[restart] path = %s: %s.restart.* of an earlier run lie beside the checkpoint, expected in "
      "there; without [restart] path the run goes on from them",
      setup->options->restart.path, plain.output.checkpoint);
  return olica_restart_files_refuse(context->env, OLICA_ERR_CONFIG);
}

/* Looks at the files of an earlier run. Refuses files that cannot be read: they may be hours of work. */
static olica_status look_at_files(const olica_setup *setup, olica_restart *files) {
  olica_context *context = setup->context;
  if (*setup->options->restart.path && !olica_restart_exists(files)) OLICA_TRY(look_beside(setup));
  if (olica_restart_exists(files) && setup->options->fresh) {
    olica_log_line(context->env, "--fresh: restart files of an earlier run are removed");
    olica_restart_remove(files);
    if (context->rank == 0) olica_checkpoint_discard(context->env, setup->options->output.checkpoint);
  } else if (!olica_restart_exists(files) && context->rank == 0 && has_others(setup->options))
    olica_log_line(context->env,
                   "[restart] path: %s has restart files of other checkpoints of this name; none is of %s",
                   setup->options->restart.path, setup->options->output.checkpoint);
  olica_status status = olica_restart_look(files);
  return status == OLICA_ERR_IO || status == OLICA_ERR_CONFIG
             ? olica_restart_files_refuse(context->env, status)
             : status;
}

olica_status olica_restart_files_open(const olica_setup *setup, double bytes, double checkpoint, bool *writes,
                                      olica_restart **files) {
  olica_context *context = setup->context;
  const olica_options *o = setup->options;
  char *name;
  *writes = olica_options_restarts(o);
  OLICA_TRY(olica_restart_files_name(context, o, &name));
  if (*writes) OLICA_TRY(check_room(setup, name, bytes, checkpoint, writes));
  OLICA_TRY(olica_restart_open(context, name, (int)o->restart.keep, files));
  olica_memory_free(context->env, name);
  return look_at_files(setup, *files);
}
