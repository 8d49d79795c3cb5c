/* tokenizer FILE TEXT: MB/s of a tokenizer.json on one core, the median of several runs over the whole text.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"
#include "text/tokenizer.h"

enum { TIMES = 5 };

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static olica_status run(olica_env *env, const char *path, const char *text_path, double *rate,
                        size_t *count) {
  char *file, *text;
  size_t bytes, text_bytes;
  olica_tokenizer *tokenizer;
  OLICA_TRY(olica_file_load(env, path, (size_t)1 << 28, &file, &bytes));
  OLICA_TRY(olica_file_load(env, text_path, (size_t)1 << 30, &text, &text_bytes));
  OLICA_TRY(olica_tokenizer_parse(env, path, OLICA_TOKENIZER_JSON, file, bytes, &tokenizer));
  for (int i = 0; i < TIMES; i++) {
    olica_tokens tokens = {0};
    double since = olica_timer_now();
    OLICA_TRY(olica_tokenizer_encode(tokenizer, text, text_bytes, false, &tokens));
    rate[i] = 1e-6 * (double)text_bytes / (olica_timer_now() - since);
    *count = tokens.count;
    OLICA_FREE(env, tokens.id);
  }
  olica_tokenizer_close(tokenizer);
  return OLICA_OK;
}

int main(int argc, char **argv) {
  double rate[TIMES];
  size_t count;
  olica_env *env = olica_env_create();
  if (!env || argc != 3 || run(env, argv[1], argv[2], rate, &count) != OLICA_OK) {
    fprintf(stderr, "%s\n", env && argc == 3 ? env->error.text : "usage: tokenizer FILE TEXT");
    return 1;
  }
  qsort(rate, TIMES, sizeof *rate, compare);
  printf("%.1f MB/s, %zu ids\n", rate[TIMES / 2], count);
  olica_env_destroy(env);
  return 0;
}
