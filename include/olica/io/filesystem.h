/* What kind of file system a path lies on, where that matters to a job of many ranks: the network file
 * systems, each with what to do about it. Not collective, nothing fails. */
#ifndef OLICA_IO_FILESYSTEM_H
#define OLICA_IO_FILESYSTEM_H

typedef struct olica_filesystem {
  long type;          /* as statfs(2) has it in f_type */
  const char *name;   /* "NFS" */
  const char *advice; /* for who writes one file from many ranks there */
} olica_filesystem;

/* The network file system of that type; NULL: local, or not known. Pure. */
const olica_filesystem *olica_filesystem_find(long type);

/* The one that the directory of a file (there already or not) lies on; NULL as above, and where the system
 * does not say. */
const olica_filesystem *olica_filesystem_of(const char *file);

#endif
