#include "card.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/value.h"
#include "export/kinds.h"
#include "hf_config.h"
#include "origin.h"
#include "safetensors.h"

/* A text that grows. */
typedef struct text {
  FILE *to;
  char *data;
  size_t bytes;
} text;

static const char *string_at(const json_t *object, const char *key) {
  const char *found = json_string_value(json_object_get(object, key));
  return found ? found : "";
}

/* Returns the last part of a path, without slashes at its end, in `name` [bytes]. */
static const char *last_part(const char *path, char *name, size_t room) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  const char *slash = memrchr(path, '/', length);
  const char *from = slash && length > 1 ? slash + 1 : path;
  snprintf(name, room, "%.*s", (int)(length - (size_t)(from - path)), from);
  return name;
}

static const char *base_model(const olica_export *e, char *name, size_t room) {
  const char *model = string_at(e->provenance, "model");
  return last_part(*model ? model : e->checkpoint, name, room);
}

/* A word of YAML in quotation marks. */
static void quoted(FILE *to, const char *value) {
  json_t *string = olica_value_string(value);
  char *dump = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
  fputs(dump ? dump : "\"\"", to);
  free(dump);
  json_decref(string);
}

static const json_t *prune_settings(const olica_export *e) {
  return json_object_get(e->settings, "prune");
}

static void head(const olica_export *e, FILE *to) {
  char licence[128], base[256];
  olica_origin_licence(e, licence, sizeof licence);
  fputs("---\nlibrary_name: transformers\npipeline_tag: text-generation\nbase_model: ", to);
  quoted(to, base_model(e, base, sizeof base));
  if (*licence) fputs("\nlicense: ", to), quoted(to, licence);
  fputs("\ntags:\n- pruned\n- olica_mpi\n---\n\n", to);
}

static void title(const olica_export *e, FILE *to) {
  char name[256], base[256];
  const json_t *prune = prune_settings(e);
  fprintf(to, "# %s\n\n%s", last_part(e->path, name, sizeof name), base_model(e, base, sizeof base));
  if (*string_at(prune, "method"))
    fprintf(to, ", pruned without training by olica_mpi: method `%s`, sparsity %g.\n\n",
            string_at(prune, "method"), json_number_value(json_object_get(prune, "sparsity")));
  else
    fputs(", written by olica_mpi.\n\n", to);
}

static void calibration(const olica_export *e, FILE *to) {
  const json_t *texts = json_object_get(e->provenance, "texts");
  const json_t *settings = json_object_get(e->settings, "calibration");
  const char *tokens = string_at(settings, "tokens");
  size_t count = json_array_size(texts);
  char name[256];
  if (count == 0 && !*tokens) return;
  fprintf(to, "| calibration | %lld sequences of %lld tokens: ",
          (long long)json_integer_value(json_object_get(settings, "samples")),
          (long long)json_integer_value(json_object_get(settings, "length")));
  for (size_t i = 0; i < count; i++)
    fprintf(to, "%s%s", i ? ", " : "",
            last_part(string_at(json_array_get(texts, i), "file"), name, sizeof name));
  if (count == 0) fprintf(to, "ids in %s", last_part(tokens, name, sizeof name));
  fputs(" |\n", to);
}

/* One text's: of the dense and of the pruned model. */
static void perplexities(const json_t *figures, const char *name, long long length, FILE *to) {
  const json_t *dense = json_object_get(figures, "dense"), *pruned = json_object_get(figures, "pruned");
  if (json_is_number(dense))
    fprintf(to, "| perplexity before, %s, windows of %lld tokens | %.4f |\n", name, length,
            json_number_value(dense));
  if (json_is_number(pruned))
    fprintf(to, "| perplexity after, %s, windows of %lld tokens | %.4f |\n", name, length,
            json_number_value(pruned));
}

static void perplexity(const olica_export *e, FILE *to) {
  const json_t *all = json_object_get(e->options->report, "perplexities"), *entry;
  const json_t *settings = json_object_get(e->settings, "evaluate");
  long long length = (long long)json_integer_value(json_object_get(settings, "length"));
  char name[256];
  const char *its;
  json_object_foreach((json_t *)all, its, entry) perplexities(entry, its, length, to);
  if (json_is_object(all)) return;
  entry = json_object_get(e->options->report, "perplexity");
  its = string_at(settings, "text");
  if (json_is_object(entry))
    perplexities(entry, last_part(*its ? its : string_at(settings, "tokens"), name, sizeof name), length, to);
  else
    fputs("| perplexity | not known to this export (the job's report.json has it, if it was evaluated) |\n",
          to);
}

static void facts(const olica_export *e, FILE *to) {
  const json_t *parameters = json_object_get(e->options->report, "parameters");
  char base[256], licence[128];
  olica_origin_licence(e, licence, sizeof licence);
  fprintf(to, "| | |\n|---|---|\n| base model | %s |\n| licence | %s |\n", base_model(e, base, sizeof base),
          *licence ? licence : "the base model's");
  calibration(e, to);
  if (json_is_object(parameters))
    fprintf(to, "| parameters, dense and pruned | %lld, %lld |\n",
            (long long)json_integer_value(json_object_get(parameters, "dense")),
            (long long)json_integer_value(json_object_get(parameters, "pruned")));
  fprintf(to, "| numbers in this directory | %lld in %s |\n", (long long)olica_export_parameters(e),
          olica_export_type_name(e->type));
  perplexity(e, to);
  fprintf(to, "| written by | olica_mpi %s (%s) |\n", string_at(e->provenance, "version"),
          string_at(e->provenance, "git"));
  fputs("\n", to);
}

static void notes(const olica_export *e, FILE *to) {
  fputs("## What was changed to fit this form\n\n", to);
  if (e->notes == 0) fputs("Nothing is padded and nothing is lost.\n", to);
  for (int i = 0; i < e->notes; i++) fprintf(to, "- %s\n", e->note[i]);
  fputs("\n", to);
}

static void how_to_run(const olica_export *e, FILE *to) {
  char name[256];
  bool compact = strcmp(e->kind->name, "compact") == 0;
  const char *trust = compact ? ", trust_remote_code=True" : "";
  bool old = olica_hf_is_old(e->source->arch.family);
  const char *since = old ? "4.46 or newer" : "of a version that has this class: 5 or newer";
  last_part(e->path, name, sizeof name);
  fputs("## How to run it\n\n", to);
  fprintf(to,
          "transformers, %s:\n\n```python\nfrom transformers import AutoModelForCausalLM, "
          "AutoTokenizer\ntokenizer = AutoTokenizer.from_pretrained(\"%s\")\nmodel = "
          "AutoModelForCausalLM.from_pretrained(\"%s\"%s)\nprint(tokenizer.decode(model.generate(**tokenizer("
          "\"Once "
          "upon a time\", return_tensors=\"pt\"), max_new_tokens=32)[0]))\n```\n\n",
          since, name, name, trust);
  fprintf(
      to,
      "lm-evaluation-harness:\n\n    lm_eval --model hf --model_args pretrained=%s%s --tasks wikitext\n\n",
      name, compact ? ",trust_remote_code=True" : "");
  fprintf(to, "vLLM:\n\n    vllm serve %s%s\n\n", name,
          compact ? " --trust-remote-code --tensor-parallel-size 1" : "");
  if (compact) {
    fputs("llama.cpp and CTranslate2 do not read this form: `olica_mpi --export gguf:FILE` and `hf:DIR` make "
          "theirs.\n\n",
          to);
    return;
  }
  if (!old) fputs("Other tools, where they have this class:\n\n", to);
  fprintf(to, "CTranslate2:\n\n    ct2-transformers-converter --model %s --output_dir %s-ct2\n\n", name,
          name);
  fprintf(to, "llama.cpp:\n\n    python convert_hf_to_gguf.py %s --outfile %s.gguf\n\n", name, name);
}

/* What the licences of the Llama models ask of what is made of them. */
static void llama_rule(const olica_export *e, FILE *to) {
  char licence[128], base[256];
  olica_origin_licence(e, licence, sizeof licence);
  base_model(e, base, sizeof base);
  bool is_llama = strncmp(licence, "llama", 5) == 0 || strcasestr(base, "llama-3") ||
                  strcasestr(base, "llama-2") || strcasestr(base, "llama3");
  if (!is_llama) return;
  fputs("## Licence of Llama models\n\nWho passes this model on: the licences of Llama 3.1 and 3.2 ask for a "
        "copy of the "
        "agreement and its Notice file with it, for \"Built with Llama\" where people see it, and for a name "
        "that begins "
        "with \"Llama\" (Llama 3: \"Llama 3\", \"Built with Meta Llama 3\"). Read the LICENSE file; this is "
        "no legal "
        "advice.\n\n",
        to);
}

static void command(const olica_export *e, FILE *to) {
  if (!e->options->command_line || !*e->options->command_line) return;
  fputs("## The command that made it\n\n    ", to);
  for (const char *c = e->options->command_line; *c; c++) fputc((unsigned char)*c < ' ' ? ' ' : *c, to);
  fputs("\n", to);
}

olica_status olica_export_card(olica_export *e) {
  text card = {0};
  card.to = open_memstream(&card.data, &card.bytes);
  if (!card.to) return olica_error_set(e->env, OLICA_ERR_MEMORY, "export: no memory for README.md");
  head(e, card.to);
  title(e, card.to);
  facts(e, card.to);
  notes(e, card.to);
  how_to_run(e, card.to);
  llama_rule(e, card.to);
  command(e, card.to);
  bool failed = ferror(card.to);
  olica_status status = fclose(card.to) != 0 || failed
                            ? olica_error_set(e->env, OLICA_ERR_MEMORY, "export: no memory for README.md")
                            : olica_export_save(e, "README.md", card.data, card.bytes);
  free(card.data);
  return status;
}
