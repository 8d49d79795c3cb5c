/* The terminal on standard error, if there is one. Not collective; never fails. */
#ifndef OLICA_BASE_TERMINAL_H
#define OLICA_BASE_TERMINAL_H

#include <stdbool.h>

/* Opens a file descriptor of the terminal, for querying its width. Returns -1 if there is none, or a dumb one
 * (TERM unset or "dumb"). A launcher gives a rank a pipe and copies its output to the launcher's own standard
 * error: behind a pipe, the launcher's terminal counts. Close with olica_terminal_close. */
int olica_terminal_open(void);
void olica_terminal_close(int terminal); /* -1 allowed */

/* Returns the current width of its window in columns; 80 if unknown. */
int olica_terminal_columns(int terminal);

/* Returns true if colours are wanted: NO_COLOR is not set (no-color.org). */
bool olica_terminal_colour(void);

#endif
