/* Helpers of the fuzz targets. A target is one file, fuzz_NAME.c with LLVMFuzzerTestOneInput, and its seeds
 * in seeds/NAME. It is linked with libFuzzer under clang (make fuzz), with replay.c under gcc (make
 * check). */
#ifndef OLICA_TESTS_FUZZ_H
#define OLICA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns an environment that refuses more memory than a small file can need. */
static inline olica_env *fuzz_env(void) {
  olica_env *env = olica_env_create();
  if (!env) exit(1);
  env->memory.limit = (size_t)1 << 30;
  env->log.quiet = true;
  return env;
}

/* Reports a broken contract and aborts, so that the fuzzer records it. */
#define FUZZ_EXPECT(condition)                                                                               \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                \
      abort();                                                                                               \
    }                                                                                                        \
  } while (0)

/* Checks that a failure has a message of one line, and a status that input can cause. */
static inline void fuzz_expect_message(const olica_env *env, olica_status status) {
  FUZZ_EXPECT(status == OLICA_ERR_INPUT || status == OLICA_ERR_MEMORY);
  FUZZ_EXPECT(env->error.code == status && env->error.text[0] && !strchr(env->error.text, '\n'));
}

#endif
