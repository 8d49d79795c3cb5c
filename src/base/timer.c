#include "base/timer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

double olica_timer_now(void) {
  struct timespec t;
  if (clock_gettime(CLOCK_BOOTTIME, &t) != 0) clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool is_phase(const olica_timer *timer) {
  return strchr(timer->name, '.') == NULL;
}

static int find(olica_timers *timers, const char *name) {
  for (int i = 0; i < timers->count; i++)
    if (strcmp(timers->timer[i].name, name) == 0) return i;
  assert(timers->count < OLICA_TIMERS_MAX);
  snprintf(timers->timer[timers->count].name, OLICA_TIMER_NAME, "%s", name);
  return timers->count++;
}

/* Returns the innermost running phase below position `top` of the stack, or -1. */
static int phase_below(const olica_timers *timers, int top) {
  while (--top >= 0)
    if (is_phase(&timers->timer[timers->stack[top].timer])) return top;
  return -1;
}

void olica_timer_start(olica_timers *timers, const char *name) {
  assert(timers->depth < OLICA_TIMER_DEPTH);
  double now = olica_timer_now();
  int id = find(timers, name);
  int outer = is_phase(&timers->timer[id]) ? phase_below(timers, timers->depth) : -1;
  if (outer >= 0) timers->timer[timers->stack[outer].timer].seconds += now - timers->stack[outer].since;
  timers->stack[timers->depth].timer = id;
  timers->stack[timers->depth++].since = now;
  timers->timer[id].calls++;
}

void olica_timer_stop(olica_timers *timers) {
  assert(timers->depth > 0);
  double now = olica_timer_now();
  int top = --timers->depth;
  olica_timer *timer = &timers->timer[timers->stack[top].timer];
  timer->seconds += now - timers->stack[top].since;
  int outer = is_phase(timer) ? phase_below(timers, top) : -1;
  if (outer >= 0) timers->stack[outer].since = now;
}

const char *olica_timer_running(const olica_timers *timers) {
  return timers->depth > 0 ? timers->timer[timers->stack[timers->depth - 1].timer].name : NULL;
}

/* Returns the stack position of the first running timer that is not paused. */
static int first_running(const olica_timers *timers) {
  int innermost = phase_below(timers, timers->depth);
  return innermost < 0 ? 0 : innermost;
}

void olica_timer_work(olica_timers *timers, double flops, double bytes) {
  for (int i = first_running(timers); i < timers->depth; i++) {
    timers->timer[timers->stack[i].timer].flops += flops;
    timers->timer[timers->stack[i].timer].bytes += bytes;
  }
}

void olica_timer_tokens(olica_timers *timers, double tokens) {
  for (int i = first_running(timers); i < timers->depth; i++)
    timers->timer[timers->stack[i].timer].tokens += tokens;
}

void olica_timer_comm(olica_timers *timers, double since, double bytes) {
  double seconds = olica_timer_now() - since;
  for (int i = first_running(timers); i < timers->depth; i++) {
    olica_timer *timer = &timers->timer[timers->stack[i].timer];
    timer->comm.calls++;
    timer->comm.seconds += seconds;
    timer->comm.bytes += bytes;
    timer->bytes += bytes;
  }
}
