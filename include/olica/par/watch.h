/* The watchdog: a rank that waits too long in one collective says where, since its peers' silence is all that
 * there is to see of a rank that hangs, of a file system that does not answer, or of a bug.
 *
 * The rank notes when it enters and leaves a collective. A small thread of its own looks on, calls neither
 * MPI nor malloc, and says after `stall` seconds, and again after twice, four times, ... as long, on standard
 * error where its rank is: in which collective and phase, or, for the one that the others wait for, what it
 * has left last. A rank that has waited OLICA_WATCH_PATIENCE times `stall` ends the process with
 * OLICA_ERR_INTERNAL, and the launcher the job: what nobody will ever join should not cost a night. Time in
 * which the job is suspended does not count. */
#ifndef OLICA_PAR_WATCH_H
#define OLICA_PAR_WATCH_H

#include "olica/par/context.h"

enum { OLICA_WATCH_PATIENCE = 10 };

/* Starts the thread; with one rank there is nobody to wait for, and none. Not collective. Ends with
 * olica_watch_stop, which olica_context_destroy calls. */
olica_status olica_watch_start(olica_context *context, double stall);
void olica_watch_stop(olica_context *context);

/* Around every collective, or whatever may wait for another rank. They nest, the outermost counts. `what`
 * lives as long as the program ("broadcast"). Not collective; cheap, and free where nobody watches. */
void olica_watch_enter(const olica_context *context, const char *what);
void olica_watch_leave(const olica_context *context);

#endif
