#include "decode.h"

#include "unicode.h"

/* ---- parts ---- */

/* Ends a part: the text appended since the last one. */
olica_status olica_parts_close(olica_env *env, olica_parts *parts) {
  OLICA_TRY(OLICA_GROW(env, parts->end, parts->room, parts->count, parts->count + 1));
  parts->end[parts->count++] = parts->text.count;
  return OLICA_OK;
}

olica_status olica_parts_append(olica_env *env, olica_parts *parts, const char *data, size_t bytes) {
  OLICA_TRY(olica_bytes_append(env, &parts->text, data, bytes));
  return olica_parts_close(env, parts);
}

void olica_parts_free(olica_env *env, olica_parts *parts) {
  OLICA_FREE(env, parts->text.data);
  OLICA_FREE(env, parts->end);
  *parts = (olica_parts){0};
}

/* Appends bytes as one part of well-formed text. */
static olica_status append_repaired(olica_env *env, olica_parts *out, olica_span bytes) {
  olica_bytes scratch = {0};
  olica_span repaired;
  olica_status status = olica_unicode_repair(env, bytes, false, &scratch, &repaired);
  if (status == OLICA_OK) status = olica_parts_append(env, out, repaired.data, repaired.bytes);
  olica_memory_free(env, scratch.data);
  return status;
}

/* ---- one by one ---- */

/* A token with a character that stands for no byte is appended unchanged. */
static olica_status append_bytes(olica_env *env, olica_bytes *bytes, olica_span token) {
  size_t before = bytes->count;
  OLICA_TRY(olica_bytes_reserve(env, bytes, token.bytes));
  for (size_t at = 0; at < token.bytes;) {
    int byte = olica_unicode_to_byte(olica_unicode_next(token, &at));
    if (byte < 0) {
      bytes->count = before;
      return olica_bytes_append(env, bytes, token.data, token.bytes);
    }
    bytes->data[bytes->count++] = (char)byte;
  }
  return OLICA_OK;
}

static olica_status byte_level(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  olica_bytes bytes = {0};
  olica_status status = OLICA_OK;
  for (size_t i = 0; i < in->count && status == OLICA_OK; i++)
    status = append_bytes(d->env, &bytes, olica_parts_at(in, i));
  if (status == OLICA_OK) status = append_repaired(d->env, out, olica_bytes_span(&bytes));
  olica_memory_free(d->env, bytes.data);
  return status;
}

static olica_status replace(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  for (size_t i = 0; i < in->count; i++) {
    OLICA_TRY(olica_pattern_replace(&d->pattern, olica_parts_at(in, i), (olica_span){d->content, d->bytes},
                                    &out->text));
    OLICA_TRY(olica_parts_close(d->env, out));
  }
  return OLICA_OK;
}

static int hexadecimal(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the byte of "<0x41>"; -1 for any other token. */
static int byte_of(olica_span token) {
  if (token.bytes != 6 || memcmp(token.data, "<0x", 3) != 0 || token.data[5] != '>') return -1;
  int high = hexadecimal(token.data[3]), low = hexadecimal(token.data[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* An ill-formed run of bytes becomes one U+FFFD per byte. */
static olica_status flush_bytes(olica_env *env, olica_bytes *run, olica_parts *out) {
  olica_bytes scratch = {0};
  olica_span repaired;
  if (run->count == 0) return OLICA_OK;
  olica_status status = olica_unicode_repair(env, olica_bytes_span(run), false, &scratch, &repaired);
  if (status == OLICA_OK && repaired.data == run->data)
    status = olica_parts_append(env, out, run->data, run->count);
  else
    for (size_t i = 0; i < run->count && status == OLICA_OK; i++)
      status = olica_parts_append(env, out, "\xef\xbf\xbd", 3);
  run->count = 0;
  olica_memory_free(env, scratch.data);
  return status;
}

static olica_status byte_fallback(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  olica_bytes run = {0};
  olica_status status = OLICA_OK;
  for (size_t i = 0; i < in->count && status == OLICA_OK; i++) {
    olica_span token = olica_parts_at(in, i);
    int byte = byte_of(token);
    if (byte >= 0) {
      status = olica_bytes_append(d->env, &run, (char[]){(char)byte}, 1);
    } else {
      status = flush_bytes(d->env, &run, out);
      if (status == OLICA_OK) status = olica_parts_append(d->env, out, token.data, token.bytes);
    }
  }
  if (status == OLICA_OK) status = flush_bytes(d->env, &run, out);
  olica_memory_free(d->env, run.data);
  return status;
}

static olica_status fuse(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  return olica_parts_append(d->env, out, in->text.data, in->text.count);
}

static olica_status strip(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  for (size_t i = 0; i < in->count; i++) {
    olica_span token = olica_parts_at(in, i);
    size_t begin = 0, end = token.bytes, at = 0;
    for (int64_t n = 0; n < d->start && begin < end; n++, begin = at)
      if (olica_unicode_next(token, &at) != d->code) break;
    for (int64_t n = 0; n < d->stop && end > begin; n++, end = at)
      if (olica_unicode_before(token, end, &at) != d->code) break;
    OLICA_TRY(olica_parts_append(d->env, out, token.data + begin, end - begin));
  }
  return OLICA_OK;
}

static olica_status metaspace(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  for (size_t i = 0; i < in->count; i++) {
    olica_span token = olica_parts_at(in, i);
    for (size_t at = 0; at < token.bytes;) {
      uint32_t code = olica_unicode_next(token, &at);
      if (code == d->code && i == 0 && !d->keep_first) continue;
      OLICA_TRY(olica_unicode_append(d->env, &out->text, code == d->code ? ' ' : code));
    }
    OLICA_TRY(olica_parts_close(d->env, out));
  }
  return OLICA_OK;
}

static olica_status bpe_suffix(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  for (size_t i = 0; i < in->count; i++) {
    olica_span by = {" ", i + 1 < in->count};
    OLICA_TRY(olica_pattern_replace(&d->pattern, olica_parts_at(in, i), by, &out->text));
    OLICA_TRY(olica_parts_close(d->env, out));
  }
  return OLICA_OK;
}

/* Removes the space before English contractions and punctuation. */
static olica_status clean_up(olica_env *env, olica_span token, olica_bytes *out) {
  static const char *const pairs[][2] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  olica_bytes buffer[2] = {0};
  olica_status status = olica_bytes_append(env, &buffer[0], token.data, token.bytes);
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs && status == OLICA_OK; i++) {
    olica_pattern pattern = {.env = env, .literal = pairs[i][0], .bytes = strlen(pairs[i][0])};
    buffer[~i & 1].count = 0;
    status = olica_pattern_replace(&pattern, olica_bytes_span(&buffer[i & 1]),
                                   (olica_span){pairs[i][1], strlen(pairs[i][1])}, &buffer[~i & 1]);
  }
  if (status == OLICA_OK) status = olica_bytes_append(env, out, buffer[1].data, buffer[1].count);
  olica_memory_free(env, buffer[0].data);
  olica_memory_free(env, buffer[1].data);
  return status;
}

static olica_status word_piece(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  olica_bytes word = {0};
  olica_status status = OLICA_OK;
  for (size_t i = 0; i < in->count && status == OLICA_OK; i++) {
    olica_span token = olica_parts_at(in, i);
    bool inside = i > 0 && token.bytes >= d->bytes && memcmp(token.data, d->content, d->bytes) == 0;
    word.count = 0;
    if (inside) token.data += d->bytes, token.bytes -= d->bytes;
    if (i > 0 && !inside) status = olica_bytes_append(d->env, &word, " ", 1);
    if (status == OLICA_OK) status = olica_bytes_append(d->env, &word, token.data, token.bytes);
    if (status == OLICA_OK)
      status = d->keep_first ? clean_up(d->env, olica_bytes_span(&word), &out->text)
                             : olica_bytes_append(d->env, &out->text, word.data, word.count);
    if (status == OLICA_OK) status = olica_parts_close(d->env, out);
  }
  olica_memory_free(d->env, word.data);
  return status;
}

/* ---- reading ---- */

olica_status olica_decoders_add(olica_decoders *all, olica_decoder_apply *apply, olica_decoder **part) {
  OLICA_TRY(OLICA_GROW(all->env, all->part, all->room, all->count, all->count + 1));
  *part = &all->part[all->count++];
  (*part)->env = all->env;
  (*part)->apply = apply;
  return OLICA_OK;
}

static olica_status keep(olica_decoder *d, olica_span content) {
  OLICA_TRY(OLICA_NEW(d->env, d->content, content.bytes + 1));
  if (content.bytes) memcpy(d->content, content.data, content.bytes);
  d->bytes = content.bytes;
  return OLICA_OK;
}

static olica_status read_byte_level(const olica_node *node, void *all) {
  (void)node;
  return olica_decoders_add(all, byte_level, &(olica_decoder *){NULL});
}

static olica_status read_byte_fallback(const olica_node *node, void *all) {
  (void)node;
  return olica_decoders_add(all, byte_fallback, &(olica_decoder *){NULL});
}

static olica_status read_fuse(const olica_node *node, void *all) {
  (void)node;
  return olica_decoders_add(all, fuse, &(olica_decoder *){NULL});
}

static olica_status read_replace(const olica_node *node, void *all) {
  olica_decoder *d;
  olica_span content = {0};
  OLICA_TRY(olica_node_string(node, "content", true, &content));
  OLICA_TRY(olica_decoders_add(all, replace, &d));
  OLICA_TRY(olica_pattern_read(node, ((olica_decoders *)all)->name, &d->pattern));
  return keep(d, content);
}

static olica_status read_strip(const olica_node *node, void *all) {
  olica_decoder *d;
  OLICA_TRY(olica_decoders_add(all, strip, &d));
  OLICA_TRY(olica_node_character(node, "content", &d->code));
  OLICA_TRY(olica_node_integer(node, "start", true, 0, INT32_MAX, &d->start));
  return olica_node_integer(node, "stop", true, 0, INT32_MAX, &d->stop);
}

static olica_status read_metaspace(const olica_node *node, void *all) {
  static const char *const words[] = {"always", "never", "first"};
  olica_decoder *d;
  bool prefix = true;
  int scheme = 0;
  OLICA_TRY(olica_decoders_add(all, metaspace, &d));
  OLICA_TRY(olica_node_character(node, "replacement", &d->code));
  OLICA_TRY(olica_node_boolean(node, "add_prefix_space", false, &prefix));
  OLICA_TRY(olica_node_word(node, "prepend_scheme", false, words, 3, &scheme));
  d->keep_first = !prefix || scheme == 1;
  return OLICA_OK;
}

static olica_status read_bpe(const olica_node *node, void *all) {
  olica_decoder *d;
  olica_span suffix = {"</w>", 4};
  OLICA_TRY(olica_node_string(node, "suffix", false, &suffix));
  OLICA_TRY(olica_decoders_add(all, bpe_suffix, &d));
  if (suffix.bytes == 0) return olica_node_refuse(node, "suffix", "a string that is not empty");
  return olica_pattern_quote(d->env, suffix, &d->pattern);
}

static olica_status read_word_piece(const olica_node *node, void *all) {
  olica_decoder *d;
  olica_span prefix = {"##", 2};
  OLICA_TRY(olica_node_string(node, "prefix", false, &prefix));
  OLICA_TRY(olica_decoders_add(all, word_piece, &d));
  d->keep_first = true;
  OLICA_TRY(olica_node_boolean(node, "cleanup", false, &d->keep_first));
  return keep(d, prefix);
}

static const olica_node_kind kinds[] = {
    {"ByteLevel", read_byte_level},
    {"Replace", read_replace},
    {"ByteFallback", read_byte_fallback},
    {"Fuse", read_fuse},
    {"Strip", read_strip},
    {"Metaspace", read_metaspace},
    {"BPEDecoder", read_bpe},
    {"WordPiece", read_word_piece},
};

olica_status olica_decoders_read(const olica_node *node, olica_decoders *decoders) {
  olica_node inner;
  OLICA_TRY(olica_node_member(node, "decoder", &inner));
  decoders->given = !olica_node_is_null(&inner);
  return olica_node_parts(&inner, "decoders", kinds, sizeof kinds / sizeof *kinds, decoders);
}

void olica_decoders_free(olica_decoders *all) {
  if (!all->env) return;
  for (size_t i = 0; i < all->count; i++) {
    olica_pattern_free(&all->part[i].pattern);
    OLICA_FREE(all->env, all->part[i].content);
  }
  OLICA_FREE(all->env, all->part);
}

static olica_status join_words(olica_env *env, const olica_parts *tokens, olica_bytes *text) {
  for (size_t i = 0; i < tokens->count; i++) {
    olica_span token = olica_parts_at(tokens, i);
    if (i > 0) OLICA_TRY(olica_bytes_append(env, text, " ", 1));
    OLICA_TRY(olica_bytes_append(env, text, token.data, token.bytes));
  }
  return OLICA_OK;
}

static olica_status grown(const olica_decoders *all, size_t i, size_t bytes) {
  return olica_error_set(all->env, OLICA_ERR_INPUT,
                         "%s: decoder: step %zu makes more than %zu bytes of tokens of %zu, expected at most "
                         "%d times as many, and %d",
                         all->name, i + 1, olica_bytes_bound(bytes), bytes, OLICA_GROWTH, OLICA_GROWTH_LEAST);
}

olica_status olica_decoders_apply(olica_decoders *all, olica_parts *tokens, olica_bytes *text) {
  olica_parts next = {0};
  olica_status status = OLICA_OK;
  size_t bytes = tokens->text.count + tokens->count; /* WordPiece adds a space to a token */
  for (size_t i = 0; i < all->count && tokens->count > 0 && status == OLICA_OK; i++) {
    next.count = next.text.count = 0;
    next.text.most = olica_bytes_bound(bytes);
    next.text.full = false;
    status = all->part[i].apply(&all->part[i], tokens, &next);
    if (status != OLICA_OK && next.text.full) status = grown(all, i, bytes);
    olica_parts old = *tokens;
    *tokens = next;
    next = old;
  }
  if (status == OLICA_OK)
    status = all->given ? olica_bytes_append(all->env, text, tokens->text.data, tokens->text.count)
                        : join_words(all->env, tokens, text);
  olica_parts_free(all->env, &next);
  return status;
}
