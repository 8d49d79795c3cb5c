/* A batch system's request to stop: the handler of SIGUSR1 and SIGTERM records the signal, and the run polls
 * for it at safe points. Not collective. A signal handler can only write to a variable of the process, so
 * signals.c has one. */
#ifndef OLICA_BASE_SIGNALS_H
#define OLICA_BASE_SIGNALS_H

/* Records both signals from here on; interrupted system calls are restarted. Call it as early as possible:
 * until then a signal ends the process. */
void olica_signals_catch(void);

/* Restores the default handlers and raises a recorded signal again: nothing polls from here on. */
void olica_signals_release(void);

/* Returns the number of the last signal, 0: none. */
int olica_signals_caught(void);

/* Returns "SIGUSR1" or "SIGTERM", for messages. */
const char *olica_signals_name(int number);

#endif
