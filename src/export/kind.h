/* What a kind of export gives, and what the frame gives it. Private to export. */
#ifndef OLICA_EXPORT_KIND_H
#define OLICA_EXPORT_KIND_H

#include <jansson.h>

#include "export/types.h"
#include "model/source.h"
#include "model/tensors.h"
#include "text/bundle.h"

typedef struct olica_export olica_export;
typedef struct olica_export_item olica_export_item;

/* Makes rows [first, first + count) of an item in fp32: rows [count x columns]. `first` and `count` are
 * multiples of the item's step (count may end with the item). Not collective: one rank calls it, for any rows
 * in any order, and gets the same numbers as another rank would. */
typedef olica_status olica_export_fill(olica_export *e, const olica_export_item *item, int64_t first,
                                       int64_t count, float *rows);

/* A tensor of the output. */
struct olica_export_item {
  char name[OLICA_TENSOR_NAME]; /* in the output */
  olica_export_type type;
  int dims;         /* 1: a vector, of shape[0] numbers: as many rows of one column */
  int64_t shape[2]; /* rows, columns; row-major in the output */
  int64_t step;     /* rows that can only be made together; 0: each by itself */
  olica_export_fill *fill;
  int layer, what; /* the kind's own, for fill: the layer, and a projection or whatever it likes */
  /* Set by the frame: */
  int file;              /* number of the file, 0 in an output of one file */
  int64_t offset, bytes; /* from the beginning of that file's tensors */
};

/* A file of tensors: its head (all before the first tensor's bytes), then the tensors. */
typedef struct olica_export_file {
  char name[64]; /* in the directory; "": the output itself */
  int64_t data;  /* bytes of the tensors, with gaps between them */
  char *head;    /* counted memory */
  size_t head_bytes;
  uint32_t crc; /* of the whole file; of a directory alone */
} olica_export_file;

typedef struct olica_export_kind {
  const char *name;  /* "hf" */
  const char *about; /* for messages */
  bool directory;    /* the output is a directory; else one file */
  unsigned types;    /* bit t: olica_export_type t can be asked for */
  int align;         /* each tensor begins at a multiple of it behind the first; 1: they touch */
  int head_align;    /* the first tensor begins at a multiple of it in the file */
  /* Declares all items (olica_export_add) in the order of the file, or refuses the model: OLICA_ERR_CONFIG
   * with the way out. Every rank calls it, and gets the same result. Not collective. */
  olica_status (*plan)(olica_export *e);
  /* Makes the head of a file, in counted memory; items and places are known. Every rank, like plan. The
   * frame pads it with `pad` up to head_align. */
  olica_status (*head)(olica_export *e, int file, char **head, size_t *bytes);
  char pad;
  /* Reads the shapes of the layers of such a directory off its config.json into `shape` [L], and changes the
   * config into that of a family: for verification. NULL: it is one already, and all layers are of its shape.
   * Errors name the file. Not collective. */
  olica_status (*shapes)(olica_env *env, const char *name, json_t *config, olica_layer_shape **shape);
  /* Writes the files of a directory that are no tensors, by olica_export_save. NULL: there are none. Rank 0;
   * not collective. */
  olica_status (*beside)(olica_export *e);
} olica_export_kind;

extern const olica_export_kind olica_export_hf, olica_export_compact, olica_export_gguf;

/* Tells whether compact writes that family. Pure. */
bool olica_compact_knows(const olica_family *family);

/* The file that marks a directory as an export under way, or as one that is being replaced; it goes once the
 * directory has its name. */
#define OLICA_EXPORT_MARK ".olica_export_under_way"

/* The list of a directory's files, written last. */
#define OLICA_EXPORT_LIST "olica_export.json"

enum { OLICA_EXPORT_HELD = 4, OLICA_EXPORT_NOTES = 32, OLICA_EXPORT_NOTE = 512 };

/* One output under way. */
struct olica_export {
  olica_context *context;
  olica_env *env;
  const olica_export_kind *kind;
  const olica_export_options *options;
  const char *path, *checkpoint;   /* the output's final name; the checkpoint's */
  char part[OLICA_FILE_PATH];      /* the output's temporary name */
  olica_source *source;            /* the checkpoint: arch, shape[L], tied or not, config's text */
  olica_export_type type;          /* of matrices (and, in a directory, of all) */
  json_t *config;                  /* the source's config.json, parsed; borrowed */
  json_t *settings, *provenance;   /* the checkpoint's texts of these names; NULL: none */
  char directory[OLICA_FILE_PATH]; /* the source model's directory; "": it is gone */
  const olica_bundle *bundle; /* tokenizer files: of the checkpoint, generation_config of the directory */
  int count, files;
  size_t room;
  olica_export_item *item; /* [count] */
  olica_export_file *file; /* [files] */
  void *own;               /* the kind's, in counted memory, freed by the frame */
  int notes;               /* what was padded or changed: for the log and the model card */
  char note[OLICA_EXPORT_NOTES][OLICA_EXPORT_NOTE];
  double small, numbers; /* numbers that became 0 on this rank, and all */
  json_t *beside;        /* rank 0: name -> {bytes, crc32} of the files beside the tensors */
  struct {
    const olica_tensor *tensor;
    float *numbers;
    long used;
  } held[OLICA_EXPORT_HELD];
  long clock;
};

/* Adds an item; the frame copies it. Every rank, like plan. */
olica_status olica_export_add(olica_export *e, const olica_export_item *item);

/* Notes what was padded or cannot be seen from outside, one sentence: rank 0 logs it, and it stands in the
 * model card. Every rank, like plan. */
void olica_export_note(olica_export *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Refuses the model: "export hf:DIR: ...". Returns OLICA_ERR_CONFIG. */
olica_status olica_export_refuse(olica_export *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads rows [first, first + count) of a stored tensor in fp32; a vector has rows of one column. Not
 * collective. */
olica_status olica_export_rows(olica_export *e, olica_tensor_id id, int layer, int64_t first, int64_t count,
                               float *rows);

/* Gives a whole stored tensor in fp32, kept until OLICA_EXPORT_HELD others have been asked for. Not
 * collective. */
olica_status olica_export_whole(olica_export *e, olica_tensor_id id, int layer, const float **numbers);

/* Return whether the checkpoint has a tensor, and the shape of a layer. Pure. */
bool olica_export_has(const olica_export *e, olica_tensor_id id, int layer);
static inline const olica_layer_shape *olica_export_shape(const olica_export *e, int layer) {
  return &e->source->shape[layer];
}

/* Frees what an export holds in counted memory, and its list of files. Not collective. */
void olica_export_forget(olica_export *e);

/* Rank 0: writes a file of the directory, synced, and books its size and checksum. */
olica_status olica_export_save(olica_export *e, const char *name, const void *data, size_t bytes);
/* Writes it with keys in their order, or `sorted`. */
olica_status olica_export_save_json(olica_export *e, const char *name, const json_t *value, bool sorted);

#endif
