#include "par/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The thread's stack needs to hold a line of text only. It polls LOOKS times in `stall` seconds. */
enum { STACK_BYTES = 128 << 10, LOOKS = 8, LINE = 256 };

struct olica_watch {
  int rank;
  char host[64];
  double stall; /* seconds */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool ending; /* under the lock */
  int depth;   /* of the main thread only */
  /* Written by the main thread, read by the watchdog thread. */
  atomic_ulong steps;          /* number of collectives entered plus left: odd inside one */
  _Atomic(const char *) what;  /* the collective entered last */
  _Atomic(const char *) phase; /* the timer that was running then */
};

/* ---- the rank ---- */

void olica_watch_enter(const olica_context *context, const char *what) {
  olica_watch *watch = context->watch;
  if (!watch || watch->depth++ > 0) return;
  atomic_store(&watch->what, what);
  atomic_store(&watch->phase, olica_timer_running(&context->env->timers));
  atomic_fetch_add(&watch->steps, 1);
}

void olica_watch_leave(const olica_context *context) {
  olica_watch *watch = context->watch;
  if (watch && --watch->depth == 0) atomic_fetch_add(&watch->steps, 1);
}

/* ---- the thread ---- */

static void say(const olica_watch *watch, unsigned long steps, double waited, bool last) {
  char line[LINE];
  const char *what = atomic_load(&watch->what), *phase = atomic_load(&watch->phase);
  int n =
      snprintf(line, sizeof line, "olica_mpi: stall: rank %d on %s %s %s (phase %s) %.0f s ago%s\n",
               watch->rank, watch->host, steps % 2 ? "waits: it entered" : "is at work: it left",
               what ? what : "nothing yet", phase ? phase : "start", waited, last ? "; the job ends" : "");
  if (n >= LINE) n = LINE - 1;
  if (write(STDERR_FILENO, line, (size_t)n) < 0) return; /* nowhere to report to */
}

/* Sleeps for `seconds`, or until the watchdog ends; returns true if it ends. The caller holds the lock. */
static bool doze(olica_watch *watch, double seconds) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  long nanoseconds = until.tv_nsec + (long)((seconds - (double)(long)seconds) * 1e9);
  until.tv_sec += (time_t)seconds + nanoseconds / 1000000000;
  until.tv_nsec = nanoseconds % 1000000000;
  while (!watch->ending && pthread_cond_timedwait(&watch->wake, &watch->lock, &until) != ETIMEDOUT) continue;
  return watch->ending;
}

/* Counts its own naps instead of clock time: a suspended job has not waited. */
static void *look_on(void *its) {
  olica_watch *watch = its;
  unsigned long steps = 0;
  double nap = watch->stall / LOOKS, waited = 0, next = watch->stall;
  pthread_mutex_lock(&watch->lock);
  while (!doze(watch, nap)) {
    unsigned long now = atomic_load(&watch->steps);
    waited = now == steps ? waited + nap : 0;
    if (now != steps) next = watch->stall;
    steps = now;
    bool last = now % 2 && waited >= OLICA_WATCH_PATIENCE * watch->stall;
    if (!last && waited < next) continue;
    say(watch, steps, waited, last);
    if (last) _exit(OLICA_ERR_INTERNAL);
    next *= 2;
  }
  pthread_mutex_unlock(&watch->lock);
  return NULL;
}

/* ---- its life ---- */

/* Blocks signals in the new thread: the main thread handles them. */
static int start_thread(olica_watch *watch) {
  pthread_attr_t thread;
  sigset_t all, old;
  sigfillset(&all);
  pthread_attr_init(&thread);
  pthread_attr_setstacksize(&thread, STACK_BYTES);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int error = pthread_create(&watch->thread, &thread, look_on, watch);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&thread);
  return error;
}

olica_status olica_watch_start(olica_context *context, double stall) {
  if (context->size == 1) return OLICA_OK;
  olica_watch *watch;
  pthread_condattr_t clock;
  OLICA_TRY(OLICA_NEW(context->env, watch, 1));
  watch->rank = context->rank;
  watch->stall = stall;
  memcpy(watch->host, context->host, sizeof watch->host);
  pthread_mutex_init(&watch->lock, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&watch->wake, &clock);
  pthread_condattr_destroy(&clock);
  int error = start_thread(watch);
  if (error) {
    olica_memory_free(context->env, watch);
    return olica_error_set(context->env, OLICA_ERR_MEMORY, "no thread for the watchdog: %s", strerror(error));
  }
  context->watch = watch;
  return OLICA_OK;
}

void olica_watch_stop(olica_context *context) {
  olica_watch *watch = context->watch;
  if (!watch) return;
  context->watch = NULL;
  pthread_mutex_lock(&watch->lock);
  watch->ending = true;
  pthread_cond_signal(&watch->wake);
  pthread_mutex_unlock(&watch->lock);
  pthread_join(watch->thread, NULL);
  pthread_cond_destroy(&watch->wake);
  pthread_mutex_destroy(&watch->lock);
  olica_memory_free(context->env, watch);
}
