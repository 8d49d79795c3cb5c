/* What is asked of an export: types of numbers, lists of outputs, options. */
#ifndef OLICA_EXPORT_TYPES_H
#define OLICA_EXPORT_TYPES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { OLICA_EXPORTS_MAX = 16 };

/* The types of numbers of an output; the first three are those of olica_dtype. */
typedef enum olica_export_type {
  OLICA_EXPORT_FP32,
  OLICA_EXPORT_FP16,
  OLICA_EXPORT_BF16,
  OLICA_EXPORT_Q8_0, /* blocks of 32 numbers of a row with a scale in fp16: GGUF's */
  OLICA_EXPORT_TYPES
} olica_export_type;

/* A list "hf:DIR, gguf:FILE", taken apart. */
typedef struct olica_export_target {
  int kind;         /* number in the table */
  const char *path; /* as given, without a slash at the end */
} olica_export_target;

typedef struct olica_export_list {
  int count;
  olica_export_target target[OLICA_EXPORTS_MAX];
} olica_export_list;

typedef struct olica_export_options {
  int type;      /* 0: as the checkpoint's numbers; else 1 + olica_export_type */
  int64_t shard; /* most bytes of tensors in a file of a directory */
  bool overwrite;
  const char *model;        /* the source model's directory; "": as the checkpoint's provenance has it */
  const char *command_line; /* for the model card */
  const json_t *report;     /* rank 0's: report.json of the job; NULL: none is known */
} olica_export_options;

#endif
