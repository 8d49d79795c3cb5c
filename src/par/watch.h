/* The watchdog: reports a rank that waits too long in one collective. Such a wait is often the only visible
 * symptom of a hanging rank, an unresponsive file system or a bug.
 *
 * The main thread records when it enters and leaves a collective. A small watchdog thread, which calls
 * neither MPI nor malloc, polls these records. After `stall` seconds without change, and again after twice,
 * four times, ... as long, it writes a line to standard error: the collective and phase in which the rank
 * waits or, on the rank that the others wait for, the collective it left last. If a rank has waited for
 * OLICA_WATCH_PATIENCE times `stall`, the thread ends the process with OLICA_ERR_INTERNAL, and the launcher
 * ends the job, so that a deadlock does not use up the allocation. Time in which the job is suspended does
 * not count. */
#ifndef OLICA_PAR_WATCH_H
#define OLICA_PAR_WATCH_H

#include "par/context.h"

enum { OLICA_WATCH_PATIENCE = 10 };

/* Starts the watchdog thread; with one rank does nothing. Not collective. olica_context_destroy calls
 * olica_watch_stop. */
olica_status olica_watch_start(olica_context *context, double stall);
void olica_watch_stop(olica_context *context);

/* Encloses every collective, and any other call that may wait for another rank. Calls nest; the outermost
 * counts. `what` must be a string literal ("broadcast"). Not collective; cheap, and a no-op without a
 * watchdog. */
void olica_watch_enter(const olica_context *context, const char *what);
void olica_watch_leave(const olica_context *context);

#endif
