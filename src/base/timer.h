/* Named timers. Phases ("read", "survey", "solve") never overlap: starting one inside another pauses the
 * outer one, so that their sum is the wall time. Finer timers have a dot ("solve.query"), lie inside a phase
 * and pause nothing. Work and traffic are added to every running timer. Not collective. */
#ifndef OLICA_BASE_TIMER_H
#define OLICA_BASE_TIMER_H

#include <stdbool.h>

enum { OLICA_TIMER_NAME = 32, OLICA_TIMERS_MAX = 48, OLICA_TIMER_DEPTH = 16 };

typedef struct olica_timer {
  char name[OLICA_TIMER_NAME];
  long calls;
  double seconds;
  double flops;  /* floating-point operations of the products inside */
  double bytes;  /* bytes sent or received by this rank, and file bytes */
  double tokens; /* tokens that passed a layer, counted once for each layer */
  struct {
    long calls;     /* number of MPI collectives */
    double seconds; /* time in them: transfer, and waiting for other ranks */
    double bytes;   /* of their buffers, part of `bytes` */
  } comm;
} olica_timer;

typedef struct olica_timers {
  double started; /* olica_timer_now when the environment was created */
  int count, depth;
  olica_timer timer[OLICA_TIMERS_MAX];
  struct {
    int timer;
    double since;
  } stack[OLICA_TIMER_DEPTH];
} olica_timers;

/* Returns seconds on a clock that never goes back and counts the time in which the machine (a suspended
 * virtual machine) sleeps, as a batch system's clock does. */
double olica_timer_now(void);

/* Starts a timer, creating it on first use; stops the timer started last. Calls nest like brackets. */
void olica_timer_start(olica_timers *timers, const char *name);
void olica_timer_stop(olica_timers *timers);

/* Returns the name of the timer started last, finer ones included, or NULL if none runs. The string stays
 * valid. */
const char *olica_timer_running(const olica_timers *timers);

/* Adds work to every running timer. */
void olica_timer_work(olica_timers *timers, double flops, double bytes);

/* Adds tokens that passed a layer to every running timer. */
void olica_timer_tokens(olica_timers *timers, double tokens);

/* Adds a collective that began at `since` and ends now to every running timer. */
void olica_timer_comm(olica_timers *timers, double since, double bytes);

#endif
