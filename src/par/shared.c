#include "par/shared.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/ledger.h"
#include "par/comm.h"
#include "par/watch.h"

enum { ALIGNMENT = 64, MARGIN = 1 << 20 };

const char *olica_shared_directory(void) {
  const char *asked = getenv("OMPI_MCA_osc_sm_backing_directory");
  return asked && *asked ? asked : "/dev/shm";
}

olica_status olica_shared_check(const olica_context *context) {
  const char *directory = olica_shared_directory();
  if (context->node_size == 1 || access(directory, W_OK | X_OK) == 0) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_IO,
                         "memory: the %d ranks on %s share memory in %s, but it cannot be written to: %s; "
                         "expected a writable tmpfs (mount it, give it to the container), one rank a node, "
                         "or another directory in OMPI_MCA_osc_sm_backing_directory",
                         context->node_size, context->host, directory, strerror(errno));
}

double olica_shared_room(void) {
  struct statvfs fs;
  if (statvfs(olica_shared_directory(), &fs) != 0 || fs.f_blocks == 0) return INFINITY;
  double room = (double)fs.f_bavail * (double)fs.f_frsize - MARGIN;
  return room > 0 ? room : 0;
}

/* Checks the free space on one rank a node. Open MPI would fail on that rank alone, and the others would wait
 * for ever. */
static olica_status check_room(const olica_context *context, const char *what, size_t bytes) {
  double room = olica_shared_room() / context->nodes_here;
  if (!olica_shared_leads(context) || (double)bytes <= room) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_MEMORY,
                         "memory: %s of the %d ranks on %s: %zu bytes of shared memory, %.0f are free in %s",
                         what, context->node_size, context->host, bytes, room, olica_shared_directory());
}

static void open_window(olica_shared *shared) {
  olica_context *context = shared->context;
  MPI_Aint bytes = olica_shared_leads(context) ? (MPI_Aint)(shared->bytes + ALIGNMENT) : 0;
  int unit;
  char *data;
  olica_watch_enter(context, "the allocation of shared memory");
  MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, context->node, &data, &shared->window);
  MPI_Win_shared_query(shared->window, 0, &bytes, &unit, &data);
  MPI_Win_lock_all(MPI_MODE_NOCHECK, shared->window);
  olica_watch_leave(context);
  /* A window begins on a page in every address space, but possibly not at its first byte. */
  shared->data = data + (ALIGNMENT - (uintptr_t)data % ALIGNMENT) % ALIGNMENT;
  context->others += shared->bytes - shared->counted;
  if (context->others > context->most_others) context->most_others = context->others;
  olica_range own = olica_shared_part(context, (int64_t)shared->bytes);
  memset((char *)shared->data + own.first, 0, (size_t)own.count);
  olica_shared_fence(context);
}

/* Does this rank's local part of the allocation, before anything collective. */
static olica_status prepare(olica_context *context, const char *what, size_t bytes, olica_shared **out) {
  olica_env *env = context->env;
  olica_shared *shared;
  OLICA_TRY(OLICA_NEW(env, shared, 1));
  *shared = (olica_shared){.context = context, .bytes = bytes, .window = MPI_WIN_NULL};
  *out = shared;
  if (context->node_size == 1)
    return (shared->data = olica_memory_get(env, what, bytes, 1)) ? OLICA_OK : OLICA_ERR_MEMORY;
  OLICA_TRY(check_room(context, what, bytes));
  size_t counted = olica_ledger_share(bytes, context->node_size);
  OLICA_TRY(olica_memory_count(env, what, counted));
  shared->counted = counted;
  return OLICA_OK;
}

olica_status olica_shared_create(olica_context *context, const char *what, size_t bytes, olica_shared **out) {
  olica_shared *shared = NULL;
  OLICA_AGREE(context, prepare(context, what, bytes, &shared));
  if (context->node_size > 1) open_window(shared);
  shared->next = context->shared;
  context->shared = shared;
  *out = shared;
  return OLICA_OK;
}

void olica_shared_destroy(olica_shared *shared) {
  if (!shared) return;
  olica_context *context = shared->context;
  olica_shared **link = &context->shared;
  while (*link != shared) link = &(*link)->next;
  *link = shared->next;
  if (shared->window == MPI_WIN_NULL) {
    olica_memory_free(context->env, shared->data);
  } else {
    MPI_Win_unlock_all(shared->window);
    MPI_Win_free(&shared->window);
    context->others -= shared->bytes - shared->counted;
    olica_memory_uncount(context->env, shared->counted);
  }
  olica_memory_free(context->env, shared);
}

void olica_shared_fence(const olica_context *context) {
  if (context->node_size == 1) return;
  /* In MPI's unified memory model a window's public and private copy are one, so only the processor's own
   * loads and stores need ordering. */
  atomic_thread_fence(memory_order_seq_cst);
  olica_watch_enter(context, "a node fence");
  MPI_Barrier(context->node);
  olica_watch_leave(context);
  atomic_thread_fence(memory_order_seq_cst);
}

olica_range olica_shared_part(const olica_context *context, int64_t items) {
  return olica_partition_block(items, context->node_size, context->node_rank);
}

bool olica_shared_leads(const olica_context *context) {
  return context->node_rank == 0;
}
