/* Restart files: the state of a run, as named sections of bytes that the ranks hold in pieces, in files
 * NAME.0, NAME.1, ... that are written in turn. Knows nothing of what the sections mean.
 *
 * A file is written by all ranks at once, each its own pieces (plain writes at places of their own: there is
 * nothing to aggregate, and a full disk is an error with its name); then synced by all; then, by rank 0, the
 * table of sections with their checksums and the caller's state, and last of all the first block, which says
 * that the file is whole, and where the table lies. Pieces lie at fixed places of a section, whoever writes
 * them: any number of ranks reads what any other number has written. Checksums are of pieces, and add up in
 * any order.
 *
 * Of several files the newest that is whole counts. Collective on the context, but where it says otherwise.
 */
#ifndef OLICA_STORE_RESTART_H
#define OLICA_STORE_RESTART_H

#include <jansson.h>
#include <stdbool.h>

#include "par/context.h"

enum { OLICA_RESTART_KEEP_MAX = 16, OLICA_RESTART_SECTION = 32 };

/* `bytes` bytes at `data` of this rank, which lie at `offset` of their section. */
typedef struct olica_restart_piece {
  void *data;
  int64_t offset, bytes;
} olica_restart_piece;

typedef struct olica_restart_section {
  char name[OLICA_RESTART_SECTION];
  int64_t bytes;              /* of all ranks */
  bool shared;                /* every rank has all of it, as one piece: rank 0 writes it for all */
  int64_t count;              /* pieces of this rank */
  olica_restart_piece *piece; /* [count] the same ones, whatever the number of ranks */
} olica_restart_section;

typedef struct olica_restart {
  olica_context *context;
  char *name; /* of the files, without .0 */
  int keep;   /* files that are written in turn */
  struct {
    bool there;       /* whole or not */
    bool whole;       /* its first block and its table are good */
    int64_t sequence; /* 1, 2, ...: the larger, the newer */
  } slot[OLICA_RESTART_KEEP_MAX];
  int found;        /* the slot that was found last, -1: none */
  json_t *sections; /* its table */
} olica_restart;

/* Which files there are; `keep` of them, at least 2, are written in turn. None is opened. */
olica_status olica_restart_open(olica_context *context, const char *name, int keep, olica_restart **restart);
void olica_restart_close(olica_restart *restart); /* not collective; NULL allowed */

/* Is there a file, whole or not? Not collective. */
bool olica_restart_exists(const olica_restart *restart);

/* Which of them are whole. One that is not is warned of by name, here and below, and does not count. That the
 * system refuses to read one (OLICA_ERR_IO) says nothing about what is in it: the caller's to decide. */
olica_status olica_restart_look(olica_restart *restart);

/* The next older whole file, beginning with the newest: the caller's state, a new reference on every rank;
 * NULL: there is none. Fails only where the system does. */
olica_status olica_restart_find(olica_restart *restart, json_t **state);

/* The file that was found does not count any more, and why: it makes no sense. Not collective: every rank. */
void olica_restart_skip(olica_restart *restart, const char *why);

/* Fills the sections from the file that was found. *good: they are there, of these sizes, undamaged; if not,
 * they hold zeros, and the file does not count any more. Fails only where the system does. */
olica_status olica_restart_load(olica_restart *restart, int count, const olica_restart_section *sections,
                                bool *good);

/* Writes the state (rank 0's; borrowed) and the sections in the place of the oldest file. After a failure,
 * OLICA_ERR_IO or OLICA_ERR_MEMORY, the other files are as they were, and this one takes no room. */
olica_status olica_restart_save(olica_restart *restart, json_t *state, int count,
                                const olica_restart_section *sections);

/* Removes them all, whole or not; one that stays is warned of. Not collective: rank 0's part; the others
 * forget them. */
void olica_restart_remove(olica_restart *restart);

#endif
