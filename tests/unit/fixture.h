/* A fixture for tests of files: an environment, a context of one rank, and a temporary directory. Each test
 * gets a fresh one as its *state; the test's main calls MPI_Init and MPI_Finalize. */
#ifndef OLICA_TESTS_FIXTURE_H
#define OLICA_TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

#include "par/context.h"

typedef struct fixture {
  olica_env *env;
  olica_context *context;
  char directory[256];
} fixture;

static int fixture_make(void **state) {
  fixture *f = calloc(1, sizeof *f);
  const char *temporary = getenv("TMPDIR");
  snprintf(f->directory, sizeof f->directory, "%s/olica.XXXXXX", temporary ? temporary : "/tmp");
  if (!mkdtemp(f->directory) || !(f->env = olica_env_create())) return -1;
  *state = f;
  return olica_context_create(f->env, MPI_COMM_WORLD, 1, &f->context);
}

static inline int fixture_remove(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info, (void)kind, (void)where;
  return remove(path);
}

static int fixture_free(void **state) {
  fixture *f = *state;
  int result = nftw(f->directory, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
  olica_context_destroy(f->context);
  olica_env_destroy(f->env);
  free(f);
  return result;
}

/* Returns the path of `name` inside the test's directory; valid as long as the fixture. */
static inline const char *fixture_path(fixture *f, const char *name) {
  size_t bytes = strlen(f->directory) + strlen(name) + 2;
  char *path = olica_memory_get(f->env, "path", bytes, 1);
  snprintf(path, bytes, "%s/%s", f->directory, name);
  return path;
}

/* Creates a file in the test's directory, and returns its path. */
static inline const char *fixture_put(fixture *f, const char *name, const void *data, size_t bytes) {
  const char *path = fixture_path(f, name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, bytes, file), bytes);
  assert_int_equal(fclose(file), 0);
  return path;
}

/* Checks that the status is `code`, and that the message is one line that contains both words. */
static inline void fixture_expect(fixture *f, olica_status status, olica_status code, const char *word,
                                  const char *other) {
  const char *text = f->env->error.text;
  if (status != code || !strstr(text, word) || !strstr(text, other) || strchr(text, '\n'))
    fail_msg("status %d, expected %d; message \"%s\", expected one line with \"%s\" and \"%s\"", status, code,
             text, word, other);
  olica_error_clear(f->env);
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_free)

#endif
