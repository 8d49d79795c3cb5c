/* What is inspected: a file or a directory of any kind that --inspect knows, opened. Private to inspect. */
#ifndef OLICA_INSPECT_SUBJECT_H
#define OLICA_INSPECT_SUBJECT_H

#include <jansson.h>

#include "io/catalog.h"

typedef enum olica_subject_kind {
  OLICA_SUBJECT_CHECKPOINT,  /* ours */
  OLICA_SUBJECT_STATISTICS,  /* ours, saved */
  OLICA_SUBJECT_DIRECTORY,   /* Hugging Face */
  OLICA_SUBJECT_SAFETENSORS, /* one file of it */
  OLICA_SUBJECT_GGUF,
  OLICA_SUBJECT_REPORT, /* report.json */
  OLICA_SUBJECT_KINDS
} olica_subject_kind;

/* "checkpoint", "saved statistics", ... */
const char *olica_subject_kind_name(olica_subject_kind kind);

/* The JSON is on rank 0 alone; each NULL where there is none. */
typedef struct olica_subject {
  olica_subject_kind kind;
  const char *path;
  olica_catalog *catalog; /* no tensors: a report */
  int64_t file_bytes;     /* of all its files */
  json_t *config;         /* config.json, or a GGUF's metadata */
  json_t *settings, *provenance;
  json_t *about; /* saved statistics: what they are of */
  json_t
      *report; /* the report, or that of the run which wrote the checkpoint: the one at the path that its */
  char *report_path; /* settings name, if its figures are the file's; else NULL */
} olica_subject;

/* Opens `path`. What is missing, damaged or of no known kind is OLICA_ERR_INPUT. No weights are read; the
 * path is borrowed. Collective on context. */
olica_status olica_subject_open(olica_context *context, const char *path, olica_subject *subject);
void olica_subject_close(olica_subject *subject); /* not collective; zeroed before is allowed */

#endif
