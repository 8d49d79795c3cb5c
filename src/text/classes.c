/* The classes of transformers 4.46 whose constructors modify the files' settings. */
#include <string.h>

#include "classes.h"

#define ENDOFTEXT "<|endoftext|>"

static const olica_tokenizer_class classes[] = {
    {.name = ""},
    {.name = "PreTrainedTokenizer"},
    {.name = "TokenizersBackend"},
    {"LlamaTokenizer", true, true, false, OLICA_PREFIX_SENTENCE, {"<s>", "</s>", "<unk>"}},
    {"CodeLlamaTokenizer", true, true, true, OLICA_PREFIX_SENTENCE, {"<s>", "</s>", "<unk>"}},
    {"GemmaTokenizer", true, true, false, OLICA_PREFIX_NONE, {"<bos>", "<eos>", "<unk>"}},
    {"CohereTokenizer",
     true,
     true,
     false,
     OLICA_PREFIX_BYTES,
     {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>"}},
    {"GPTNeoXTokenizer", true, false, false, OLICA_PREFIX_BYTES, {ENDOFTEXT, ENDOFTEXT, ENDOFTEXT}},
    {"GPT2Tokenizer", false, false, false, OLICA_PREFIX_BYTES, {ENDOFTEXT, ENDOFTEXT, ENDOFTEXT}},
    {"CodeGenTokenizer", false, false, false, OLICA_PREFIX_BYTES, {ENDOFTEXT, ENDOFTEXT, ENDOFTEXT}},
    {"BloomTokenizer", false, false, false, OLICA_PREFIX_BYTES, {"<s>", "</s>", "<unk>"}},
    {"Qwen2Tokenizer", false, false, false, OLICA_PREFIX_NONE, {NULL, ENDOFTEXT, ENDOFTEXT}},
};

const olica_tokenizer_class *olica_tokenizer_class_find(const char *name) {
  size_t bytes = strlen(name);
  if (bytes > 4 && strcmp(name + bytes - 4, "Fast") == 0) bytes -= 4;
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strlen(classes[i].name) == bytes && memcmp(classes[i].name, name, bytes) == 0) return &classes[i];
  return NULL;
}
