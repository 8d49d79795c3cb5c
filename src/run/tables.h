/* The embedding and the output matrix in a sweep, panel by panel. Private to run. */
#ifndef OLICA_RUN_TABLES_H
#define OLICA_RUN_TABLES_H

#include "engine.h"

/* The uses of a table's rows in a sweep. The last sweep rounds them first, so that the run uses the rows that
 * it writes. */
typedef struct olica_table_use {
  olica_table table;
  bool round, write, embed, score, compare;
  const olica_scorer *scorer; /* the method's; NULL: none */
} olica_table_use;

/* Reads the panels of a table one after the other, and uses each. Collective. */
olica_status olica_tables_pass(olica_engine *engine, const olica_table_use *use);

#endif
