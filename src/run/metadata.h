/* The checkpoint's metadata: the model's own texts, the settings, and the provenance. Private to run. */
#ifndef OLICA_RUN_METADATA_H
#define OLICA_RUN_METADATA_H

#include "resume.h"

/* Creates the engine's checkpoint with its metadata, once the shapes are known; or reopens it if the run
 * resumes in the middle of the last sweep. If that fails, the sweep begins anew, with a warning.
 * Collective. */
olica_status olica_metadata_create_checkpoint(olica_engine *engine, olica_resume *resume);

#endif
