/* The file system of a path, as far as it matters to a job of many ranks: a table of network file systems
 * with advice for each. Not collective; never fails. */
#ifndef OLICA_IO_FILESYSTEM_H
#define OLICA_IO_FILESYSTEM_H

typedef struct olica_filesystem {
  long type;          /* f_type of statfs(2) */
  const char *name;   /* "NFS" */
  const char *advice; /* for a file that many ranks write */
} olica_filesystem;

/* Returns the network file system of that type; NULL: local or unknown. Pure. */
const olica_filesystem *olica_filesystem_find(long type);

/* Returns the network file system of the directory of a file, which need not exist; NULL as above, or if the
 * system does not report it. */
const olica_filesystem *olica_filesystem_of(const char *file);

#endif
