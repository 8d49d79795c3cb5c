#include "normalize.h"

/* ---- one by one ---- */

static olica_status prepend(olica_normalizer *n, olica_span text, olica_bytes *out) {
  OLICA_TRY(olica_bytes_append(n->env, out, n->content, n->bytes));
  return olica_bytes_append(n->env, out, text.data, text.bytes);
}

static olica_status replace(olica_normalizer *n, olica_span text, olica_bytes *out) {
  return olica_pattern_replace(&n->pattern, text, (olica_span){n->content, n->bytes}, out);
}

static olica_status to_form(olica_normalizer *n, olica_span text, olica_bytes *out) {
  return olica_unicode_normalize(n->env, n->form, text, out);
}

static olica_status lowercase(olica_normalizer *n, olica_span text, olica_bytes *out) {
  return olica_unicode_lower(n->env, text, out);
}

static olica_status strip(olica_normalizer *n, olica_span text, olica_bytes *out) {
  size_t begin = 0, end = text.bytes, at;
  for (at = 0; n->left && begin < end && olica_unicode_is_space(olica_unicode_next(text, &at)); begin = at) {
  }
  while (n->right && end > begin && olica_unicode_is_space(olica_unicode_before(text, end, &at))) end = at;
  return olica_bytes_append(n->env, out, text.data + begin, end - begin);
}

static olica_status strip_marks(olica_normalizer *n, olica_span text, olica_bytes *out, bool all) {
  for (size_t at = 0; at < text.bytes;) {
    size_t begin = at;
    uint32_t code = olica_unicode_next(text, &at);
    if (code < 0x80 || !(all ? olica_unicode_is_mark(code) : olica_unicode_is_nonspacing(code)))
      OLICA_TRY(olica_bytes_append(n->env, out, text.data + begin, at - begin));
  }
  return OLICA_OK;
}

static olica_status strip_accents(olica_normalizer *n, olica_span text, olica_bytes *out) {
  return strip_marks(n, text, out, true);
}

static olica_status to_bytes(olica_normalizer *n, olica_span text, olica_bytes *out) {
  for (size_t i = 0; i < text.bytes; i++)
    OLICA_TRY(olica_unicode_append(n->env, out, olica_unicode_of_byte((unsigned char)text.data[i])));
  return OLICA_OK;
}

static olica_status precompiled(olica_normalizer *n, olica_span text, olica_bytes *out) {
  return olica_charsmap_graphemes(n->env, &n->charsmap, text, out);
}

/* Nmt: removes control characters and replaces unusual spaces by plain ones. */
static olica_status nmt(olica_normalizer *n, olica_span text, olica_bytes *out) {
  for (size_t at = 0; at < text.bytes;) {
    uint32_t c = olica_unicode_next(text, &at);
    if ((c >= 1 && c <= 8) || c == 11 || (c >= 14 && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
      continue;
    bool space = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
                 c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
    OLICA_TRY(olica_unicode_append(n->env, out, space ? ' ' : c));
  }
  return OLICA_OK;
}

static bool is_chinese(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* The first two steps of BERT's normalizer: removes control characters, makes spaces plain, and puts spaces
 * around ideographs. */
static olica_status bert_clean(olica_normalizer *n, olica_span text, olica_bytes *out) {
  for (size_t at = 0; at < text.bytes;) {
    uint32_t c = olica_unicode_next(text, &at);
    bool space = olica_unicode_is_space(c);
    if (n->clean && (c == 0 || c == OLICA_REPLACEMENT || (!space && olica_unicode_is_other(c)) || c == 0xb ||
                     c == 0xc || c == 0x85))
      continue;
    bool air = n->chinese && is_chinese(c);
    if (air) OLICA_TRY(olica_bytes_append(n->env, out, " ", 1));
    OLICA_TRY(olica_unicode_append(n->env, out, n->clean && space ? ' ' : c));
    if (air) OLICA_TRY(olica_bytes_append(n->env, out, " ", 1));
  }
  return OLICA_OK;
}

static olica_status bert(olica_normalizer *n, olica_span text, olica_bytes *out) {
  olica_bytes *scratch = &n->scratch;
  scratch->count = 0;
  size_t from = out->count;
  OLICA_TRY(bert_clean(n, text, n->accents || n->lower ? scratch : out));
  if (n->accents) {
    olica_bytes decomposed = {0};
    olica_status status = olica_unicode_normalize(n->env, OLICA_NFD, olica_bytes_span(scratch), &decomposed);
    scratch->count = 0;
    if (status == OLICA_OK)
      status = strip_marks(n, olica_bytes_span(&decomposed), n->lower ? scratch : out, false);
    olica_memory_free(n->env, decomposed.data);
    OLICA_TRY(status);
  }
  if (n->lower) {
    out->count = from;
    OLICA_TRY(olica_unicode_lower(n->env, olica_bytes_span(scratch), out));
  }
  return OLICA_OK;
}

/* ---- reading ---- */

olica_status olica_normalizers_add(olica_normalizers *all, olica_normalizer **part) {
  OLICA_TRY(OLICA_GROW(all->env, all->part, all->room, all->count, all->count + 1));
  *part = &all->part[all->count++];
  (*part)->env = all->env;
  return OLICA_OK;
}

static olica_status keep(olica_normalizer *n, olica_span content) {
  OLICA_TRY(OLICA_NEW(n->env, n->content, content.bytes + 1));
  if (content.bytes) memcpy(n->content, content.data, content.bytes);
  n->bytes = content.bytes;
  return OLICA_OK;
}

static olica_status read_prepend(const olica_node *node, void *all) {
  olica_normalizer *n;
  olica_span content = {0};
  OLICA_TRY(olica_node_string(node, "prepend", true, &content));
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = prepend;
  n->prepends = true;
  return keep(n, content);
}

static olica_status read_replace(const olica_node *node, void *all) {
  olica_normalizer *n;
  olica_span content = {0};
  OLICA_TRY(olica_node_string(node, "content", true, &content));
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = replace;
  OLICA_TRY(olica_pattern_read(node, ((olica_normalizers *)all)->name, &n->pattern));
  return keep(n, content);
}

static olica_status read_form(void *all, olica_form form) {
  olica_normalizer *n;
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = to_form;
  n->form = form;
  return OLICA_OK;
}

static olica_status read_nfc(const olica_node *node, void *all) {
  (void)node;
  return read_form(all, OLICA_NFC);
}

static olica_status read_nfd(const olica_node *node, void *all) {
  (void)node;
  return read_form(all, OLICA_NFD);
}

static olica_status read_nfkc(const olica_node *node, void *all) {
  (void)node;
  return read_form(all, OLICA_NFKC);
}

static olica_status read_nfkd(const olica_node *node, void *all) {
  (void)node;
  return read_form(all, OLICA_NFKD);
}

static olica_status read_plain(void *all,
                               olica_status (*apply)(olica_normalizer *, olica_span, olica_bytes *)) {
  olica_normalizer *n;
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = apply;
  return OLICA_OK;
}

static olica_status read_lowercase(const olica_node *node, void *all) {
  (void)node;
  return read_plain(all, lowercase);
}

static olica_status read_strip_accents(const olica_node *node, void *all) {
  (void)node;
  return read_plain(all, strip_accents);
}

static olica_status read_byte_level(const olica_node *node, void *all) {
  (void)node;
  return read_plain(all, to_bytes);
}

static olica_status read_nmt(const olica_node *node, void *all) {
  (void)node;
  return read_plain(all, nmt);
}

static olica_status read_strip(const olica_node *node, void *all) {
  olica_normalizer *n;
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = strip;
  n->left = n->right = true;
  OLICA_TRY(olica_node_boolean(node, "strip_left", false, &n->left));
  return olica_node_boolean(node, "strip_right", false, &n->right);
}

static olica_status read_bert(const olica_node *node, void *all) {
  olica_normalizer *n;
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = bert;
  n->clean = n->chinese = n->lower = true;
  OLICA_TRY(olica_node_boolean(node, "clean_text", false, &n->clean));
  OLICA_TRY(olica_node_boolean(node, "handle_chinese_chars", false, &n->chinese));
  OLICA_TRY(olica_node_boolean(node, "lowercase", false, &n->lower));
  n->accents = n->lower;
  return olica_node_boolean(node, "strip_accents", false, &n->accents);
}

static olica_status read_precompiled(const olica_node *node, void *all) {
  olica_normalizer *n;
  olica_span base64 = {0};
  OLICA_TRY(olica_node_string(node, "precompiled_charsmap", true, &base64));
  OLICA_TRY(olica_normalizers_add(all, &n));
  n->apply = precompiled;
  return olica_charsmap_decode(node->env, node->where, base64, &n->charsmap);
}

static const olica_node_kind kinds[] = {
    {"Prepend", read_prepend},
    {"Replace", read_replace},
    {"NFC", read_nfc},
    {"NFD", read_nfd},
    {"NFKC", read_nfkc},
    {"NFKD", read_nfkd},
    {"Lowercase", read_lowercase},
    {"Strip", read_strip},
    {"StripAccents", read_strip_accents},
    {"ByteLevel", read_byte_level},
    {"Nmt", read_nmt},
    {"Precompiled", read_precompiled},
    {"BertNormalizer", read_bert},
};

olica_status olica_normalizers_read(const olica_node *node, olica_normalizers *normalizers) {
  olica_node inner;
  OLICA_TRY(olica_node_member(node, "normalizer", &inner));
  return olica_node_parts(&inner, "normalizers", kinds, sizeof kinds / sizeof *kinds, normalizers);
}

void olica_normalizers_free(olica_normalizers *all) {
  if (!all->env) return;
  for (size_t i = 0; i < all->count; i++) {
    olica_pattern_free(&all->part[i].pattern);
    olica_charsmap_free(all->env, &all->part[i].charsmap);
    OLICA_FREE(all->env, all->part[i].content);
    OLICA_FREE(all->env, all->part[i].scratch.data);
  }
  OLICA_FREE(all->env, all->part);
  for (int i = 0; i < 2; i++) OLICA_FREE(all->env, all->scratch[i].data);
}

static olica_status grown(const olica_normalizers *all, size_t i, size_t bytes) {
  return olica_error_set(all->env, OLICA_ERR_INPUT,
                         "%s: normalizer: step %zu makes more than %zu bytes of a text of %zu, expected at "
                         "most %d times as many, and %d",
                         all->name, i + 1, olica_bytes_bound(bytes), bytes, OLICA_GROWTH, OLICA_GROWTH_LEAST);
}

olica_status olica_normalizers_apply(olica_normalizers *all, olica_span text, olica_span *out) {
  *out = text;
  for (size_t i = 0; i < all->count && out->bytes > 0; i++) {
    olica_bytes *next = &all->scratch[i % 2];
    next->count = 0;
    next->most = olica_bytes_bound(text.bytes);
    next->full = false;
    olica_status status = all->part[i].apply(&all->part[i], *out, next);
    if (status != OLICA_OK) return next->full ? grown(all, i, text.bytes) : status;
    *out = olica_bytes_span(next);
  }
  return OLICA_OK;
}
