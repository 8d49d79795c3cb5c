#include "pretokenize.h"

#include "unicode.h"

static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

olica_status olica_pretokenizers_pass(olica_pretokenizers *all, size_t i, olica_piece piece) {
  if (piece.text.bytes == 0) return OLICA_OK;
  return i < all->count ? all->part[i].divide(all, i, piece) : all->take(all->taker, piece);
}

/* ---- classes of characters ---- */

static bool is_numeric(const olica_pretokenizer *p, uint32_t code) {
  (void)p;
  return olica_unicode_is_numeric(code);
}

static bool is_space(const olica_pretokenizer *p, uint32_t code) {
  (void)p;
  return olica_unicode_is_space(code);
}

static bool is_punctuation(const olica_pretokenizer *p, uint32_t code) {
  (void)p;
  return olica_unicode_is_punctuation(code);
}

static bool is_code(const olica_pretokenizer *p, uint32_t code) {
  return code == p->code;
}

/* ---- one by one ---- */

/* Returns the piece with a character prepended, in the part's own buffer. */
static olica_status put_in_front(olica_pretokenizers *all, olica_pretokenizer *p, uint32_t code,
                                 olica_piece *piece) {
  p->scratch.count = 0;
  OLICA_TRY(olica_unicode_append(all->env, &p->scratch, code));
  OLICA_TRY(olica_bytes_append(all->env, &p->scratch, piece->text.data, piece->text.bytes));
  piece->text = olica_bytes_span(&p->scratch);
  return OLICA_OK;
}

/* Only divides; the next part maps the bytes. */
static olica_status byte_level(olica_pretokenizers *all, size_t i, olica_piece piece) {
  olica_pretokenizer *p = &all->part[i];
  if (p->prefix_space && piece.text.data[0] != ' ') OLICA_TRY(put_in_front(all, p, ' ', &piece));
  return p->regex ? olica_divide_pattern(all, i, piece) : olica_pretokenizers_pass(all, i + 1, piece);
}

/* The model can map bytes as it reads; a following part must get the mapped characters. */
static olica_status map_bytes(olica_pretokenizers *all, size_t i, olica_piece piece) {
  olica_pretokenizer *p = &all->part[i];
  if (i + 1 == all->count) {
    piece.mapped = true;
    return olica_pretokenizers_pass(all, i + 1, piece);
  }
  p->scratch.count = 0;
  for (size_t k = 0; k < piece.text.bytes; k++)
    OLICA_TRY(olica_unicode_append(all->env, &p->scratch,
                                   olica_unicode_of_byte((unsigned char)piece.text.data[k])));
  piece.text = olica_bytes_span(&p->scratch);
  return olica_pretokenizers_pass(all, i + 1, piece);
}

static olica_status metaspace(olica_pretokenizers *all, size_t i, olica_piece piece) {
  olica_pretokenizer *p = &all->part[i];
  size_t at = 0;
  bool there = piece.text.data[0] == ' ' || olica_unicode_next(piece.text, &at) == p->code;
  p->scratch.count = 0;
  if (!there && (p->scheme == OLICA_ALWAYS || (p->scheme == OLICA_FIRST && piece.first)))
    OLICA_TRY(olica_unicode_append(all->env, &p->scratch, p->code));
  for (size_t from = 0; from < piece.text.bytes;) {
    const char *space = memchr(piece.text.data + from, ' ', piece.text.bytes - from);
    size_t end = space ? (size_t)(space - piece.text.data) : piece.text.bytes;
    OLICA_TRY(olica_bytes_append(all->env, &p->scratch, piece.text.data + from, end - from));
    if (space) OLICA_TRY(olica_unicode_append(all->env, &p->scratch, p->code));
    from = end + 1;
  }
  piece.text = olica_bytes_span(&p->scratch);
  return p->regex ? olica_divide_characters(all, i, piece) : olica_pretokenizers_pass(all, i + 1, piece);
}

/* \w+|[^\w\s]+ */
static olica_status whitespace(olica_pretokenizers *all, size_t i, olica_piece piece) {
  enum { SPACE, WORD, OTHER } kind = SPACE;
  size_t begin = 0;
  for (size_t at = 0; at <= piece.text.bytes;) {
    size_t here = at++;
    int next = SPACE;
    if (here < piece.text.bytes) {
      at = here;
      uint32_t code = olica_unicode_next(piece.text, &at);
      next = olica_unicode_is_word(code) ? WORD : olica_unicode_is_space(code) ? SPACE : OTHER;
    }
    if (next == (int)kind && here < piece.text.bytes) continue;
    olica_piece part = {{piece.text.data + begin, here - begin}, piece.first && begin == 0, piece.mapped};
    if (kind != SPACE) OLICA_TRY(olica_pretokenizers_pass(all, i + 1, part));
    begin = here;
    kind = next;
  }
  return OLICA_OK;
}

static olica_status fixed_length(olica_pretokenizers *all, size_t i, olica_piece piece) {
  for (size_t at = 0; at < piece.text.bytes;) {
    size_t begin = at;
    for (int64_t n = 0; n < all->part[i].length && at < piece.text.bytes; n++)
      olica_unicode_next(piece.text, &at);
    olica_piece part = {{piece.text.data + begin, at - begin}, piece.first && begin == 0, piece.mapped};
    OLICA_TRY(olica_pretokenizers_pass(all, i + 1, part));
  }
  return OLICA_OK;
}

/* ---- reading ---- */

static olica_status add(olica_pretokenizers *all, olica_pretokenizer **part) {
  OLICA_TRY(OLICA_GROW(all->env, all->part, all->room, all->count, all->count + 1));
  *part = &all->part[all->count++];
  return OLICA_OK;
}

static olica_status add_characters(olica_pretokenizers *all, bool (*is)(const olica_pretokenizer *, uint32_t),
                                   olica_behavior behavior, olica_pretokenizer **out) {
  OLICA_TRY(add(all, out));
  (*out)->divide = olica_divide_characters;
  (*out)->is = is;
  (*out)->behavior = behavior;
  return OLICA_OK;
}

static olica_status read_behavior(const olica_node *node, bool required, olica_behavior *behavior) {
  static const char *const words[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"};
  int word = (int)*behavior;
  OLICA_TRY(olica_node_word(node, "behavior", required, words, 5, &word));
  *behavior = (olica_behavior)word;
  return OLICA_OK;
}

static olica_status read_split(const olica_node *node, void *all) {
  olica_pretokenizer *p;
  OLICA_TRY(add(all, &p));
  p->divide = olica_divide_pattern;
  OLICA_TRY(olica_pattern_read(node, ((olica_pretokenizers *)all)->name, &p->pattern));
  OLICA_TRY(olica_node_boolean(node, "invert", false, &p->invert));
  return read_behavior(node, true, &p->behavior);
}

static olica_status read_byte_level(const olica_node *node, void *data) {
  olica_pretokenizers *all = data;
  olica_pretokenizer *p, *mapping;
  OLICA_TRY(add(all, &p));
  p->divide = byte_level;
  p->behavior = OLICA_ISOLATED;
  p->regex = p->prefix_space = p->is_bytes = true;
  OLICA_TRY(olica_node_boolean(node, "add_prefix_space", false, &p->prefix_space));
  OLICA_TRY(olica_node_boolean(node, "use_regex", false, &p->regex));
  if (p->regex)
    OLICA_TRY(olica_pattern_compile(all->env, all->name, "pre_tokenizer: ByteLevel",
                                    (olica_span){gpt2, sizeof gpt2 - 1}, &p->pattern));
  OLICA_TRY(add(all, &mapping));
  mapping->divide = map_bytes;
  return OLICA_OK;
}

static olica_status read_digits(const olica_node *node, void *all) {
  olica_pretokenizer *p;
  bool each = false;
  OLICA_TRY(olica_node_boolean(node, "individual_digits", false, &each));
  return add_characters(all, is_numeric, each ? OLICA_ISOLATED : OLICA_CONTIGUOUS, &p);
}

static olica_status read_metaspace(const olica_node *node, void *all) {
  static const char *const words[] = {"always", "never", "first"};
  olica_pretokenizer *p;
  bool prefix = true;
  int scheme = OLICA_ALWAYS;
  OLICA_TRY(add_characters(all, is_code, OLICA_MERGED_WITH_NEXT, &p));
  p->divide = metaspace;
  p->regex = p->is_metaspace = true;
  OLICA_TRY(olica_node_character(node, "replacement", &p->code));
  OLICA_TRY(olica_node_boolean(node, "add_prefix_space", false, &prefix));
  OLICA_TRY(olica_node_boolean(node, "split", false, &p->regex));
  OLICA_TRY(olica_node_word(node, "prepend_scheme", false, words, 3, &scheme));
  p->scheme = prefix ? (olica_scheme)scheme : OLICA_NEVER;
  return OLICA_OK;
}

static olica_status read_whitespace(const olica_node *node, void *all) {
  (void)node;
  olica_pretokenizer *p;
  OLICA_TRY(add(all, &p));
  p->divide = whitespace;
  return OLICA_OK;
}

static olica_status read_whitespace_split(const olica_node *node, void *all) {
  (void)node;
  olica_pretokenizer *p;
  return add_characters(all, is_space, OLICA_REMOVED, &p);
}

static olica_status read_punctuation(const olica_node *node, void *all) {
  olica_pretokenizer *p;
  OLICA_TRY(add_characters(all, is_punctuation, OLICA_ISOLATED, &p));
  return read_behavior(node, false, &p->behavior);
}

static olica_status read_bert(const olica_node *node, void *all) {
  olica_pretokenizer *p;
  OLICA_TRY(read_whitespace_split(node, all));
  return add_characters(all, is_punctuation, OLICA_ISOLATED, &p);
}

static olica_status read_delimiter(const olica_node *node, void *all) {
  olica_pretokenizer *p;
  OLICA_TRY(add_characters(all, is_code, OLICA_REMOVED, &p));
  return olica_node_character(node, "delimiter", &p->code);
}

static olica_status read_fixed_length(const olica_node *node, void *all) {
  olica_pretokenizer *p;
  OLICA_TRY(add(all, &p));
  p->divide = fixed_length;
  return olica_node_integer(node, "length", true, 1, INT32_MAX, &p->length);
}

static const olica_node_kind kinds[] = {
    {"ByteLevel", read_byte_level},
    {"Split", read_split},
    {"Digits", read_digits},
    {"Metaspace", read_metaspace},
    {"Whitespace", read_whitespace},
    {"WhitespaceSplit", read_whitespace_split},
    {"Punctuation", read_punctuation},
    {"BertPreTokenizer", read_bert},
    {"CharDelimiterSplit", read_delimiter},
    {"FixedLength", read_fixed_length},
};

olica_status olica_pretokenizers_read(const olica_node *node, olica_pretokenizers *all) {
  olica_node inner;
  OLICA_TRY(olica_node_member(node, "pre_tokenizer", &inner));
  return olica_node_parts(&inner, "pretokenizers", kinds, sizeof kinds / sizeof *kinds, all);
}

void olica_pretokenizers_free(olica_pretokenizers *all) {
  if (!all->env) return;
  for (size_t i = 0; i < all->count; i++) {
    olica_pattern_free(&all->part[i].pattern);
    OLICA_FREE(all->env, all->part[i].scratch.data);
  }
  OLICA_FREE(all->env, all->part);
}
