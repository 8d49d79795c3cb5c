/* Room eval: how rows become questions, lists of tasks, the running log-sum-exp. */
#include "fixture.h"

#include <math.h>
#include <mpi.h>

#include "eval/likelihood.h"
#include "eval/task_files.h"
#include "io/json.h"

static olica_status make(fixture *f, const char *task, const char *row, olica_question_text *question) {
  json_t *object;
  assert_int_equal(olica_json_parse(f->env, "q.jsonl:7", row, strlen(row), &object), OLICA_OK);
  olica_status status = olica_question_make(f->env, olica_task_find(task), "q.jsonl:7", object, question);
  json_decref(object);
  return status;
}

/* A pair as it must come out. */
typedef struct expected {
  const char *context, *continuation;
  int characters;
} expected;

static void is_question(fixture *f, const char *task, const char *row, int gold, const expected *pairs,
                        int count) {
  olica_question_text question;
  assert_int_equal(make(f, task, row, &question), OLICA_OK);
  assert_int_equal(question.gold, gold);
  assert_int_equal(question.choices, count);
  for (int i = 0; i < count; i++) {
    const olica_choice_text *choice = &question.choice[i];
    assert_int_equal(choice->context, strlen(pairs[i].context));
    assert_memory_equal(choice->text, pairs[i].context, choice->context);
    assert_string_equal(choice->text + choice->context, pairs[i].continuation);
    assert_int_equal(choice->bytes, strlen(choice->text));
    assert_int_equal(choice->characters, pairs[i].characters);
  }
  olica_question_free(f->env, &question);
}

#define PAIRS(...) (const expected[]){__VA_ARGS__}, sizeof((const expected[]){__VA_ARGS__}) / sizeof(expected)

static void prompts_of_the_seven(void **state) {
  fixture *f = *state;
  is_question(
      f, "boolq", "{\"passage\": \"P.\", \"question\": \"is it\", \"answer\": true}", 1,
      PAIRS({"P.\nQuestion: is it?\nAnswer:", " no", 2}, {"P.\nQuestion: is it?\nAnswer:", " yes", 3}));
  is_question(
      f, "boolq", "{\"passage\": \"P.\", \"question\": \"is it\", \"label\": 0}", 0,
      PAIRS({"P.\nQuestion: is it?\nAnswer:", " no", 2}, {"P.\nQuestion: is it?\nAnswer:", " yes", 3}));
  is_question(f, "piqa", "{\"goal\": \"G\", \"sol1\": \"one \", \"sol2\": \"two\", \"label\": 1}", 1,
              PAIRS({"Question: G\nAnswer:", " one ", 4}, {"Question: G\nAnswer:", " two", 3}));
  is_question(f, "hellaswag",
              "{\"ctx\": \"A man\", \"endings\": [\"a\", \"bb\", \"c\", \"d\"], \"label\": 2}", 2,
              PAIRS({"A man", " a", 1}, {"A man", " bb", 2}, {"A man", " c", 1}, {"A man", " d", 1}));
  is_question(f, "winogrande",
              "{\"sentence\": \"Ann met Bo so _ smiled. \", \"option1\": \"Ann\", \"option2\": \"Bo\", "
              "\"answer\": \"2\"}",
              1, PAIRS({"Ann met Bo so Ann", " smiled.", 7}, {"Ann met Bo so Bo", " smiled.", 7}));
  is_question(f, "arc_easy", "{\"question\": \"Q?\", \"choices\": [\"x\", \"y\", \"z\"], \"gold\": 0}", 0,
              PAIRS({"Question: Q?\nAnswer:", " x", 1}, {"Question: Q?\nAnswer:", " y", 1},
                    {"Question: Q?\nAnswer:", " z", 1}));
  is_question(f, "arc_challenge", "{\"question\": \"Q?\", \"choices\": [\"x\", \"y\"], \"gold\": 1}", 1,
              PAIRS({"Question: Q?\nAnswer:", " x", 1}, {"Question: Q?\nAnswer:", " y", 1}));
  is_question(f, "openbookqa", "{\"question\": \"Fog is\", \"choices\": [\"x\", \"y\"], \"gold\": 1}", 1,
              PAIRS({"Fog is", " x", 1}, {"Fog is", " y", 1}));
}

/* "grün", "日本", an emoji of four bytes: characters, not bytes. Spaces of a context move. */
static void characters_and_spaces(void **state) {
  fixture *f = *state;
  is_question(f, "openbookqa",
              "{\"question\": \"Q  \", \"choices\": [\"gr\\u00fcn\", \"\\u65e5\\u672c\", \"\\ud83d\\ude00\", "
              "\" a\"], "
              "\"gold\": 0}",
              0,
              PAIRS({"Q", "   gr\xc3\xbcn", 4}, {"Q", "   \xe6\x97\xa5\xe6\x9c\xac", 2},
                    {"Q", "   \xf0\x9f\x98\x80", 1}, {"Q", "    a", 2}));
  is_question(
      f, "openbookqa",
      "{\"question\": \"Q \\n\\t\\u00a0\\u3000\\u0085\\u001c\", \"choices\": [\"a\", \"b\"], \"gold\": 0}", 0,
      PAIRS({"Q", " \n\t\u00a0\u3000\xc2\x85\x1c a", 1}, {"Q", " \n\t\u00a0\u3000\xc2\x85\x1c b", 1}));
  is_question(f, "openbookqa", "{\"question\": \"Q\\u200b\", \"choices\": [\"a\", \"b\"], \"gold\": 0}", 0,
              PAIRS({"Q\u200b", " a", 1}, {"Q\u200b", " b", 1})); /* no white space */
  is_question(f, "winogrande",
              "{\"sentence\": \"_\\t is.\", \"option1\": \"Ann \", \"option2\": \"B\", \"answer\": 1}", 0,
              PAIRS({"Ann", "  is.", 3}, {"B", " is.", 3}));
  is_question(f, "winogrande",
              "{\"sentence\": \"_\u00a0\u2009is.\u3000\\u0085\", \"option1\": \"Ann\", \"option2\": \"B\", "
              "\"answer\": 1}",
              0, PAIRS({"Ann", " is.", 3}, {"B", " is.", 3}));
}

static void is_published(fixture *f, const char *task, const char *row, int gold, const expected *pairs,
                         int count) {
  olica_question_text question;
  is_question(f, task, row, gold, pairs, count);
  assert_int_equal(make(f, task, row, &question), OLICA_OK);
  assert_true(question.prepared);
  olica_question_free(f->env, &question);
}

/* Expected values are those of preprocess and process_docs of lm-evaluation-harness, by Python. */
static void published_hellaswag(void **state) {
  fixture *f = *state;
  is_published(f, "hellaswag",
               "{\"ind\": 4, \"activity_label\": \"Home\", \"ctx_a\": \"[header] How to [title] Fill  a "
               "pot.\", \"ctx_b\": "
               "\"\", \"ctx\": \"[header] How to [title] Fill  a pot.\", \"endings\": [\"A. [step] B.\", \" "
               "[substeps] C \", "
               "\"[x\\n] d]e\"], \"source_id\": \"w~1\", \"label\": \"1\"}",
               1,
               PAIRS({"Home: How to. Fill a pot.", " A. B.", 5}, {"Home: How to. Fill a pot.", "  C", 2},
                     {"Home: How to. Fill a pot.", " [x\n] d]e", 8}));
  is_published(f, "hellaswag",
               "{\"activity_label\": \" \\u00a0Roof\", \"ctx_a\": \"A man   sits.\", \"ctx_b\": "
               "\"\\u00e9Lan He SAYS\", \"endings\": [\"a\", \"b\"], \"label\": 0}",
               0,
               PAIRS({"Roof: A man  sits. \u00c9lan he says", " a", 1},
                     {"Roof: A man  sits. \u00c9lan he says", " b", 1}));
  is_question(f, "hellaswag",
              "{\"activity_label\": \"Roof\", \"ctx\": \"Roof: he  sits\", \"endings\": [\"a\", \"b\"], "
              "\"label\": 0}",
              0, PAIRS({"Roof: he  sits", " a", 1}, {"Roof: he  sits", " b", 1}));
}

static void published_letters(void **state) {
  fixture *f = *state;
  static const char *const arc[] = {"{\"id\": \"M\", \"question\": \"Q?\", \"choices\": {\"text\": [\"x\", "
                                    "\"y\"], \"label\": [\"A\", \"B\"]}, "
                                    "\"answerKey\": \"B\"}",
                                    "{\"question\": \"Q?\", \"choices\": {\"label\": [\"1\", \"2\"], "
                                    "\"text\": [\"x\", \"y\"]}, \"answerKey\": "
                                    "\"2\"}",
                                    "{\"question\": {\"stem\": \"Q?\", \"choices\": [{\"text\": \"x\", "
                                    "\"label\": \"A\"}, {\"text\": \"y\", "
                                    "\"label\": \"B\"}]}, \"answerKey\": \"B\"}",
                                    "{\"question\": \"Q?\", \"choices\": [{\"text\": \"x\", \"label\": "
                                    "\"A\"}, {\"text\": \"y\", \"label\": "
                                    "\"B\"}], \"answerKey\": \" B\"}"};
  for (size_t i = 0; i < sizeof arc / sizeof *arc; i++)
    is_published(f, i % 2 ? "arc_easy" : "arc_challenge", arc[i], 1,
                 PAIRS({"Question: Q?\nAnswer:", " x", 1}, {"Question: Q?\nAnswer:", " y", 1}));
  is_published(f, "openbookqa",
               "{\"question_stem\": \"Fog is\", \"choices\": {\"text\": [\"x\", \"y\"], \"label\": [\"A\", "
               "\"B\"]}, \"answerKey\": \"A\", \"fact1\": \"\"}",
               0, PAIRS({"Fog is", " x", 1}, {"Fog is", " y", 1}));
  is_published(f, "openbookqa",
               "{\"question\": {\"stem\": \"Fog is\", \"choices\": [{\"text\": \"x\", \"label\": \"A\"}, "
               "{\"text\": \"y\", \"label\": \"B\"}]}, \"answerKey\": \"A\"}",
               0, PAIRS({"Fog is", " x", 1}, {"Fog is", " y", 1}));
}

static void published_boolq(void **state) {
  fixture *f = *state;
  const char *context = "T -- P.\nQuestion: is it?\nAnswer:";
  is_published(f, "boolq",
               "{\"question\": \"is it\", \"title\": \"T\", \"answer\": true, \"passage\": \"P.\"}", 1,
               PAIRS({context, " no", 2}, {context, " yes", 3}));
  is_question(
      f, "boolq",
      "{\"question\": \"is it\", \"title\": \"T\", \"answer\": false, \"label\": 0, \"passage\": \"T -- "
      "P.\"}",
      0, PAIRS({context, " no", 2}, {context, " yes", 3}));
}

static void rows_that_are_no_questions(void **state) {
  fixture *f = *state;
  static const struct {
    const char *task, *row, *word, *other;
  } cases[] = {
      {"boolq", "{\"question\": \"q\", \"answer\": true}", "passage is missing", "a string"},
      {"boolq", "{\"passage\": \"p\", \"question\": 3, \"answer\": true}", "question is 3", "a string"},
      {"boolq", "{\"passage\": \"p\", \"question\": \"q\"}", "answer is missing", "0 to 1"},
      {"boolq", "{\"passage\": \"p\", \"question\": \"q\", \"answer\": \"yes\"}", "answer is the string",
       "0 to 1"},
      {"boolq", "{\"passage\": \"p\", \"question\": \"q\", \"label\": 2}", "label is 2", "0 to 1"},
      {"piqa", "{\"goal\": \"g\", \"sol1\": \"\", \"sol2\": \"b\", \"label\": 0}", "choice 1 is empty",
       "some"},
      {"piqa", "{\"goal\": \"g\", \"sol1\": \"a\", \"label\": 0}", "sol2 is missing", "a string"},
      {"piqa", "{\"goal\": \"g\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": -1}", "label is -1", "0 to 1"},
      {"piqa", "{\"goal\": \"g\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": 0.5}", "label is 0.5",
       "0 to 1"},
      {"hellaswag", "{\"ctx\": \"c\", \"endings\": \"e\", \"label\": 0}", "endings is the string",
       "an array"},
      {"hellaswag", "{\"ctx\": \"c\", \"endings\": [\"e\"], \"label\": 0}", "1 elements", "2 to 32"},
      {"hellaswag", "{\"ctx\": \"c\", \"endings\": [\"e\", null], \"label\": 0}", "endings[1] is null",
       "a string"},
      {"hellaswag", "{\"ctx\": \"c\", \"endings\": [\"e\", \"f\"], \"label\": 2}", "label is 2", "0 to 1"},
      {"winogrande", "{\"sentence\": \"no gap\", \"option1\": \"a\", \"option2\": \"b\", \"answer\": \"1\"}",
       "has no gap", "one gap"},
      {"winogrande",
       "{\"sentence\": \"_ and _.\", \"option1\": \"a\", \"option2\": \"b\", \"answer\": \"1\"}",
       "several gaps", "one gap"},
      {"winogrande",
       "{\"sentence\": \"at the end _ \", \"option1\": \"a\", \"option2\": \"b\", \"answer\": \"1\"}",
       "choice 1 is empty", "some"},
      {"winogrande", "{\"sentence\": \"a _ b\", \"option1\": \"a\", \"option2\": \"b\", \"answer\": \"0\"}",
       "answer is the string \"0\"", "1 to 2"},
      {"winogrande", "{\"sentence\": \"a _ b\", \"option1\": \"a\", \"option2\": \"b\", \"answer\": \"1x\"}",
       "answer is the string \"1x\"", "1 to 2"},
      {"arc_easy", "{\"question\": \"q\", \"choices\": [], \"gold\": 0}", "0 elements", "2 to 32"},
      {"arc_easy", "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 99999999999}", "gold is 9",
       "0 to 1"},
      {"boolq", "{\"question\": \"q\", \"answer\": true, \"text\": \"t\"}", "passage is missing",
       "there is question, answer, text"},
      {"boolq", "{\"passage\": \"p\", \"question\": \"q\", \"answer\": true, \"label\": 0}", "label is 0",
       "what the answer says"},
      {"boolq", "{\"passage\": \"p\", \"question\": \"q\", \"idx\": 1, \"label\": -1}", "label is -1",
       "a split without labels"},
      {"piqa", "{\"goal\": \"g\", \"sol1\": \"a\", \"sol2\": \"b\"}", "label is missing",
       "a file of their own"},
      {"winogrande", "{\"sentence\": \"a _ b\", \"option1\": \"a\", \"option2\": \"b\", \"answer\": \"\"}",
       "answer is the string \"\"", "a split without labels"},
      {"hellaswag", "{\"ctx\": \"c\", \"endings\": [\"e\", \"f\"], \"label\": \"\"}",
       "label is the string \"\"", "a split without labels"},
      {"hellaswag", "{\"ctx\": \"[header] c\", \"endings\": [\"e\", \"f\"], \"label\": 0}",
       "ctx has [header]", "activity_label, ctx_a, ctx_b"},
      {"hellaswag", "{\"ctx\": \"c\", \"endings\": [\"e\", \"f [step] g\"], \"label\": 0}",
       "endings has [step]", "prepared row"},
      {"hellaswag", "{\"activity_label\": \"l\", \"ctx\": \"c\", \"endings\": [\"e\", \"f\"], \"label\": 0}",
       "ctx_a is missing", "as published"},
      {"hellaswag", "{\"ctx_a\": \"l\", \"ctx_b\": \"c\", \"endings\": [\"e\", \"f\"], \"label\": 0}",
       "activity_label is missing", "as published"},
      {"hellaswag",
       "{\"activity_label\": \"l\", \"ctx_a\": \"a\", \"ctx_b\": null, \"endings\": [\"e\", \"f\"], "
       "\"label\": 0}",
       "ctx_b is null", "a string"},
      {"hellaswag",
       "{\"activity_label\": \"l\", \"ctx_a\": \"a\", \"ctx_b\": \"\", \"endings\": [\"e\", \" [step] \"], "
       "\"label\": "
       "0}",
       "choice 2 is empty", "some"},
      {"arc_easy",
       "{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\", \"B\"]}}",
       "answerKey is missing", "one of the labels A, B"},
      {"arc_easy",
       "{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\", \"B\"]}, "
       "\"answerKey\": "
       "\"1\"}",
       "answerKey is the string \"1\"", "one of the labels A, B"},
      {"arc_easy",
       "{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\", \"A\"]}, "
       "\"answerKey\": "
       "\"A\"}",
       "label of 2 choices", "expected one"},
      {"arc_easy",
       "{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\"]}, \"answerKey\": "
       "\"A\"}",
       "2 elements in text and 1 in label", "as many"},
      {"arc_easy",
       "{\"question\": {\"stem\": \"q\", \"choices\": [{\"text\": \"a\"}, {\"text\": \"b\"}]}, "
       "\"answerKey\": \"A\"}",
       "choices: label 0 is missing", "a string"},
      {"arc_easy", "{\"question\": {\"choices\": [\"a\", \"b\"]}, \"gold\": 0}", "question.stem is missing",
       "a string"},
      {"openbookqa", "{\"question_stem\": \"q\", \"choices\": [\"a\", \"b\"], \"answerKey\": \"A\"}",
       "choices is an array", "as published"},
      {"openbookqa", "{\"question\": \"q\", \"choices\": [\"a\", {}], \"gold\": 0}",
       "choices[1] is an object", "a string"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    olica_question_text question;
    olica_status status = make(f, cases[i].task, cases[i].row, &question);
    assert_memory_equal(f->env->error.text, "q.jsonl:7: ", 11);
    fixture_expect(f, status, OLICA_ERR_INPUT, cases[i].word, cases[i].other);
    olica_question_free(f->env, &question);
  }
}

static void lists_of_tasks(void **state) {
  fixture *f = *state;
  olica_task_files files;
  assert_int_equal(
      olica_task_files_parse(f->env, "c.ini:3", "run/c.ini", " boolq : b.jsonl ,piqa:/x/p:q", &files),
      OLICA_OK);
  assert_int_equal(files.count, 2);
  assert_string_equal(files.file[0].task->name, "boolq");
  assert_string_equal(files.file[0].path, "run/b.jsonl");
  assert_string_equal(files.file[1].path, "/x/p:q");
  olica_task_files_free(f->env, &files);
  assert_int_equal(olica_task_files_parse(f->env, "c.ini:3", "c.ini", "", &files), OLICA_OK);
  assert_int_equal(files.count, 0);
  static const struct {
    const char *list, *word, *other;
  } wrong[] = {{"bool:x", "has \"bool\"", "expected some of boolq, piqa"},
               {"boolq:x,", "has \"\"", "expected some of"},
               {"boolq", "boolq has no file", "boolq:FILE"},
               {"boolq:x, piqa:y, boolq:z", "has boolq twice", "once"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    fixture_expect(f, olica_task_files_parse(f->env, "c.ini:3", "c.ini", wrong[i].list, &files),
                   OLICA_ERR_CONFIG, wrong[i].word, wrong[i].other);
}

/* Pieces of any size give the log-likelihood of the whole row, far from zero too. */
static void likelihood_of_pieces(void **state) {
  (void)state;
  enum { V = 1000 };
  static const int64_t pieces[] = {1, 7, 500, V};
  float logits[V];
  for (int far = -1; far <= 1; far++) {
    double exact = 0;
    for (int i = 0; i < V; i++) {
      logits[i] = (float)(300 * far + 10 * sin(i * 1.7));
      exact += exp((double)logits[i] - 300 * far);
    }
    exact = (double)logits[41] - 300 * far - log(exact);
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
      float top;
      double sum;
      olica_likelihood_begin(1, &top, &sum);
      for (int64_t i = 0; i < V; i += pieces[p])
        olica_likelihood_join(logits + i, V - i < pieces[p] ? V - i : pieces[p], &top, &sum);
      assert_true(fabs(olica_likelihood_log(logits[41], top, sum) - exact) < 2e-5);
    }
  }
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(prompts_of_the_seven), FIXTURE_TEST(characters_and_spaces),
      FIXTURE_TEST(published_hellaswag),  FIXTURE_TEST(published_letters),
      FIXTURE_TEST(published_boolq),      FIXTURE_TEST(rows_that_are_no_questions),
      FIXTURE_TEST(lists_of_tasks),       FIXTURE_TEST(likelihood_of_pieces)};
  int failed = cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
