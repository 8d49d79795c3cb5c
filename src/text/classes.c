/* The classes of transformers whose constructors modify the files' settings: those of 4.46, and newer ones.
 */
#include <string.h>

#include "classes.h"

#define BRACKETS                                                                                             \
  { "<s>", "</s>", "<unk>" }
#define ENDOFTEXT "<|endoftext|>"
#define ENDS                                                                                                 \
  { ENDOFTEXT, ENDOFTEXT, ENDOFTEXT }
#define COHERE                                                                                               \
  { "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>" }

static const olica_tokenizer_class classes[] = {
    {.name = ""},
    {.name = "PreTrainedTokenizer"},
    {.name = "TokenizersBackend"},
    {.name = "LlamaTokenizer",
     .surrounds = true,
     .adds_bos = true,
     .prefix = OLICA_PREFIX_SENTENCE,
     .role = BRACKETS},
    {.name = "CodeLlamaTokenizer",
     .surrounds = true,
     .surrounds_in_5 = true,
     .adds_bos = true,
     .modern = true,
     .prefix = OLICA_PREFIX_SENTENCE,
     .role = BRACKETS},
    {.name = "GemmaTokenizer",
     .surrounds = true,
     .adds_bos = true,
     .role = {"<bos>", "<eos>", "<unk>"},
     .pad = "<pad>"},
    {.name = "CohereTokenizer",
     .surrounds = true,
     .adds_bos = true,
     .prefix = OLICA_PREFIX_EVERY,
     .role = COHERE},
    {.name = "GPTNeoXTokenizer",
     .surrounds = true,
     .surrounds_in_5 = true,
     .prefix = OLICA_PREFIX_LONE,
     .role = ENDS},
    {.name = "GPT2Tokenizer", .prefix = OLICA_PREFIX_LONE, .role = ENDS},
    {.name = "CodeGenTokenizer", .prefix = OLICA_PREFIX_LONE, .role = ENDS},
    {.name = "BloomTokenizer", .prefix = OLICA_PREFIX_EVERY, .role = BRACKETS},
    {.name = "Qwen2Tokenizer", .role = {NULL, ENDOFTEXT, ENDOFTEXT}, .pad = ENDOFTEXT},
    {.name = "Qwen3_5Tokenizer", .role = {NULL, ENDOFTEXT, ENDOFTEXT}, .pad = ENDOFTEXT},
    {.name = "MistralCommonTokenizer",
     .surrounds = true,
     .surrounds_in_5 = true,
     .adds_bos = true,
     .splits = true,
     .role = BRACKETS},
    {.name = "MistralCommonBackend",
     .surrounds = true,
     .surrounds_in_5 = true,
     .adds_bos = true,
     .splits = true,
     .role = BRACKETS},
};

const olica_tokenizer_class *olica_tokenizer_class_find(const char *name) {
  size_t bytes = strlen(name);
  if (bytes > 4 && strcmp(name + bytes - 4, "Fast") == 0) bytes -= 4;
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strlen(classes[i].name) == bytes && memcmp(classes[i].name, name, bytes) == 0) return &classes[i];
  return NULL;
}
