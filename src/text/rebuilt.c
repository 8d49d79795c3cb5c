/* Pipelines that classes of transformers 5 build themselves, whatever normalizer, pre_tokenizer and
 * ignore_merges a tokenizer.json of transformers 4 has. This program reads the file, as transformers 4 does.
 */
#include <string.h>

#include "surroundings.h"
#include "text/known_patterns.h"

#define NFC "{\"type\": \"NFC\"}"
#define WORDS "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}"
#define DIGITS "{\"type\": \"Digits\", \"individual_digits\": true}"
#define META "\xe2\x96\x81"

/* A class, and its members of a tokenizer.json; `regex` is that of a Split before a ByteLevel. */
typedef struct pipeline {
  const char *name, *normalizer, *pre_tokenizer, *regex;
} pipeline;

static const pipeline pipelines[] = {
    {"GPT2Tokenizer", NULL, WORDS, NULL},
    {"CodeGenTokenizer", NULL, WORDS, NULL},
    {"GPTNeoXTokenizer", NFC, WORDS, NULL},
    {"CohereTokenizer", NFC, "{\"type\": \"Sequence\", \"pretokenizers\": [" DIGITS ", " WORDS "]}", NULL},
    {"Qwen2Tokenizer", NFC, NULL, OLICA_PATTERN_CL100K("\\p{N}")},
    {"Qwen3_5Tokenizer", NFC, NULL, OLICA_PATTERN_MARKS},
    {"GemmaTokenizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" META "\"}",
     "{\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, \"behavior\": \"MergedWithPrevious\"}", NULL},
    {"LlamaTokenizer", NULL,
     "{\"type\": \"Metaspace\", \"replacement\": \"" META
     "\", \"prepend_scheme\": \"first\", \"split\": false}",
     NULL},
};

/* Types of model for which transformers 5 chooses the class; NULL: the one that reads the file as it stands.
 */
static const struct {
  const char *type, *name;
} types[] = {{"qwen2", "Qwen2Tokenizer"}, {"phi3", NULL},     {"olmo2", NULL},   {"olmo3", NULL},
             {"granite", NULL},           {"glm4", NULL},     {"mistral", NULL}, {"ministral3", NULL},
             {"mistral3", NULL},          {"got_ocr2", NULL}, {"llava", NULL},   {"llava_next", NULL},
             {"vipllava", NULL}};

/* Letters of many kinds, contractions, numbers, blanks, line ends, marks: what pipelines treat differently.
 */
static const char probe[] = "The HTTPServer's 1234567 foxes\n\n  DON'T jump//\n\tcafe\xcc\x81 "
                            "\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d\xe0\xa4\xa6\xe0\xa5\x80 "
                            "\xe6\x97\xa5\xe6\x9c\xac\xef\xbc"
                            "\x8c (x = y_1); 12.5%  end";

static bool divides_bytes(const olica_tokenizer *t) {
  for (size_t i = 0; i < t->pretokenizers.count; i++)
    if (t->pretokenizers.part[i].is_bytes) return true;
  return false;
}

static const pipeline *find(const char *name) {
  for (size_t i = 0; name && i < sizeof pipelines / sizeof *pipelines; i++)
    if (strcmp(pipelines[i].name, name) == 0) return &pipelines[i];
  return NULL;
}

/* Returns the pipeline that transformers 5 takes; NULL: the file's. */
static const pipeline *choose(const olica_tokenizer *t, const olica_surroundings *s, const char *model_type) {
  const char *name = s->kind->name;
  if (t->is_model || s->five || !*s->class_name) return NULL;
  for (size_t i = 0; model_type && i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i].type, model_type) == 0) name = types[i].name;
  bool is_llama = name && strcmp(name, "LlamaTokenizer") == 0;
  return is_llama && divides_bytes(t) ? NULL : find(name);
}

static json_t *members(const pipeline *p) {
  json_t *pre = p->regex
                    ? json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s, s:b, s:b}]}", "type", "Sequence",
                                "pretokenizers", "type", "Split", "pattern", "Regex", p->regex, "behavior",
                                "Isolated", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 0)
                    : json_loads(p->pre_tokenizer, 0, NULL);
  json_t *normalizer = p->normalizer ? json_loads(p->normalizer, 0, NULL) : json_null();
  return json_pack("{s:o, s:o}", "normalizer", normalizer, "pre_tokenizer", pre);
}

/* The pieces of a text, each followed by a NUL byte. */
typedef struct pieces {
  olica_env *env;
  olica_bytes text;
} pieces;

static olica_status take(void *taker, olica_piece piece) {
  pieces *p = taker;
  OLICA_TRY(olica_bytes_append(p->env, &p->text, piece.text.data, piece.text.bytes));
  return olica_bytes_append(p->env, &p->text, "", 1);
}

/* Divides the probe as a pipeline does. */
static olica_status divide(olica_normalizers *normalizers, olica_pretokenizers *pretokenizers, pieces *out) {
  olica_pretokenizers copy = *pretokenizers;
  olica_span text;
  OLICA_TRY(olica_normalizers_apply(normalizers, (olica_span){probe, sizeof probe - 1}, &text));
  copy.take = take;
  copy.taker = out;
  return olica_pretokenizers_pass(&copy, 0, (olica_piece){text, true, false});
}

static olica_status compare(olica_tokenizer *t, olica_normalizers *normalizers,
                            olica_pretokenizers *pretokenizers, bool *same) {
  pieces mine = {.env = t->env}, other = {.env = t->env};
  olica_status status = divide(&t->normalizers, &t->pretokenizers, &mine);
  if (status == OLICA_OK) status = divide(normalizers, pretokenizers, &other);
  size_t bytes = mine.text.count;
  *same = bytes == other.text.count && (bytes == 0 || memcmp(mine.text.data, other.text.data, bytes) == 0);
  OLICA_FREE(t->env, mine.text.data);
  OLICA_FREE(t->env, other.text.data);
  return status;
}

/* The comparison is optional: only a lack of memory is an error. */
static olica_status forgive(olica_env *env, olica_status status) {
  if (status == OLICA_OK || status == OLICA_ERR_MEMORY) return status;
  olica_error_clear(env);
  return OLICA_OK;
}

olica_status olica_tell_rebuilt(olica_tokenizer *t, const olica_surroundings *s, const char *model_type) {
  const pipeline *p = choose(t, s, model_type);
  if (!p) return OLICA_OK;
  olica_normalizers normalizers = {.env = t->env, .name = t->name};
  olica_pretokenizers pretokenizers = {.env = t->env, .name = t->name};
  olica_node root = {.env = t->env, .value = members(p)};
  bool same = true;
  olica_status status = olica_normalizers_read(&root, &normalizers);
  if (status == OLICA_OK) status = olica_pretokenizers_read(&root, &pretokenizers);
  for (size_t i = 0; i < pretokenizers.count; i++)
    pretokenizers.part[i].prefix_space = pretokenizers.part[i].is_bytes && s->prefix_space == OLICA_SAID_YES;
  if (status == OLICA_OK) status = compare(t, &normalizers, &pretokenizers, &same);
  if (status == OLICA_OK && (!same || t->bpe.ignore_merges))
    olica_surroundings_warn(
        t->env,
        "transformers 5 gives other ids for some texts: its %s has a pipeline of its own (normalizer, "
        "pre_tokenizer, no ignore_merges) in place of tokenizer.json's, which is followed here, as in "
        "transformers 4",
        p->name);
  olica_normalizers_free(&normalizers);
  olica_pretokenizers_free(&pretokenizers);
  json_decref(root.value);
  return forgive(t->env, status);
}
