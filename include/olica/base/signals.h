/* A batch system's request to stop: SIGUSR1 or SIGTERM is noted, and looked for where it suits. Not
 * collective; what a signal handler writes to has to be a variable of the process, so this file has one. */
#ifndef OLICA_BASE_SIGNALS_H
#define OLICA_BASE_SIGNALS_H

/* From here on both signals are noted and do nothing else. System calls go on. As early as can be: what comes
 * before would end the process. */
void olica_signals_catch(void);

/* Nobody will look: from here on they do again what they did before, one that has come included. */
void olica_signals_release(void);

/* The number of the signal that has come last, 0: none. */
int olica_signals_caught(void);

/* "SIGUSR1", "SIGTERM"; for messages. */
const char *olica_signals_name(int number);

#endif
