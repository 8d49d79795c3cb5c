/* Runs gnuplot. Not collective; before MPI starts, since it makes a process. Private to plot. */
#ifndef OLICA_PLOT_DRAW_H
#define OLICA_PLOT_DRAW_H

#include <stdbool.h>

#include "base/env.h"

/* Runs the script `name`, a file of `directory`, there. *found := whether there is a gnuplot in PATH; without
 * one it does nothing. What a gnuplot that succeeds complains of is a warning. OLICA_ERR_IO: gnuplot failed,
 * with the first line that it wrote. */
olica_status olica_draw_script(olica_env *env, const char *directory, const char *name, bool *found);

#endif
