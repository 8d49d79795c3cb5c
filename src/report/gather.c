/* The collective part of the report: gathers every rank's measurements on rank 0. Its memory comes from
 * malloc: the high-water mark has been taken, and after OLICA_ERR_MEMORY counted memory may be used up. */
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/utsname.h>

#include "la/blas_kernel.h"
#include "par/comm.h"
#include "par/watch.h"
#include "report/report.h"

/* The first message of a rank; its timers and warnings follow. */
typedef struct packet {
  olica_report_rank rank;
  int timers, warnings;
} packet;

/* The messages on the root, in the order of ranks; NULL elsewhere. */
typedef struct mailbox {
  int ranks, root; /* this rank is rank 0 */
  packet *packets; /* [ranks] */
  olica_timer *timers;
  olica_warning *warnings;
  int *counts, *offsets; /* [ranks], scratch: bytes */
} mailbox;

static olica_status room(olica_env *env, size_t count, size_t size, void *pointer) {
  void *block = calloc(count ? count : 1, size);
  memcpy(pointer, &block, sizeof block);
  return block ? OLICA_OK : olica_error_set(env, OLICA_ERR_MEMORY, "report: no memory to gather it");
}

#define ROOM(env, pointer, count) room((env), (size_t)(count), sizeof *(pointer), &(pointer))

static void mailbox_free(mailbox *box) {
  free(box->packets);
  free(box->timers);
  free(box->warnings);
  free(box->counts);
  free(box->offsets);
}

static olica_status mailbox_open(olica_env *env, MPI_Comm comm, mailbox *box) {
  int rank;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &box->ranks);
  box->root = rank == 0;
  if (!box->root) return OLICA_OK;
  OLICA_TRY(ROOM(env, box->packets, box->ranks));
  OLICA_TRY(ROOM(env, box->counts, box->ranks));
  return ROOM(env, box->offsets, box->ranks);
}

/* Allocates all timers and warnings, once their numbers are known. */
static olica_status mailbox_extend(olica_env *env, mailbox *box) {
  size_t timers = 0, warnings = 0;
  if (!box->root) return OLICA_OK;
  for (int r = 0; r < box->ranks; r++) {
    timers += (size_t)box->packets[r].timers;
    warnings += (size_t)box->packets[r].warnings;
  }
  if (timers * sizeof(olica_timer) > INT_MAX || warnings * sizeof(olica_warning) > INT_MAX)
    return olica_error_set(env, OLICA_ERR_MEMORY, "report: too many ranks (%d) to gather it", box->ranks);
  OLICA_TRY(ROOM(env, box->timers, timers));
  return ROOM(env, box->warnings, warnings);
}

/* Gathers items of all ranks; `at`: offset in a packet of the number of items that its rank sends. */
static void gather_items(olica_context *context, MPI_Comm comm, const mailbox *box, size_t at, size_t size,
                         const void *mine, int count, void *all) {
  int offset = 0;
  for (int r = 0; box->root && r < box->ranks; r++) {
    int items;
    memcpy(&items, (const char *)&box->packets[r] + at, sizeof items);
    box->counts[r] = items * (int)size;
    box->offsets[r] = offset;
    offset += box->counts[r];
  }
  olica_watch_enter(context, "a gather for the report");
  MPI_Gatherv(mine, count * (int)size, MPI_BYTE, all, box->counts, box->offsets, MPI_BYTE, 0, comm);
  olica_watch_leave(context);
}

/* Collective on comm; fails on all ranks alike. */
static olica_status exchange(olica_context *context, MPI_Comm comm, const packet *mine, mailbox *box) {
  olica_env *env = context->env;
  OLICA_TRY(olica_comm_agree(context, comm, mailbox_open(env, comm, box)));
  olica_watch_enter(context, "a gather for the report");
  MPI_Gather(mine, sizeof *mine, MPI_BYTE, box->packets, sizeof *mine, MPI_BYTE, 0, comm);
  olica_watch_leave(context);
  OLICA_TRY(olica_comm_agree(context, comm, mailbox_extend(env, box)));
  gather_items(context, comm, box, offsetof(packet, timers), sizeof(olica_timer), env->timers.timer,
               mine->timers, box->timers);
  gather_items(context, comm, box, offsetof(packet, warnings), sizeof(olica_warning), env->log.warnings,
               mine->warnings, box->warnings);
  return OLICA_OK;
}

static olica_report_phase *find_phase(olica_report *report, const char *name) {
  for (int i = 0; i < report->phases_count; i++)
    if (strcmp(report->phases[i].name, name) == 0) return &report->phases[i];
  olica_report_phase *phase = &report->phases[report->phases_count++];
  memcpy(phase->name, name, sizeof phase->name);
  return phase;
}

/* Adds one rank's timer. */
static void add_timer(olica_report_phase *phase, int rank, const olica_timer *timer) {
  if (timer->calls > phase->calls) phase->calls = timer->calls;
  if (timer->seconds > phase->seconds.max) {
    phase->seconds.max = timer->seconds;
    phase->slowest = rank;
  }
  phase->seconds.mean += timer->seconds; /* a sum as yet */
  phase->gflops += timer->flops;         /* operations as yet */
  phase->bytes += timer->bytes;
  phase->tokens += timer->tokens;
  if (timer->comm.calls > phase->comm.calls) phase->comm.calls = timer->comm.calls;
  if (timer->comm.seconds > phase->comm.max) phase->comm.max = timer->comm.seconds;
  phase->comm.mean += timer->comm.seconds; /* a sum as yet */
  phase->comm.bytes += timer->comm.bytes;
}

/* Returns the least time of a phase: 0 if a rank has not been in it. */
static double least_seconds(const mailbox *box, const char *name) {
  double least = 0;
  const olica_timer *timer = box->timers;
  for (int r = 0; r < box->ranks; r++) {
    double seconds = 0;
    for (int i = 0; i < box->packets[r].timers; i++, timer++)
      if (strcmp(timer->name, name) == 0) seconds = timer->seconds;
    if (r == 0 || seconds < least) least = seconds;
  }
  return least;
}

/* Returns whether `fine` ("solve.query") is a part of `phase` ("solve"). */
static bool is_part(const char *fine, const char *phase) {
  size_t length = strlen(phase);
  return strncmp(fine, phase, length) == 0 && fine[length] == '.';
}

/* Sorts phases by their beginning, each followed by its finer timers. */
static void sort_phases(olica_report *report) {
  for (int i = 0; i < report->phases_count; i++) {
    int behind = i + 1; /* place of the next part of phase i */
    for (int j = i + 1; j < report->phases_count; j++) {
      if (!is_part(report->phases[j].name, report->phases[i].name)) continue;
      olica_report_phase part = report->phases[j];
      memmove(&report->phases[behind + 1], &report->phases[behind], (size_t)(j - behind) * sizeof part);
      report->phases[behind++] = part;
    }
  }
}

static olica_status merge_phases(olica_env *env, const mailbox *box, olica_report *report) {
  size_t timers = 0;
  for (int r = 0; r < box->ranks; r++) timers += (size_t)box->packets[r].timers;
  OLICA_TRY(ROOM(env, report->phases, timers));
  const olica_timer *timer = box->timers;
  for (int r = 0; r < box->ranks; r++)
    for (int i = 0; i < box->packets[r].timers; i++, timer++)
      add_timer(find_phase(report, timer->name), r, timer);
  for (int i = 0; i < report->phases_count; i++) {
    olica_report_phase *phase = &report->phases[i];
    phase->seconds.mean /= box->ranks;
    phase->comm.mean /= box->ranks;
    phase->seconds.min = least_seconds(box, phase->name);
    phase->gflops = phase->seconds.max > 0 ? phase->gflops / phase->seconds.max / 1e9 : 0;
  }
  sort_phases(report);
  return OLICA_OK;
}

static olica_status merge_warnings(olica_env *env, const mailbox *box, olica_report *report) {
  size_t count = 0;
  for (int r = 0; r < box->ranks; r++) count += (size_t)box->packets[r].warnings;
  OLICA_TRY(ROOM(env, report->warnings, count));
  for (size_t i = 0; i < count; i++) {
    int w = 0;
    while (w < report->warnings_count && strcmp(report->warnings[w].text, box->warnings[i].text) != 0) w++;
    if (w == report->warnings_count)
      report->warnings[report->warnings_count++] = box->warnings[i];
    else
      report->warnings[w].count += box->warnings[i].count;
  }
  return OLICA_OK;
}

static void add_to_spread(olica_report_spread *spread, int rank, int ranks, double value) {
  if (rank == 0 || value < spread->min) spread->min = value;
  if (rank == 0 || value > spread->max) spread->max = value;
  spread->mean += value / ranks;
}

static olica_status merge_ranks(olica_env *env, const mailbox *box, olica_report *report) {
  OLICA_TRY(ROOM(env, report->ranks, box->ranks));
  report->ranks_count = box->ranks;
  report->counted = report->resident = (olica_report_spread){0};
  for (int r = 0; r < box->ranks; r++) {
    report->ranks[r] = box->packets[r].rank;
    add_to_spread(&report->counted, r, box->ranks, report->ranks[r].counted);
    add_to_spread(&report->resident, r, box->ranks, report->ranks[r].resident);
    /* the longest of all ranks: one may have started before rank 0 */
    if (report->ranks[r].wall_s > report->wall_s) report->wall_s = report->ranks[r].wall_s;
  }
  return OLICA_OK;
}

/* The root reduces the messages to the report. */
static olica_status merge(olica_env *env, const mailbox *box, olica_report *report) {
  if (!box->root) return OLICA_OK;
  OLICA_TRY(merge_ranks(env, box, report));
  OLICA_TRY(merge_phases(env, box, report));
  return merge_warnings(env, box, report);
}

/* Reads the processor's name, "AMD EPYC 9654 96-Core Processor"; without one, the architecture. */
static void find_processor(char *name, size_t bytes) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  char line[256];
  struct utsname machine;
  *name = '\0';
  while (file && !*name && fgets(line, sizeof line, file)) {
    const char *colon = strncmp(line, "model name", strlen("model name")) == 0 ? strchr(line, ':') : NULL;
    if (!colon) continue;
    colon += 1 + strspn(colon + 1, " \t");
    snprintf(name, bytes, "%.*s", (int)strcspn(colon, "\n"), colon);
  }
  if (file) fclose(file);
  if (!*name && uname(&machine) == 0) snprintf(name, bytes, "%.*s", (int)bytes - 1, machine.machine);
}

static double seconds_of(struct timeval time) {
  return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

/* Returns the processor's seconds of all threads of this process. */
static double cpu_seconds(void) {
  struct rusage used;
  return getrusage(RUSAGE_SELF, &used) == 0 ? seconds_of(used.ru_utime) + seconds_of(used.ru_stime) : 0;
}

static packet measure(const olica_context *context, olica_report *report) {
  const olica_env *env = context->env;
  /* Shared memory is resident in all ranks of a node; counts a rank's share of it. */
  double resident = olica_report_resident() - report->mine.resident_start - (double)context->most_others;
  report->mine.counted = (double)env->memory.peak;
  report->mine.resident = resident > 0 ? resident : 0;
  memcpy(report->mine.host, context->host, sizeof report->mine.host);
  find_processor(report->mine.processor, sizeof report->mine.processor);
  snprintf(report->mine.blas_kernel, sizeof report->mine.blas_kernel, "%.31s", olica_blas_kernel_name());
  report->mine.cpu_s = cpu_seconds();
  report->mine.wall_s = report->wall_s;
  return (packet){.rank = report->mine, .timers = env->timers.count, .warnings = env->log.warning_count};
}

olica_status olica_report_gather(olica_context *context, MPI_Comm comm, olica_report *report) {
  assert(!report->ranks); /* once */
  report->job_ranks = context->size;
  report->nodes = context->nodes;
  if (!report->run.threads) report->run.threads = context->threads;
  packet mine = measure(context, report);
  mailbox box = {0};
  olica_status status = exchange(context, comm, &mine, &box);
  if (status == OLICA_OK) status = olica_comm_agree(context, comm, merge(context->env, &box, report));
  mailbox_free(&box);
  return status;
}
