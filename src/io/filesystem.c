#include "io/filesystem.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define SHARED "many ranks write one file: a parallel file system or a node's own disk is faster and safer"
#define PARALLEL                                                                                             \
  "made for this; restart files are better on a node's own disk or a burst buffer ([restart] path)"
#define STRIPED "a directory that is striped before the run spreads the file over its servers"

static const olica_filesystem table[] = {
    {0x6969, "NFS", SHARED},
    {0x517b, "SMB", SHARED},
    {0xff534d42, "CIFS", SHARED},
    {0xfe534d42, "SMB2", SHARED},
    {0x5346414f, "AFS", SHARED},
    {0x01021997, "9P", SHARED},
    {0x0bd00bd0, "Lustre", STRIPED " (lfs setstripe -c -1)"},
    {0x19830326, "BeeGFS", STRIPED " (beegfs-ctl --setpattern)"},
    {0x47504653, "GPFS", PARALLEL},
    {0xaad7aaea, "PanFS", PARALLEL},
    {0x20030528, "OrangeFS", PARALLEL},
    {0x00c36400, "CephFS", PARALLEL},
};

const olica_filesystem *olica_filesystem_find(long type) {
  /* f_type is signed if a long has 32 bits, and may be sign-extended. */
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if ((unsigned int)table[i].type == (unsigned int)type) return &table[i];
  return NULL;
}

const olica_filesystem *olica_filesystem_of(const char *file) {
  char directory[PATH_MAX];
  struct statfs info;
  const char *slash = strrchr(file, '/');
  int length = slash ? (int)(slash - file) + 1 : 1;
  if (length >= PATH_MAX) return NULL;
  snprintf(directory, sizeof directory, "%.*s", length, slash ? file : ".");
  return statfs(directory, &info) == 0 ? olica_filesystem_find((long)info.f_type) : NULL;
}
