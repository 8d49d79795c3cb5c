/* Between two layers: writes a restart file if one is due, and stops the run if it must. Private to run. */
#ifndef OLICA_RUN_BOUNDARY_H
#define OLICA_RUN_BOUNDARY_H

#include "resume.h"

/* A place where the run can be interrupted and resumed; `next` is what it would continue with. Writes a
 * restart file if it is time for one. If a signal or the time asks for it, returns OLICA_STOPPED after that.
 * Collective. */
olica_status olica_boundary_pass(olica_resume *resume, olica_position next);

#endif
