/* Between two layers: writes a restart file if one is due, and stops the run if it must. Private to run. */
#ifndef OLICA_RUN_BOUNDARY_H
#define OLICA_RUN_BOUNDARY_H

#include "resume.h"

/* Passes a place where the run can be interrupted; it would resume at `next`. Writes a restart file if one is
 * due. If a signal or the walltime asks for it, returns OLICA_STOPPED after that. Collective. */
olica_status olica_boundary_pass(olica_resume *resume, olica_position next);

#endif
