/* The terminal that standard error leads to, if it does. Not collective, nothing fails. */
#ifndef OLICA_BASE_TERMINAL_H
#define OLICA_BASE_TERMINAL_H

#include <stdbool.h>

/* A descriptor of it, for asking its width; -1 where there is none, or a dumb one (TERM unset or "dumb").
 * Launchers hand a rank a pipe and copy what comes to their own standard error: behind a pipe it is the
 * launcher's that counts. Closed with olica_terminal_close. */
int olica_terminal_open(void);
void olica_terminal_close(int terminal); /* -1 allowed */

/* Columns of its window now; 80 where it does not say. */
int olica_terminal_columns(int terminal);

/* Colours are wanted: NO_COLOR is not set (no-color.org). */
bool olica_terminal_colour(void);

#endif
