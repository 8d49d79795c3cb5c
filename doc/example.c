/* Opens a model, shows its layers, counts the tokens of a sentence, prunes as a config file says, and
 * measures the result:    mpirun -n 2 ./example MODEL CONFIG CHECKPOINT TEXT */
#include <olica.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int show(olica *o, const char *path, bool root) {
  const char *sentence = "Once upon a time";
  olica_model *model;
  const olica_model_tensor *tensor;
  int status = olica_model_open(o, path, &model), count;
  if (status) return status;
  const olica_model_info *info = olica_model_about(model);
  if (root) printf("%s: %d layers, %.2f M parameters\n", info->family, info->layers, info->parameters / 1e6);
  for (int i = 0; i < info->layers && (status = olica_model_layer(model, i, &count, &tensor)) == 0; i++)
    for (int t = 0; root && t < count; t++)
      if (tensor[t].dims == 2)
        printf("%s: %lld x %lld\n", tensor[t].name, (long long)tensor[t].shape[0],
               (long long)tensor[t].shape[1]);
  int64_t tokens;
  int32_t *ids;
  if (status == 0) status = olica_tokenize(model, sentence, strlen(sentence), &tokens, &ids);
  if (status == 0 && root) printf("\"%s\": %lld tokens\n", sentence, (long long)tokens);
  if (status == 0) free(ids);
  olica_model_close(model);
  return status;
}

int main(int argc, char **argv) {
  int rank, status = 2;
  double before, after;
  olica *o = olica_create();
  if (argc != 5 || !o || !olica_start(o, 0, argv)) return olica_destroy(o), status;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  status = olica_attach(o, MPI_COMM_WORLD);
  olica_quiet(o, true);
  if (status == 0) status = show(o, argv[1], rank == 0);
  if (status == 0) status = olica_run(o, argv[2], 0, NULL, NULL);
  if (status == 0) status = olica_evaluate(o, argv[1], argv[4], &before);
  if (status == 0) status = olica_evaluate(o, argv[3], argv[4], &after);
  if (status == 0 && rank == 0) printf("perplexity: %.4f before, %.4f after\n", before, after);
  if (status && rank == 0) fprintf(stderr, "example: %s\n", olica_message(o));
  olica_destroy(o);
  MPI_Finalize();
  return status;
}
