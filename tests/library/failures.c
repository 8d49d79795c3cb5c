/* Calls of the library that fail, and those behind them that must work: failures MODEL. Prints a line each on
 * rank 0: name, code, message. */
#include <olica.h>
#include <stdio.h>
#include <stdlib.h>

static int rank;

static void say(olica *o, const char *name, int status) {
  if (rank == 0) printf("%s|%d|%s\n", name, status, olica_message(o));
}

static void try_layers(olica *o, olica_model *model) {
  int count;
  const olica_model_tensor *tensor;
  say(o, "no such layer", olica_model_layer(model, 99, &count, &tensor));
  say(o, "before the first", olica_model_layer(model, -1, &count, &tensor));
  say(o, "last layer", olica_model_layer(model, olica_model_about(model)->layers - 1, &count, &tensor));
  say(o, "first layer", olica_model_layer(model, 0, &count, &tensor));
  if (rank == 0) printf("tensors|%d|%s\n", count, tensor[0].name);
}

static void try_runs(olica *o, const char *path) {
  char model[4096], *report;
  snprintf(model, sizeof model, "model.path=%s", path);
  const char *const eigen[] = {model,
                               "calibration.tokens=calibration.npy",
                               "calibration.samples=6",
                               "calibration.length=16",
                               "prune.sparsity=0.3",
                               "prune.mlp_num=1",
                               "solver.eigen=slepc",
                               "output.checkpoint=pruned.h5",
                               "output.report=",
                               "output.overwrite=yes"};
  for (int i = 0; i < 2; i++) {
    say(o, "run by slepc", olica_run(o, NULL, 10, eigen, &report));
    if (rank == 0) printf("report|%d|\n", report && report[0] == '{');
    free(report);
  }
  say(o, "no config", olica_run(o, "absent.ini", 0, NULL, &report));
  if (rank == 0) printf("no report|%d|\n", report == NULL);
  say(o, "no setting", olica_run(o, NULL, 1, (const char *const[]){"prune.sparsty=0.1"}, NULL));
}

int main(int argc, char **argv) {
  olica_model *model;
  double perplexity;
  int64_t datasets, bytes;
  olica *o = olica_create();
  if (argc != 2 || !o || !olica_start(o, 0, NULL)) return 1;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &(int){0});
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  say(o, "attach", olica_attach(o, MPI_COMM_WORLD));
  olica_quiet(o, true);
  say(o, "no model", olica_model_open(o, "absent", &model));
  if (rank == 0) printf("no handle|%d|\n", model == NULL);
  olica_model_close(model);
  say(o, "model", olica_model_open(o, argv[1], &model));
  try_layers(o, model);
  try_runs(o, argv[1]);
  say(o, "verify", olica_verify(o, "pruned.h5", &datasets, &bytes));
  if (rank == 0) printf("checked|%d|\n", datasets > 0 && bytes > 0);
  say(o, "no checkpoint", olica_verify(o, "absent.h5", &datasets, &bytes));
  say(o, "no text", olica_evaluate(o, argv[1], "absent.txt", &perplexity));
  say(o, "text", olica_evaluate(o, argv[1], "text.txt", &perplexity));
  if (rank == 0) printf("perplexity|%d|%.9g\n", perplexity > 1, perplexity);
  olica_model_close(model);
  say(o, "what was open is closed", 0);
  olica_destroy(o);
  MPI_Finalize();
  return 0;
}
