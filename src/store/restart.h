/* Restart files: store the state of a run as named sections of bytes, of which the ranks hold pieces, in
 * files NAME.0, NAME.1, ... that are written in turn. This module does not know the meaning of the sections.
 *
 * All ranks write a file at the same time, each its own pieces, by plain writes at fixed offsets: aggregation
 * would gain nothing, and a full disk is an error with its name. Then all ranks sync. Then rank 0 writes the
 * table of sections, with their checksums and the caller's state, and last the first block, which marks the
 * file as complete and points to the table. The offsets of pieces within a section do not depend on the
 * number of ranks, so any number of ranks can read a file. Checksums are of pieces, and are summed in any
 * order.
 *
 * The newest complete file counts. Functions are collective on the context unless stated otherwise. */
#ifndef OLICA_STORE_RESTART_H
#define OLICA_STORE_RESTART_H

#include <jansson.h>
#include <stdbool.h>

#include "par/context.h"

enum { OLICA_RESTART_KEEP_MAX = 16, OLICA_RESTART_SECTION = 32 };

/* `bytes` bytes at `data` of this rank, at `offset` of their section. */
typedef struct olica_restart_piece {
  void *data;
  int64_t offset, bytes;
} olica_restart_piece;

typedef struct olica_restart_section {
  char name[OLICA_RESTART_SECTION];
  int64_t bytes;              /* of all ranks */
  bool shared;                /* every rank has all of it, as one piece; rank 0 writes it */
  int64_t count;              /* pieces of this rank */
  olica_restart_piece *piece; /* [count] their division does not depend on the number of ranks */
} olica_restart_section;

typedef struct olica_restart {
  olica_context *context;
  char *name; /* of the files, without .0 */
  int keep;   /* number of files that are written in turn */
  struct {
    bool there;       /* the file exists, complete or not */
    bool whole;       /* its first block and its table are valid */
    int64_t sequence; /* 1, 2, ...: the largest is the newest */
  } slot[OLICA_RESTART_KEEP_MAX];
  int found;        /* the slot of the last find, -1: none */
  json_t *sections; /* its table */
} olica_restart;

/* Lists the files that exist, without opening them; `keep` of them, at least 2, are written in turn. */
olica_status olica_restart_open(olica_context *context, const char *name, int keep, olica_restart **restart);
void olica_restart_close(olica_restart *restart); /* not collective; NULL allowed */

/* Returns true if a file exists, complete or not. Not collective. */
bool olica_restart_exists(const olica_restart *restart);

/* Finds the complete ones. Here and below, an incomplete or damaged file does not count, and a warning names
 * it. A file that the system does not let us read is OLICA_ERR_IO, and one of another version of the program
 * OLICA_ERR_CONFIG: either may be sound, so the caller decides. */
olica_status olica_restart_look(olica_restart *restart);

/* Finds the next older complete file, beginning with the newest, and returns the caller's state, a new
 * reference on every rank; NULL: there is none. Fails only if the system does. */
olica_status olica_restart_find(olica_restart *restart, json_t **state);

/* Excludes the file that was found, with the reason for the warning. Not collective: every rank. */
void olica_restart_skip(olica_restart *restart, const char *why);

/* Returns the bytes of a section of the file that was found; negative: it has none of that name. Not
 * collective. */
int64_t olica_restart_bytes(const olica_restart *restart, const char *section);

/* Fills the sections from the file that was found. *good: all exist in these sizes, undamaged; otherwise they
 * hold zeros, and the file is excluded. Fails only if the system does. */
olica_status olica_restart_load(olica_restart *restart, int count, const olica_restart_section *sections,
                                bool *good);

/* Writes the state (rank 0's; borrowed) and the sections over the oldest file. After a failure, OLICA_ERR_IO
 * or OLICA_ERR_MEMORY, the other files are unchanged, and this one is removed. */
olica_status olica_restart_save(olica_restart *restart, json_t *state, int count,
                                const olica_restart_section *sections);

/* Removes all files, complete or not, and warns of one that cannot be removed. Not collective: rank 0
 * removes, the others only forget them; every rank calls it. */
void olica_restart_remove(olica_restart *restart);

#endif
