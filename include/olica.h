/* libolica: olica_mpi as a library. A program opens a session on a communicator, then runs jobs from config
 * files, and reads, tokenizes and evaluates models (doc/library.md, with an example):
 *
 *     olica *o = olica_create();
 *     olica_start(o, 0, NULL);                      // before MPI
 *     MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
 *     olica_attach(o, MPI_COMM_WORLD);              // collective
 *     olica_run(o, "config.ini", 0, NULL, NULL);    // collective
 *     olica_destroy(o);                             // collective
 *     MPI_Finalize();
 *
 * Functions that return int return 0, or the exit code that olica_mpi has for the failure: 2 configuration, 3
 * input data, 4 input or output, 5 numerical, 6 memory, 70 a fault of the library, 75 a run that stopped
 * early and can be resumed. All ranks return the same code, and olica_message tells the reason. "Collective"
 * means: on all ranks of the communicator of olica_attach, in the same order, with the same arguments. Only
 * the thread that has called MPI_Init_thread may call the library. */
#ifndef OLICA_H
#define OLICA_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the session ---- */

typedef struct olica olica;

/* Returns the version: "0.1.0". */
const char *olica_version(void);

/* Creates a session; NULL without memory. Call it before MPI_Init. */
olica *olica_create(void);

/* Prepares the process for MPI: the settings of malloc, of MPI-IO, and of ranks that outnumber the cores.
 * With argc > 0 it takes argv for a command line of olica_mpi, answers --help, --version and --list, catches
 * the signals that stop a run, and chooses the kernel of OpenBLAS. With argc = 0 there is no command line; it
 * then chooses the kernel if argv is not NULL. To choose another kernel it starts the program again with
 * argv: open nothing before. Returns false if all is done (an answer, or a failure that needs no MPI): then
 * call olica_destroy. Not collective. */
bool olica_start(olica *o, int argc, char **argv);

/* Attaches the session to a duplicate of `comm`. Call it after MPI_Init_thread. Collective on comm. */
int olica_attach(olica *o, MPI_Comm comm);

/* Sets whether the log has lines and progress, or only warnings; by default it has. Not collective. */
void olica_quiet(olica *o, bool quiet);

/* Returns the message of the last failure: file, key or tensor, found and expected. It is valid until the
 * next call. Not collective. */
const char *olica_message(const olica *o);

/* Frees the session, whose models must be closed; NULL is allowed. Call it before MPI_Finalize. Returns what
 * the last olica_start, olica_attach or olica_command_run came to. Collective once attached. */
int olica_destroy(olica *o);

/* ---- jobs ---- */

/* Runs the command line of olica_start as olica_mpi does, with its answer on standard output and log and
 * failure on standard error. Once a session. Collective. */
int olica_command_run(olica *o);

/* Prunes and evaluates as a config file says, and writes checkpoint and report. `settings` [count], each
 * "section.key=value", replace those of the file; config NULL: there are no others. If `report` is not NULL,
 * *report is the text of report.json on rank 0 (of a run that failed too, once its settings could be read)
 * and NULL elsewhere: free it with free(). Prints nothing to standard output; the log goes to standard error.
 * Collective. */
int olica_run(olica *o, const char *config, int count, const char *const *settings, char **report);

/* Measures the perplexity of a model, a directory or a checkpoint, on a text file (.txt or .jsonl, as
 * [evaluate] text takes it) with the defaults of the settings. Collective. */
int olica_evaluate(olica *o, const char *model, const char *text, double *perplexity);

/* Reads a checkpoint again and checks it: schema, shapes, finite numbers, checksums. *datasets and *bytes
 * were checked. Collective. */
int olica_verify(olica *o, const char *checkpoint, int64_t *datasets, int64_t *bytes);

/* ---- models ---- */

typedef struct olica_model olica_model;

typedef struct olica_model_info {
  const char *family;  /* "llama" */
  bool is_checkpoint;  /* a checkpoint of olica_mpi, else a directory as on Hugging Face */
  bool is_pruned;      /* some layer has not the shape that config.json gives */
  int layers, hidden;  /* L, d */
  int heads, kv_heads; /* of the dense model */
  int head, ffn;       /* numbers of a head; FFN neurons of a layer of the dense model */
  int vocabulary;
  int64_t parameters; /* stored numbers of weights */
} olica_model_info;

/* A tensor of weights, row-major. Owned by the model. */
typedef struct olica_model_tensor {
  char name[192]; /* "model/layers/3/self_attn/q_proj/weight": as in a checkpoint (doc/checkpoint.md) */
  int dims;       /* 1 or 2 */
  int64_t shape[2];
  const float *data; /* fp32, whatever format the file has */
} olica_model_tensor;

/* Opens a directory as on Hugging Face (config.json, .safetensors) or a checkpoint. Checks names, types and
 * shapes of all tensors, and reads no weights. Collective. Free with olica_model_close. */
int olica_model_open(olica *o, const char *path, olica_model **model);

/* Describes the model. Valid until it is closed. Not collective. */
const olica_model_info *olica_model_about(const olica_model *model);

/* Reads a layer, numbered from 0, with checks of its numbers and checksums: tensors [*count] on every rank,
 * valid until the next layer is read or the model is closed. Each layer is read once and sent to the nodes of
 * the other ranks; a node holds it once. Collective. */
int olica_model_layer(olica_model *model, int layer, int *count, const olica_model_tensor **tensors);

/* Tokenizes a text with the model's own tokenizer, with the special tokens that it adds by default: ids
 * [*count], to be freed with free(). Collective. */
int olica_tokenize(olica_model *model, const char *text, size_t bytes, int64_t *count, int32_t **ids);

/* NULL is allowed. Collective. */
void olica_model_close(olica_model *model);

#ifdef __cplusplus
}
#endif

#endif
