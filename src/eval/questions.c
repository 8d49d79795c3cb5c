#include "eval/questions.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "par/comm.h"
#include "par/partition.h"
#include "text/look.h"

/* ---- from a file to the tokens of this rank's share ---- */

/* The words that ranks exchange: for every question its gold, number of choices, and notes on its row,
 * then for every choice tokens, scored, characters, tokens cut off (negative: some of the choice's own among
 * them) and the ids. */
enum { PREPARED = 1, UNUSUAL = 2 }; /* notes */
enum { QUESTION_WORDS = 3, CHOICE_WORDS = 4, FILE_BYTES = 1 << 30, WHERE = 4096, HEAD = 1 << 16 };

typedef struct reader {
  olica_env *env;
  olica_encoder *encoder;
  const olica_questions_options *options;
  const olica_task_file *file;
  olica_tokens whole, context; /* of the pair at hand */
  const char *last;            /* text whose context is in `context`, NULL: none */
  size_t last_bytes;
  olica_tokens out;
} reader;

static olica_status put(reader *r, const int32_t *words, size_t count) {
  olica_tokens *out = &r->out;
  OLICA_TRY(OLICA_GROW(r->env, out->id, out->room, out->count, out->count + count));
  memcpy(out->id + out->count, words, count * sizeof *words);
  out->count += count;
  return OLICA_OK;
}

static olica_status encode(reader *r, const char *where, const char *text, size_t bytes,
                           olica_tokens *tokens) {
  tokens->count = 0;
  olica_special special = r->options->bos ? OLICA_SPECIAL_BOS : OLICA_SPECIAL_NONE;
  olica_status status = olica_encoder_encode(r->encoder, text, bytes, special, tokens);
  return status == OLICA_OK ? OLICA_OK : olica_error_context(r->env, "%s: ", where);
}

/* The choices of a question mostly have one context: it is tokenized once. */
static olica_status encode_context(reader *r, const char *where, const olica_choice_text *choice) {
  bool same =
      r->last && r->last_bytes == choice->context && memcmp(r->last, choice->text, r->last_bytes) == 0;
  if (same) return OLICA_OK;
  r->last = choice->text;
  r->last_bytes = choice->context;
  return encode(r, where, choice->text, choice->context, &r->context);
}

static olica_status put_choice(reader *r, const char *where, int number, const olica_choice_text *choice) {
  OLICA_TRY(encode_context(r, where, choice));
  OLICA_TRY(encode(r, where, choice->text, choice->bytes, &r->whole));
  size_t all = r->whole.count, before = r->context.count, most = (size_t)r->options->context + 1;
  if (before == 0)
    return olica_error_set(
        r->env, OLICA_ERR_INPUT,
        "%s: choice %d has an empty context, expected text in front of it ([evaluate] bos = "
        "yes puts a token there)",
        where, number);
  if (all <= before)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: choice %d makes %zu tokens of %zu of its context, expected more", where,
                           number, all, before);
  size_t scored = all - before, kept = all < most ? all : most;
  bool unscored = scored >= kept;
  int32_t cut = (int32_t)(all - kept);
  if (unscored) scored = kept - 1;
  const int32_t head[CHOICE_WORDS] = {(int32_t)kept, (int32_t)scored, choice->characters,
                                      unscored ? -cut : cut};
  OLICA_TRY(put(r, head, CHOICE_WORDS));
  return put(r, r->whole.id + (all - kept), kept);
}

static olica_status put_question(reader *r, const char *where, const json_t *row) {
  olica_question_text text;
  olica_status status = olica_question_make(r->env, r->file->task, where, row, &text);
  const int32_t head[QUESTION_WORDS] = {text.gold, text.choices,
                                        (text.prepared ? PREPARED : 0) | (text.unusual ? UNUSUAL : 0)};
  if (status == OLICA_OK) status = put(r, head, QUESTION_WORDS);
  for (int i = 0; status == OLICA_OK && i < text.choices; i++)
    status = put_choice(r, where, i + 1, &text.choice[i]);
  r->last = NULL;
  olica_question_free(r->env, &text);
  return status;
}

static olica_status put_line(reader *r, int64_t number, const char *line, size_t bytes) {
  char where[WHERE];
  snprintf(where, sizeof where, "%s:%lld", r->file->path, (long long)number);
  json_t *row;
  OLICA_TRY(olica_json_parse(r->env, where, line, bytes, &row));
  olica_status status = put_question(r, where, row);
  json_decref(row);
  return status;
}

/* A line of the file: [at, at + bytes), without its end; NULL behind the last. */
typedef struct lines {
  const char *at, *end;
  int64_t number;
} lines;

/* Skips a byte order mark. */
static lines begin_lines(const char *text, size_t bytes) {
  size_t mark = olica_look_mark(text, bytes);
  return (lines){.at = text + mark, .end = text + bytes};
}

static const char *next_line(lines *l, size_t *bytes) {
  if (l->at >= l->end) return NULL;
  const char *line = l->at, *stop = memchr(line, '\n', (size_t)(l->end - line));
  *bytes = (size_t)((stop ? stop : l->end) - line);
  l->at = stop ? stop + 1 : l->end;
  l->number++;
  return line;
}

static bool is_blank(const char *line, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
  return true;
}

static int64_t count_questions(const char *text, size_t bytes, int64_t limit) {
  lines l = begin_lines(text, bytes);
  int64_t count = 0;
  size_t length;
  for (const char *line; (limit == 0 || count < limit) && (line = next_line(&l, &length));)
    count += !is_blank(line, length);
  return count;
}

/* Tokenizes the questions of `own`, numbered in the file from 0. */
static olica_status put_share(reader *r, const char *text, size_t bytes, olica_range own) {
  lines l = begin_lines(text, bytes);
  size_t length;
  int64_t i = 0;
  for (const char *line; i < own.first + own.count && (line = next_line(&l, &length));) {
    if (is_blank(line, length)) continue;
    if (i++ >= own.first) OLICA_TRY(put_line(r, l.number, line, length));
  }
  return OLICA_OK;
}

/* Gives every rank the whole file. Collective. */
static olica_status load(olica_context *context, const char *path, char **text, size_t *bytes) {
  olica_env *env = context->env;
  *text = NULL;
  *bytes = 0;
  OLICA_AGREE(context, context->rank == 0 ? olica_file_load(env, path, FILE_BYTES, text, bytes) : OLICA_OK);
  if (context->rank == 0) olica_timer_work(&env->timers, 0, (double)*bytes);
  olica_comm_bcast(context, context->comm, bytes, sizeof *bytes, 0);
  OLICA_AGREE(context, *text ? OLICA_OK : OLICA_NEW(env, *text, *bytes + 1));
  olica_comm_bcast(context, context->comm, *text, *bytes, 0);
  return OLICA_OK;
}

/* ---- gathering ---- */

/* Appends every rank's words to `gathered`, in the order of ranks. Collective. */
static olica_status gather(olica_context *context, const olica_tokens *mine, olica_tokens *gathered) {
  olica_env *env = context->env;
  double *counts, total = 0;
  OLICA_AGREE(context, OLICA_NEW(env, counts, (size_t)context->size));
  counts[context->rank] = (double)mine->count;
  olica_comm_sum(context, context->comm, counts, (size_t)context->size);
  for (int rank = 0; rank < context->size; rank++) total += counts[rank];
  size_t room = gathered->count + (size_t)total;
  int32_t *larger;
  OLICA_AGREE(context, OLICA_NEW(env, larger, room));
  if (gathered->count) memcpy(larger, gathered->id, gathered->count * sizeof *larger);
  olica_memory_free(env, gathered->id);
  gathered->id = larger;
  for (int rank = 0; rank < context->size; rank++) {
    size_t count = (size_t)counts[rank];
    int32_t *at = gathered->id + gathered->count;
    if (rank == context->rank && mine->id) memcpy(at, mine->id, count * sizeof *at);
    olica_comm_bcast(context, context->comm, at, count * sizeof *at, rank);
    gathered->count += count;
  }
  olica_memory_free(env, counts);
  return OLICA_OK;
}

static olica_status open_task(olica_questions *q, reader *r, int task, olica_tokens *gathered) {
  olica_context *context = q->context;
  char *text;
  size_t bytes;
  OLICA_TRY(load(context, r->file->path, &text, &bytes));
  OLICA_TRY(
      olica_look_head(context->env, r->file->path, OLICA_LOOK_QUESTIONS, text, bytes < HEAD ? bytes : HEAD));
  int64_t count = count_questions(text, bytes, r->options->limit);
  if (count == 0)
    return olica_error_set(context->env, OLICA_ERR_INPUT, "%s: is empty, expected a question a line for %s",
                           r->file->path, r->file->task->name);
  q->first[task + 1] = q->first[task] + count;
  r->out.count = 0;
  OLICA_AGREE(context, put_share(r, text, bytes, olica_partition_block(count, context->size, context->rank)));
  olica_memory_free(context->env, text);
  return gather(context, &r->out, gathered);
}

/* ---- the sizes of a question ---- */

static int common_prefix(const olica_choice *choice, int choices) {
  int prefix = choice[0].tokens, longest = choice[0].tokens;
  for (int c = 1; c < choices; c++) {
    int same = 0, limit = prefix < choice[c].tokens ? prefix : choice[c].tokens;
    while (same < limit && choice[c].id[same] == choice[0].id[same]) same++;
    prefix = same;
    if (choice[c].tokens > longest) longest = choice[c].tokens;
  }
  return prefix < longest ? prefix : longest - 1; /* a last token predicts nothing */
}

int olica_choice_rows(const olica_question *question, const olica_choice *choice) {
  int rows = choice->tokens - 1 - question->prefix;
  return rows > 0 ? rows : 0;
}

int olica_choice_from(const olica_question *question, const olica_choice *choice) {
  int from = choice->tokens - 1 - choice->scored - question->prefix;
  return from > 0 ? from : 0;
}

/* Tells whether the rows of all choices lie on one side of `turn`. */
static bool on_one_side(const olica_question *question, const olica_choice *choice, int turn) {
  for (int c = 1; turn && c < question->choices; c++)
    if ((choice[c].tokens - 1 > turn) != (choice[0].tokens - 1 > turn)) return false;
  return true;
}

static void measure(olica_question *question, const olica_choice *choice, int turn) {
  if (on_one_side(question, choice, turn)) question->prefix = common_prefix(choice, question->choices);
  question->from = question->prefix;
  for (int c = 0; c < question->choices; c++) {
    int from = choice[c].tokens - 1 - choice[c].scored, own = olica_choice_rows(question, &choice[c]);
    if (from < question->from) question->from = from;
    question->rows += own;
    if (own) question->scored += own - olica_choice_from(question, &choice[c]);
  }
  question->rows += question->prefix;
  question->scored += question->prefix - question->from;
}

static void count_cut(olica_truncation *truncated, int32_t cut) {
  truncated->pairs += cut != 0;
  truncated->tokens += abs(cut);
  truncated->unscored += cut < 0;
}

/* Reads the choices of a question from its words; returns the address behind them. */
static const int32_t *unpack(olica_questions *q, int task, olica_question *question, const int32_t *at) {
  *question = (olica_question){.task = task, .gold = at[0], .choices = at[1], .first_choice = q->choices};
  q->prepared[task] += (at[2] & PREPARED) != 0;
  q->unusual[task] += (at[2] & UNUSUAL) != 0;
  at += QUESTION_WORDS;
  for (int c = 0; c < question->choices; c++) {
    olica_choice *choice = &q->choice[q->choices++];
    *choice = (olica_choice){.id = at + CHOICE_WORDS, .tokens = at[0], .scored = at[1], .characters = at[2]};
    count_cut(&q->truncated[task], at[3]);
    at += CHOICE_WORDS + choice->tokens;
  }
  measure(question, q->choice + question->first_choice, q->turn);
  return at;
}

static int64_t count_choices(const olica_questions *q) {
  int64_t choices = 0;
  const int32_t *at = q->gathered;
  for (int64_t i = 0; i < q->count; i++) {
    int count = at[1];
    at += QUESTION_WORDS;
    for (int c = 0; c < count; c++) at += CHOICE_WORDS + at[0];
    choices += count;
  }
  return choices;
}

static olica_status unpack_all(olica_questions *q) {
  OLICA_TRY(OLICA_NEW(q->context->env, q->question, (size_t)q->count));
  OLICA_TRY(OLICA_NEW(q->context->env, q->choice, (size_t)count_choices(q)));
  const int32_t *at = q->gathered;
  for (int task = 0; task < q->tasks; task++)
    for (int64_t i = q->first[task]; i < q->first[task + 1]; i++) at = unpack(q, task, &q->question[i], at);
  return OLICA_OK;
}

static void tell_rows(const olica_questions *q, const olica_questions_options *options) {
  olica_env *env = q->context->env;
  for (int t = 0; t < q->tasks && q->context->rank == 0; t++) {
    const olica_task_file *file = &options->files->file[t];
    if (q->prepared[t])
      olica_log_line(env, "%s: %lld rows are as published: prepared as lm-evaluation-harness does",
                     file->path, (long long)q->prepared[t]);
    if (q->unusual[t] == q->first[t + 1] - q->first[t])
      olica_log_warn(
          env,
          "%s: no %s has \"%s\" in it, as all have that lm-evaluation-harness reads (SuperGLUE's: a "
          "title in front): scores will not be its own",
          file->task->name, file->task->usual[0], file->task->usual[1]);
  }
}

/* Warns of cut pairs: all ranks know them, rank 0 alone warns, so that the warning counts once. */
static void tell_truncated(const olica_questions *q, const olica_questions_options *options) {
  olica_env *env = q->context->env;
  for (int task = 0; task < q->tasks && q->context->rank == 0; task++) {
    const olica_truncation *t = &q->truncated[task];
    const char *name = options->files->file[task].task->name;
    if (t->pairs == 0) continue;
    olica_log_warn(env,
                   "%s: %lld pairs are longer than the model's context of %d tokens and one more: truncated, "
                   "%lld tokens cut off at their beginnings",
                   name, (long long)t->pairs, options->context, (long long)t->tokens);
    if (t->unscored)
      olica_log_warn(env,
                     "%s: %lld choices alone do not fit into the model's context of %d tokens: their first "
                     "tokens are not scored",
                     name, (long long)t->unscored, options->context);
  }
}

olica_status olica_questions_open(olica_context *context, olica_encoder *encoder,
                                  const olica_questions_options *options, olica_questions **out) {
  olica_env *env = context->env;
  olica_questions *q;
  OLICA_AGREE(context, OLICA_NEW(env, q, 1));
  q->context = context;
  q->tasks = options->files->count;
  q->turn = options->turn;
  reader r = {.env = env, .encoder = encoder, .options = options};
  olica_tokens gathered = {0};
  for (int task = 0; task < q->tasks; task++) {
    r.file = &options->files->file[task];
    OLICA_TRY(open_task(q, &r, task, &gathered));
  }
  olica_memory_free(env, r.whole.id);
  olica_memory_free(env, r.context.id);
  olica_memory_free(env, r.out.id);
  q->gathered = gathered.id;
  q->count = q->first[q->tasks];
  assert(q->gathered); /* there is a task, and every task has a question */
  OLICA_AGREE(context, unpack_all(q));
  tell_rows(q, options);
  tell_truncated(q, options);
  *out = q;
  return OLICA_OK;
}

void olica_questions_forget(olica_questions *q) {
  for (int64_t c = 0; c < q->choices; c++) q->choice[c].id = NULL;
  OLICA_FREE(q->context->env, q->gathered);
}

void olica_questions_close(olica_questions *q) {
  if (!q) return;
  olica_env *env = q->context->env;
  olica_memory_free(env, q->question);
  olica_memory_free(env, q->choice);
  olica_memory_free(env, q->gathered);
  olica_memory_free(env, q);
}
