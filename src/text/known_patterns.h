/* Regular expressions that many tokenizer.json files have. */
#ifndef OLICA_TEXT_KNOWN_PATTERNS_H
#define OLICA_TEXT_KNOWN_PATTERNS_H

#define OLICA_PATTERN_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define OLICA_PATTERN_BEHIND "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* That of tiktoken's cl100k_base; `digits`: how many of them belong together, as "\\p{N}{1,3}". */
#define OLICA_PATTERN_CL100K(digits)                                                                         \
  OLICA_PATTERN_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                        \
                             "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" OLICA_PATTERN_BEHIND

/* Qwen 3.5's: marks belong to letters. */
#define OLICA_PATTERN_MARKS                                                                                  \
  OLICA_PATTERN_CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "                               \
                             "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" OLICA_PATTERN_BEHIND

#endif
