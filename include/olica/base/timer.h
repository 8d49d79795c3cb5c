/* Named timers. Phases ("read", "survey", "solve") never overlap: starting one inside another pauses the
 * outer one, so that their sum is the wall time. Finer timers have a dot ("solve.query"), lie inside a phase
 * and pause nothing. Work and traffic are booked on every timer that is running. Not
 * collective. */
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
  double tokens; /* that have passed a layer inside, once for each layer */
  struct {
    long calls;     /* of MPI's collectives */
    double seconds; /* in them: the network's, and waiting for the other ranks */
    double bytes;   /* of their buffers, part of `bytes` */
  } comm;
} olica_timer;

typedef struct olica_timers {
  double started; /* seconds on the clock below: when the environment was made */
  int count, depth;
  olica_timer timer[OLICA_TIMERS_MAX];
  struct {
    int timer;
    double since;
  } stack[OLICA_TIMER_DEPTH];
} olica_timers;

/* Seconds on a clock that never goes back, and goes on while the machine sleeps (a virtual machine that is
 * suspended): so does a batch system's. */
double olica_timer_now(void);

/* Starts a timer, made on first use, and stops the one started last. Calls nest like brackets. */
void olica_timer_start(olica_timers *timers, const char *name);
void olica_timer_stop(olica_timers *timers);

/* The name of the timer started last, finer ones too; it stays where it is. NULL: none runs. */
const char *olica_timer_running(const olica_timers *timers);

/* Books work on every running timer. */
void olica_timer_work(olica_timers *timers, double flops, double bytes);

/* Books tokens that have passed a layer, likewise. */
void olica_timer_tokens(olica_timers *timers, double tokens);

/* Books a collective that began at `since` and is over now. */
void olica_timer_comm(olica_timers *timers, double since, double bytes);

#endif
