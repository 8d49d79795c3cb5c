/* The log on a terminal (a pseudo-terminal takes the place of standard error) and without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/env.h"
#include "base/progress.h"
#include "base/terminal.h"

/* What is written to standard error, until it is put back. */
typedef struct capture {
  int saved, from; /* standard error as it was; where to read */
  char text[8192];
} capture;

static void capture_on(capture *c, int from, int to) {
  c->from = from;
  c->saved = dup(STDERR_FILENO);
  assert_true(dup2(to, STDERR_FILENO) >= 0);
  close(to);
  fcntl(from, F_SETFL, O_NONBLOCK);
}

static void capture_terminal(capture *c, int columns) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  struct winsize window = {.ws_row = 24, .ws_col = (unsigned short)columns};
  assert_true(slave >= 0 && ioctl(slave, TIOCSWINSZ, &window) == 0);
  capture_on(c, master, slave);
}

static void capture_pipe(capture *c) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  capture_on(c, ends[0], ends[1]);
}

/* Puts standard error back; what was written is in text. */
static void capture_off(capture *c) {
  size_t bytes = 0;
  for (ssize_t n; (n = read(c->from, c->text + bytes, sizeof c->text - 1 - bytes)) > 0;) bytes += (size_t)n;
  c->text[bytes] = '\0';
  dup2(c->saved, STDERR_FILENO);
  close(c->saved);
  close(c->from);
}

static olica_env *speaker(void) {
  olica_env *env = olica_env_create();
  assert_non_null(env);
  env->log.speaks = true;
  olica_log_open(env);
  return env;
}

static int set_terminal(void **state) {
  (void)state;
  unsetenv("NO_COLOR");
  unsetenv("OMPI_COMM_WORLD_RANK"); /* the test may run under a launcher, and that on a terminal */
  unsetenv("PMIX_RANK");
  return setenv("TERM", "xterm", 1);
}

static void work(olica_env *env) {
  olica_progress progress = olica_progress_begin("survey layer", 3, 0);
  olica_log_line(env, "a line%s", "\033[2J of a file's own\n");
  for (int done = 1; done <= 3; done++) {
    olica_progress_step(env, &progress, done, done == 2 ? "error 0.5" : "");
    if (done == 1) olica_log_warn(env, "be warned");
    if (done == 2) olica_log_warn(env, "be warned");
  }
  olica_progress_end(env);
  olica_error_set(env, OLICA_ERR_INPUT, "x.npy: bad");
  olica_log_failure(env);
}

static const char *contains(const capture *c, const char *words) {
  const char *found = strstr(c->text, words);
  if (!found) fail_msg("no \"%s\" in \"%s\"", words, c->text);
  return found;
}

static void plain_lines_without_a_terminal(void **state) {
  (void)state;
  capture c = {0};
  capture_pipe(&c);
  olica_env *env = speaker();
  work(env);
  olica_env_destroy(env);
  capture_off(&c);
  assert_null(strchr(c.text, '\033'));
  assert_null(strchr(c.text, '\r'));
  int lines = 0;
  for (char *line = strtok(c.text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
    static const char *const said[] = {"INFO  a line?[2J of a file's own?",
                                       "INFO  survey layer 0 (1 of 3), ",
                                       "WARN  be warned",
                                       "INFO  survey layer 1 (2 of 3): error 0.5, ",
                                       "INFO  survey layer 2 (3 of 3), 0 s left in this sweep",
                                       "ERROR olica_mpi: input error: x.npy: bad"};
    int year, month, day, hour, minute, second, used = 0;
    sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2dZ %n", &year, &month, &day, &hour, &minute, &second, &used);
    assert_int_equal(used, 21);
    assert_true(lines < 6);
    if (strncmp(line + used, said[lines], strlen(said[lines])) != 0) fail_msg("%s", line);
  }
  assert_int_equal(lines, 6);
}

/* Characters between one \r or \n and the next that a terminal shows. */
static size_t widest(const char *text) {
  size_t most = 0, width = 0;
  for (; *text; text++) {
    if (*text == '\033')
      text += strcspn(text, "mK");
    else if (*text == '\r' || *text == '\n')
      width = 0;
    else if (++width > most)
      most = width;
  }
  return most;
}

static void one_line_is_rewritten_on_a_terminal(void **state) {
  (void)state;
  for (int columns = 20; columns <= 130; columns += 10) {
    capture c = {0};
    capture_terminal(&c, columns);
    olica_env *env = speaker();
    olica_progress progress = olica_progress_begin("survey layer", 30, 0);
    for (int done = 1; done <= 30; done++) olica_progress_step(env, &progress, done, "not beside the bar");
    olica_progress_end(env);
    olica_env_destroy(env);
    capture_off(&c);
    assert_null(strchr(c.text, '\n'));
    assert_null(strstr(c.text, "not beside"));
    contains(&c, "survey layer 30/30");
    if (columns >= 50) contains(&c, "##] 100% 0 s left");
    assert_true(widest(c.text) < (size_t)columns);
    size_t bytes = strlen(c.text);
    assert_string_equal(c.text + bytes - 4, "\r\033[K"); /* nothing stays */
  }
}

static void lines_go_above_the_bar(void **state) {
  (void)state;
  capture c = {0};
  capture_terminal(&c, 100);
  olica_env *env = speaker();
  work(env);
  olica_env_destroy(env);
  capture_off(&c);
  const char *warning = contains(&c, "\r\033[K20"); /* the bar goes, */
  assert_non_null(
      strstr(warning, "\033[33mWARN \033[0m be warned\r\nsurvey layer 1/3")); /* and comes again */
  contains(&c, "\033[31mERROR\033[0m olica_mpi: input error: x.npy: bad\r\n");
  assert_null(strstr(c.text, "\033[2J")); /* a file's own escape codes do not get through */
}

static void no_color_is_respected(void **state) {
  (void)state;
  capture c = {0};
  setenv("NO_COLOR", "1", 1);
  capture_terminal(&c, 100);
  olica_env *env = speaker();
  work(env);
  olica_env_destroy(env);
  capture_off(&c);
  contains(&c, "WARN  be warned");
  contains(&c, "survey layer 3/3");
  assert_null(strstr(c.text, "\033[3"));
}

static void dumb_terminals_get_plain_lines(void **state) {
  (void)state;
  static const char *const kinds[] = {"dumb", "", NULL};
  for (int i = 0; i < 3; i++) {
    capture c = {0};
    if (kinds[i])
      setenv("TERM", kinds[i], 1);
    else
      unsetenv("TERM");
    capture_terminal(&c, 100);
    olica_env *env = speaker();
    work(env);
    olica_env_destroy(env);
    capture_off(&c);
    contains(&c, "INFO  survey layer 2 (3 of 3), 0 s left in this sweep\r\n");
    assert_null(strchr(c.text, '\033'));
  }
}

static void quiet_is_warnings_and_failures(void **state) {
  (void)state;
  for (int terminal = 0; terminal < 2; terminal++) {
    capture c = {0};
    if (terminal)
      capture_terminal(&c, 100);
    else
      capture_pipe(&c);
    olica_env *env = speaker();
    env->log.quiet = true;
    work(env);
    olica_env_destroy(env);
    capture_off(&c);
    contains(&c, "be warned");
    contains(&c, "x.npy: bad");
    assert_null(strstr(c.text, "INFO"));
    assert_null(strstr(c.text, "survey"));
  }
}

static void only_the_speaker_speaks(void **state) {
  (void)state;
  capture c = {0};
  capture_pipe(&c);
  olica_env *env = olica_env_create();
  work(env);
  assert_int_equal(env->log.warnings[0].count, 2);
  olica_env_destroy(env);
  capture_off(&c);
  assert_string_equal(c.text, "");
}

static void others_warnings_are_passed_on_once(void **state) {
  (void)state;
  capture c = {0};
  capture_pipe(&c);
  olica_env *env = speaker();
  olica_log_warn_times(env, 0, "never");
  olica_log_warn_times(env, 7, "mine");
  olica_log_warn_times(env, 4, "mine");
  olica_log_pass_on(env, "mine");
  olica_log_pass_on(env, "another rank's");
  assert_int_equal(env->log.warning_count, 1);
  assert_int_equal(env->log.warnings[0].count, 11);
  olica_env_destroy(env);
  capture_off(&c);
  assert_null(strstr(c.text, "never"));
  const char *mine = contains(&c, "WARN  mine\n");
  assert_null(strstr(mine + strlen("WARN  mine"), "mine"));
  contains(&c, "WARN  another rank's\n");
}

static void a_stop_is_no_error(void **state) {
  (void)state;
  capture c = {0};
  capture_pipe(&c);
  olica_env *env = speaker();
  env->log.quiet = true;
  olica_error_set(env, OLICA_STOPPED, "SIGUSR1");
  olica_log_failure(env);
  olica_env_destroy(env);
  capture_off(&c);
  contains(&c, "WARN  olica_mpi: stopped early: SIGUSR1\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(plain_lines_without_a_terminal, set_terminal),
      cmocka_unit_test_setup(one_line_is_rewritten_on_a_terminal, set_terminal),
      cmocka_unit_test_setup(lines_go_above_the_bar, set_terminal),
      cmocka_unit_test_setup(no_color_is_respected, set_terminal),
      cmocka_unit_test_setup(dumb_terminals_get_plain_lines, set_terminal),
      cmocka_unit_test_setup(quiet_is_warnings_and_failures, set_terminal),
      cmocka_unit_test_setup(only_the_speaker_speaks, set_terminal),
      cmocka_unit_test_setup(others_warnings_are_passed_on_once, set_terminal),
      cmocka_unit_test_setup(a_stop_is_no_error, set_terminal),
  };
  return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
