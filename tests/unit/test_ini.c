/* The INI reader: what it takes, and that everything else is refused with its line. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/ini.h"

static int setup(void **state) {
  *state = olica_env_create();
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  olica_env_destroy(*state);
  return 0;
}

static olica_ini parse(olica_env *env, const char *text) {
  olica_ini ini;
  olica_status status = olica_ini_parse(env, "x.ini", text, strlen(text), &ini);
  if (status != OLICA_OK) print_error("%s\n", env->error.text);
  assert_int_equal(status, OLICA_OK);
  return ini;
}

static void is_entry(const olica_ini *ini, int i, const char *section, const char *key, const char *value,
                     int line) {
  assert_true(i < ini->count);
  const olica_ini_entry *entry = &ini->entry[i];
  assert_string_equal(entry->section, section);
  assert_int_equal(entry->line, line);
  if (!key) {
    assert_null(entry->key);
    return;
  }
  assert_string_equal(entry->key, key);
  assert_string_equal(entry->value, value);
}

static void is_refused(olica_env *env, const char *text, size_t bytes, const char *where, const char *why) {
  olica_ini ini;
  assert_int_equal(olica_ini_parse(env, "x.ini", text, bytes, &ini), OLICA_ERR_CONFIG);
  if (strncmp(env->error.text, where, strlen(where)) != 0 || !strstr(env->error.text, why))
    fail_msg("\"%s\", expected \"%s ... %s\"", env->error.text, where, why);
}

#define REFUSED(env, text, where, why) is_refused(env, text, sizeof(text) - 1, where, why)

static void reads_entries(void **state) {
  olica_ini ini = parse(*state, "; comment\n\n[model]\npath = a/b c.h5\n  k\t=\t3  ; three\n[io]\nempty =\n");
  assert_int_equal(ini.count, 5);
  is_entry(&ini, 0, "model", NULL, NULL, 3);
  is_entry(&ini, 1, "model", "path", "a/b c.h5", 4);
  is_entry(&ini, 2, "model", "k", "3", 5);
  is_entry(&ini, 3, "io", NULL, NULL, 6);
  is_entry(&ini, 4, "io", "empty", "", 7);
}

static void keeps_marks_inside_words(void **state) {
  olica_ini ini = parse(*state, "[a]\nx = b#c;d=e\ny = #all comment\nz = 1 # rest\n[ b ] # section\n");
  is_entry(&ini, 1, "a", "x", "b#c;d=e", 2);
  is_entry(&ini, 2, "a", "y", "", 3);
  is_entry(&ini, 3, "a", "z", "1", 4);
  is_entry(&ini, 4, "b", NULL, NULL, 5);
}

static void tolerates_bom_crlf_and_no_last_newline(void **state) {
  olica_ini ini = parse(*state, "\xef\xbb\xbf[a]\r\nx = 1\r\ny = 2");
  assert_int_equal(ini.count, 3);
  is_entry(&ini, 1, "a", "x", "1", 2);
  is_entry(&ini, 2, "a", "y", "2", 3);
}

static void takes_empty_files_and_sections_twice(void **state) {
  assert_int_equal(parse(*state, "").count, 0);
  assert_int_equal(parse(*state, "\xef\xbb\xbf").count, 0);
  olica_ini ini = parse(*state, "[a]\nx=1\n[b]\nx=2\n[a]\ny=3\n");
  is_entry(&ini, 5, "a", "y", "3", 6);
}

static void keeps_long_lines(void **state) {
  enum { LENGTH = 100000 };
  char *text = malloc(LENGTH + 16);
  int used = sprintf(text, "[a]\nx = ");
  memset(text + used, 'v', LENGTH);
  text[used + LENGTH] = '\0';
  olica_ini ini = parse(*state, text);
  assert_int_equal(strlen(ini.entry[1].value), LENGTH);
  free(text);
}

static void refuses_what_does_not_parse(void **state) {
  REFUSED(*state, "[a\nx=1\n", "x.ini:1: ", "']'");
  REFUSED(*state, "[a] x = 1\n", "x.ini:1: ", "\"x = 1\"");
  REFUSED(*state, "[]\n", "x.ini:1: ", "without a name");
  REFUSED(*state, "[a]\nx\n", "x.ini:2: \"x\" has no '='", "key = value");
  REFUSED(*state, "[a]\n = 3\n", "x.ini:2: ", "before the '='");
  REFUSED(*state, "\nx = 1\n[a]\n", "x.ini:2: ", "before any section");
  REFUSED(*state, "[a]\nx=1\n[b]\nx=1\n[a]\nx=1\n", "x.ini:6: [a] x again", "line 2");
}

static void refuses_control_characters(void **state) {
  REFUSED(*state, "[a]\nx = 1\0 2\n", "x.ini:2: ", "0x00");
  REFUSED(*state, "[a]\rx = 1\n", "x.ini:1: ", "0x0d");
  REFUSED(*state, "[a]\nx = \x1b[31m\n", "x.ini:2: ", "0x1b");
}

static void refuses_files_that_are_too_long(void **state) {
  char *text = malloc(OLICA_INI_BYTES + 1);
  memset(text, '\n', OLICA_INI_BYTES + 1);
  is_refused(*state, text, OLICA_INI_BYTES + 1, "x.ini: ", "at most");
  olica_ini ini;
  assert_int_equal(olica_ini_parse(*state, "x.ini", text, OLICA_INI_BYTES, &ini), OLICA_OK);
  free(text);
}

static void gives_memory_back(void **state) {
  olica_env *env = *state;
  olica_ini ini = parse(env, "[a]\nx=1\n");
  olica_ini_free(env, &ini);
  assert_int_equal(env->memory.now, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(reads_entries, setup, teardown),
      cmocka_unit_test_setup_teardown(keeps_marks_inside_words, setup, teardown),
      cmocka_unit_test_setup_teardown(tolerates_bom_crlf_and_no_last_newline, setup, teardown),
      cmocka_unit_test_setup_teardown(takes_empty_files_and_sections_twice, setup, teardown),
      cmocka_unit_test_setup_teardown(keeps_long_lines, setup, teardown),
      cmocka_unit_test_setup_teardown(refuses_what_does_not_parse, setup, teardown),
      cmocka_unit_test_setup_teardown(refuses_control_characters, setup, teardown),
      cmocka_unit_test_setup_teardown(refuses_files_that_are_too_long, setup, teardown),
      cmocka_unit_test_setup_teardown(gives_memory_back, setup, teardown),
  };
  return cmocka_run_group_tests_name("ini", tests, NULL, NULL);
}
