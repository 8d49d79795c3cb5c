/* Room base: statuses, messages, counted memory, warnings, timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/env.h"
#include "base/ledger.h"

static int make_env(void **state) {
  *state = olica_env_create();
  return *state ? 0 : -1;
}

static int free_env(void **state) {
  olica_env_destroy(*state);
  return 0;
}

/* ---- status and messages ---- */

static void status_names_differ(void **state) {
  (void)state;
  const olica_status all[] = {OLICA_OK,          OLICA_ERR_CONFIG, OLICA_ERR_INPUT,    OLICA_ERR_IO,
                              OLICA_ERR_NUMERIC, OLICA_ERR_MEMORY, OLICA_ERR_INTERNAL, OLICA_STOPPED};
  const int count = sizeof all / sizeof *all;
  for (int i = 0; i < count; i++)
    for (int j = 0; j < i; j++) assert_string_not_equal(olica_status_name(all[i]), olica_status_name(all[j]));
  assert_string_equal(olica_status_name((olica_status)99), "unknown status");
}

static olica_status fails(olica_env *env) {
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: no tensor %s", "a.safetensors", "q");
}

static olica_status hands_up(olica_env *env) {
  OLICA_TRY(fails(env));
  return OLICA_OK;
}

static void error_is_handed_up_with_context(void **state) {
  olica_env *env = *state;
  assert_int_equal(hands_up(env), OLICA_ERR_INPUT);
  assert_int_equal(env->error.code, OLICA_ERR_INPUT);
  assert_string_equal(env->error.text, "a.safetensors: no tensor q");
  assert_int_equal(olica_error_context(env, "layer %d: ", 3), OLICA_ERR_INPUT);
  assert_string_equal(env->error.text, "layer 3: a.safetensors: no tensor q");
  assert_int_equal(olica_error_set(env, OLICA_ERR_IO, "later"), OLICA_ERR_IO);
  assert_string_equal(env->error.text, "later");
  olica_error_clear(env);
  assert_int_equal(env->error.code, OLICA_OK);
  assert_string_equal(env->error.text, "");
}

/* What a file says must not make two lines of one message, or talk to the terminal. */
static void error_is_one_printable_line(void **state) {
  olica_env *env = *state;
  olica_error_set(env, OLICA_ERR_INPUT, "type is \"%s\"", "a\nb\x1b[2J\x7f");
  assert_string_equal(env->error.text, "type is \"a?b?[2J?\"");
  olica_error_context(env, "%s: ", "x\ry");
  assert_string_equal(env->error.text, "x?y: type is \"a?b?[2J?\"");
}

static void error_longer_than_its_room_is_cut(void **state) {
  olica_env *env = *state;
  char text[2 * OLICA_ERROR_TEXT];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = '\0';
  olica_error_set(env, OLICA_ERR_INPUT, "%s", text);
  assert_int_equal(strlen(env->error.text), OLICA_ERROR_TEXT - 1);
  olica_error_context(env, "layer 1: ");
  assert_int_equal(strlen(env->error.text), OLICA_ERROR_TEXT - 1);
  assert_memory_equal(env->error.text, "layer 1: xxx", 12);
  olica_error_context(env, "%s", text);
  assert_int_equal(strlen(env->error.text), OLICA_ERROR_TEXT - 1);
}

/* ---- counted memory ---- */

static void memory_is_zeroed_aligned_and_counted(void **state) {
  olica_env *env = *state;
  double *a;
  char *b;
  assert_int_equal(OLICA_NEW(env, a, 100), OLICA_OK);
  assert_int_equal(OLICA_NEW(env, b, 3), OLICA_OK);
  assert_int_equal((uintptr_t)a % 64, 0);
  assert_int_equal((uintptr_t)b % 64, 0);
  for (int i = 0; i < 100; i++) assert_true(a[i] == 0);
  assert_int_equal(env->memory.now, 803);
  OLICA_FREE(env, a);
  assert_null(a);
  assert_int_equal(env->memory.now, 3);
  assert_int_equal(env->memory.peak, 803);
  OLICA_FREE(env, b);
  olica_memory_free(env, NULL);
  assert_int_equal(env->memory.now, 0);
  assert_int_equal(env->memory.peak, 803);
  assert_null(env->memory.blocks);
}

static void tables_grow_and_keep_what_they_hold(void **state) {
  olica_env *env = *state;
  int *table = NULL;
  size_t room = 0, moved = 0;
  for (size_t i = 0; i < 1000; i++) {
    int *before = table;
    assert_int_equal(OLICA_GROW(env, table, room, i, i + 1), OLICA_OK);
    moved += table != before;
    assert_true(room > i);
    table[i] = (int)i;
  }
  for (int i = 0; i < 1000; i++) assert_int_equal(table[i], i);
  assert_true(moved < 10);
  env->memory.limit = env->memory.now;
  int *before = table;
  size_t had = room;
  assert_int_equal(OLICA_GROW(env, table, room, 1000, 2 * room), OLICA_ERR_MEMORY);
  assert_true(table == before && room == had && table[999] == 999);
  olica_memory_free(env, table);
  assert_int_equal(env->memory.now, 0);
}

static void memory_freed_in_any_order(void **state) {
  olica_env *env = *state;
  void *block[5];
  for (size_t i = 0; i < 5; i++) block[i] = olica_memory_get(env, "block", i, 8); /* the first one is empty */
  assert_non_null(block[0]);
  const int order[] = {2, 0, 4, 3, 1};
  for (int i = 0; i < 5; i++) olica_memory_free(env, block[order[i]]);
  assert_int_equal(env->memory.now, 0);
  assert_null(env->memory.blocks);
}

/* Large blocks come again, zeroed, and what is kept beside the live ones stays below the peak. */
static void memory_of_large_blocks_is_used_again(void **state) {
  enum { MIB = 1 << 20 };
  olica_env *env = *state;
  char *first = olica_memory_get(env, "first", 16 * MIB, 1), *other;
  memset(first, 1, 16 * MIB);
  olica_memory_free(env, first);
  assert_int_equal(env->memory.now, 0);
  other = olica_memory_get(env, "second", 15 * MIB, 1);
#ifndef __SANITIZE_ADDRESS__
  assert_ptr_equal(other, first);
#endif
  for (int i = 0; i < 15 * MIB; i++) assert_int_equal(other[i], 0);
  assert_int_equal(env->memory.now, 15 * MIB);
  olica_memory_free(env, other);
  other = olica_memory_get(env, "a smaller one", 8 * MIB, 1);
  assert_true(env->memory.kept_bytes == 0); /* 16 MiB beside 8 would be more than the peak */
  assert_int_equal(env->memory.peak, 16 * MIB);
  olica_memory_free(env, other);
  assert_int_equal(olica_memory_count(env, "elsewhere", 12 * MIB), OLICA_OK);
  assert_true(env->memory.kept_bytes == 0);
  olica_memory_uncount(env, 12 * MIB);
}

static void memory_overflow_is_an_error(void **state) {
  olica_env *env = *state;
  const size_t sizes[][2] = {
      {SIZE_MAX, 2}, {SIZE_MAX / 2, 2}, {SIZE_MAX, 1}, {(size_t)1 << 33, (size_t)1 << 33}};
  for (int i = 0; i < 4; i++) {
    assert_null(olica_memory_get(env, "Gram matrix", sizes[i][0], sizes[i][1]));
    assert_int_equal(env->error.code, OLICA_ERR_MEMORY);
    assert_non_null(strstr(env->error.text, "Gram matrix"));
  }
  assert_int_equal(env->memory.now, 0);
  assert_int_equal(env->memory.peak, 0);
}

static void memory_limit_holds(void **state) {
  olica_env *env = *state;
  env->memory.limit = 1000;
  char *a, *b;
  assert_int_equal(OLICA_NEW(env, a, 600), OLICA_OK);
  assert_int_equal(OLICA_NEW(env, b, 401), OLICA_ERR_MEMORY);
  assert_non_null(strstr(env->error.text, "401"));
  assert_non_null(strstr(env->error.text, "1000"));
  assert_int_equal(OLICA_NEW(env, b, 400), OLICA_OK);
  assert_int_equal(env->memory.now, 1000);
  env->memory.limit = 500; /* lowered below what is in use: nothing more, but no wrap-around */
  assert_null(olica_memory_get(env, "more", 1, 1));
  OLICA_FREE(env, a);
  assert_non_null(olica_memory_get(env, "more", 100, 1));
}

static void memory_string_is_a_copy(void **state) {
  olica_env *env = *state;
  char text[] = "calib.npy";
  char *copy = olica_memory_string(env, text);
  text[0] = 'x';
  assert_string_equal(copy, "calib.npy");
  assert_int_equal(env->memory.now, sizeof text);
}

/* ---- warnings ---- */

static void warnings_are_counted_by_text(void **state) {
  olica_env *env = *state;
  for (int i = 0; i < 3; i++) olica_log_warn(env, "%s", "text too short");
  olica_log_warn(env, "another");
  assert_int_equal(env->log.warning_count, 2);
  assert_string_equal(env->log.warnings[0].text, "text too short");
  assert_int_equal(env->log.warnings[0].count, 3);
  assert_int_equal(env->log.warnings[1].count, 1);
}

static void warnings_past_the_table_do_no_harm(void **state) {
  olica_env *env = *state;
  for (int i = 0; i < OLICA_WARNINGS_MAX + 5; i++) olica_log_warn(env, "warning %d", i);
  assert_int_equal(env->log.warning_count, OLICA_WARNINGS_MAX);
  olica_log_warn(env, "warning 0");
  assert_int_equal(env->log.warnings[0].count, 2);
}

/* ---- timers ---- */

static const olica_timer *timer(const olica_env *env, const char *name) {
  for (int i = 0; i < env->timers.count; i++)
    if (strcmp(env->timers.timer[i].name, name) == 0) return &env->timers.timer[i];
  return NULL;
}

static void wait_ms(int ms) {
  double end = olica_timer_now() + 1e-3 * ms;
  while (olica_timer_now() < end) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void phases_never_overlap(void **state) {
  olica_env *env = *state;
  double begin = olica_timer_now();
  olica_timer_start(&env->timers, "solve");
  wait_ms(5);
  olica_timer_start(&env->timers, "solve.query");
  wait_ms(5);
  olica_timer_start(&env->timers, "read");
  wait_ms(20);
  olica_timer_stop(&env->timers);
  olica_timer_stop(&env->timers);
  olica_timer_stop(&env->timers);
  double wall = olica_timer_now() - begin;
  const olica_timer *solve = timer(env, "solve"), *query = timer(env, "solve.query"),
                    *read = timer(env, "read");
  assert_int_equal(env->timers.depth, 0);
  assert_int_equal(env->timers.count, 3);
  assert_true(read->seconds >= 0.020 && solve->seconds >= 0.010);
  assert_true(solve->seconds + read->seconds <= wall && solve->seconds + read->seconds > wall - 2e-3);
  assert_true(query->seconds >= 0.025); /* a finer timer runs on: it pauses nothing and is not paused */
}

static void phases_of_one_name_add_up(void **state) {
  olica_env *env = *state;
  for (int i = 0; i < 3; i++) {
    olica_timer_start(&env->timers, "read");
    wait_ms(2);
    olica_timer_stop(&env->timers);
  }
  assert_int_equal(timer(env, "read")->calls, 3);
  assert_true(timer(env, "read")->seconds >= 0.006);
}

static void work_is_booked_on_what_runs(void **state) {
  olica_env *env = *state;
  olica_timer_work(&env->timers, 1, 1); /* nothing runs: lost */
  olica_timer_start(&env->timers, "solve");
  olica_timer_start(&env->timers, "solve.query");
  olica_timer_work(&env->timers, 10, 1);
  olica_timer_stop(&env->timers);
  olica_timer_start(&env->timers, "read"); /* pauses solve */
  olica_timer_work(&env->timers, 0, 7);
  olica_timer_stop(&env->timers);
  olica_timer_work(&env->timers, 5, 0);
  olica_timer_stop(&env->timers);
  assert_true(timer(env, "solve")->flops == 15 && timer(env, "solve")->bytes == 1);
  assert_true(timer(env, "solve.query")->flops == 10 && timer(env, "solve.query")->bytes == 1);
  assert_true(timer(env, "read")->flops == 0 && timer(env, "read")->bytes == 7);
}

static void collectives_are_booked_on_what_runs(void **state) {
  olica_env *env = *state;
  double second_ago = olica_timer_now() - 1;
  olica_timer_start(&env->timers, "solve");
  olica_timer_work(&env->timers, 0, 3); /* bytes of a file */
  olica_timer_start(&env->timers, "solve.query");
  olica_timer_comm(&env->timers, second_ago, 5);
  olica_timer_stop(&env->timers);
  olica_timer_start(&env->timers, "read");
  olica_timer_comm(&env->timers, second_ago, 7);
  olica_timer_comm(&env->timers, second_ago, 7);
  olica_timer_stop(&env->timers);
  olica_timer_stop(&env->timers);
  const olica_timer *solve = timer(env, "solve"), *query = timer(env, "solve.query"),
                    *read = timer(env, "read");
  assert_true(solve->comm.calls == 1 && solve->comm.bytes == 5 && solve->bytes == 8);
  assert_true(query->comm.calls == 1 && query->comm.bytes == 5 && query->bytes == 5);
  assert_true(read->comm.calls == 2 && read->comm.bytes == 14 && read->bytes == 14);
  assert_true(solve->comm.seconds >= 1 && solve->comm.seconds == query->comm.seconds &&
              read->comm.seconds >= 2);
}

/* ---- estimates ---- */

typedef struct thing {
  size_t n;
  double *wide;
  char *bytes;
  float *none, *last;
  void *block;
} thing;

static size_t lay_out(thing *t, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, t->wide, t->n);
  OLICA_TAKE(&arena, t->bytes, t->n);
  OLICA_TAKE(&arena, t->none, 0);
  OLICA_TAKE(&arena, t->last, 1);
  return arena.used;
}

/* What is measured is what is allocated; pieces are aligned, zeroed, and do not overlap. */
static void arena_measures_what_it_lays_out(void **state) {
  olica_env *env = *state;
  const size_t counts[] = {0, 1, 7, 8, 64, 1000};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    thing t = {.n = counts[i]};
    size_t before = env->memory.now, measured = lay_out(&t, NULL);
    assert_null(t.wide);
    assert_null(t.last);
    assert_int_equal(OLICA_LAY_OUT(env, "a thing", t.block, lay_out, &t), OLICA_OK);
    assert_int_equal(env->memory.now - before, measured);
    assert_int_equal((uintptr_t)t.wide % 64 + (uintptr_t)t.bytes % 64 + (uintptr_t)t.last % 64, 0);
    assert_true((char *)(t.wide + t.n) <= t.bytes && t.bytes + t.n <= (char *)t.last);
    assert_true((char *)(t.last + 1) <= (char *)t.block + measured);
    for (size_t k = 0; k < t.n; k++) assert_true(t.wide[k] == 0 && t.bytes[k] == 0);
    olica_memory_free(env, t.block);
  }
  env->memory.limit = env->memory.now + 100;
  thing t = {.n = 100};
  assert_int_equal(OLICA_LAY_OUT(env, "a thing", t.block, lay_out, &t), OLICA_ERR_MEMORY);
  assert_non_null(strstr(env->error.text, "a thing"));
}

static void ledger_has_the_peaks(void **state) {
  (void)state;
  olica_ledger ledger = {.node_ranks = 3};
  olica_hold first = olica_ledger_hold(&ledger, 100);
  olica_hold shared = olica_ledger_hold_node(&ledger, 100); /* 34 a rank */
  assert_int_equal(ledger.peak, 134);
  olica_ledger_release(&ledger, first);
  olica_ledger_touch(&ledger, 60);
  assert_int_equal(ledger.now, 34);
  assert_int_equal(ledger.peak, 134);
  olica_hold mark = olica_ledger_mark(&ledger);
  olica_ledger_hold(&ledger, 10);
  olica_ledger_hold_node(&ledger, 30);
  olica_hold since = olica_ledger_since(&ledger, mark);
  assert_int_equal(since.rank, 20);
  assert_int_equal(since.node, 30);
  olica_ledger_rewind(&ledger, mark);
  olica_ledger_release(&ledger, shared);
  assert_int_equal(ledger.now + ledger.node, 0);
  assert_int_equal(ledger.node_peak, 130);
}

/* Moments of their own, replayed on another ledger; alternatives, of which the larger counts. */
static void ledger_replays_moments(void **state) {
  (void)state;
  olica_ledger ledger = {.node_ranks = 2}, moments = olica_ledger_empty(&ledger);
  olica_ledger_hold(&moments, 5);
  olica_ledger_release(&moments, olica_ledger_hold_node(&moments, 40));
  olica_ledger_reserve(&moments, 7);
  olica_ledger_hold(&ledger, 1000);
  olica_hold held = olica_ledger_replay(&ledger, &moments);
  assert_int_equal(held.rank, 5);
  assert_int_equal(ledger.now, 1005);
  assert_int_equal(ledger.peak, 1025);
  assert_int_equal(ledger.node_peak, 40);
  assert_int_equal(ledger.workspace, 7);
  for (size_t bytes = 30; bytes >= 10; bytes -= 10) {
    olica_ledger one = ledger;
    olica_ledger_hold(&one, bytes);
    olica_ledger_join(&ledger, &one);
  }
  assert_int_equal(ledger.now, 1005);
  assert_int_equal(ledger.peak, 1035);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_env, free_env)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(arena_measures_what_it_lays_out),
      TEST(ledger_has_the_peaks),
      TEST(ledger_replays_moments),
      TEST(status_names_differ),
      TEST(error_is_handed_up_with_context),
      TEST(error_is_one_printable_line),
      TEST(error_longer_than_its_room_is_cut),
      TEST(memory_is_zeroed_aligned_and_counted),
      TEST(tables_grow_and_keep_what_they_hold),
      TEST(memory_freed_in_any_order),
      TEST(memory_of_large_blocks_is_used_again),
      TEST(memory_overflow_is_an_error),
      TEST(memory_limit_holds),
      TEST(memory_string_is_a_copy),
      TEST(warnings_are_counted_by_text),
      TEST(warnings_past_the_table_do_no_harm),
      TEST(phases_never_overlap),
      TEST(phases_of_one_name_add_up),
      TEST(work_is_booked_on_what_runs),
      TEST(collectives_are_booked_on_what_runs),
  };
  return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
