/* The Python file of a compact directory. Private to export. */
#ifndef OLICA_EXPORT_COMPACT_CODE_H
#define OLICA_EXPORT_COMPACT_CODE_H

/* Returns its text; "@Base@" stands for the family's name in transformers' classes ("Llama"), "@base@" for
 * its model_type. Pure. */
const char *olica_compact_code(void);

#endif
