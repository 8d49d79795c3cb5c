/* Translates Oniguruma's dialect (its Ruby syntax, which the tokenizers package compiles patterns with) to
 * PCRE2's (UTF, UCP, MULTILINE). The differences: \s \w \h \b and their classes, nested sets and their
 * intersections, names of properties, (?m), \uHHHH, and the meaning of a plus after {n,m}. */
#include <stdio.h>

#include "regex.h"

enum { NAME = 48, NESTED = 24 };
#define ALNUM "\\p{Alphabetic}\\p{Nd}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" /* for a \w outside a set */
#define ALONE "[" WORD_ALONE "]"
#define GRAPH "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}"
#define PRINT GRAPH "\\p{Zs}"

typedef struct translation {
  olica_env *env;
  olica_span in;
  size_t at;
  olica_bytes *out;
  size_t atom;      /* begin of the last atom in `out` */
  size_t group[64]; /* begins of the open groups */
  int groups;
} translation;

static olica_status put(translation *t, const char *text) {
  return olica_bytes_append(t->env, t->out, text, strlen(text));
}

static olica_status copy(translation *t, size_t count) {
  size_t left = t->in.bytes - t->at;
  if (count > left) count = left;
  OLICA_TRY(olica_bytes_append(t->env, t->out, t->in.data + t->at, count));
  t->at += count;
  return OLICA_OK;
}

static int peek(const translation *t, size_t ahead) {
  return t->at + ahead < t->in.bytes ? (unsigned char)t->in.data[t->at + ahead] : -1;
}

/* ---- properties ---- */

static const struct {
  const char *name, *pcre; /* name in lower case, without blanks, hyphens and underscores */
} properties[] = {
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"casedletter", "L&"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"combiningmark", "M"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"surrogate", "Cs"},
    {"unassigned", "Cn"},
    {"alpha", "Alphabetic"},
    {"digit", "Nd"},
    {"space", "White_Space"},
    {"punct", "P"},
    {"cntrl", "Cc"},
    {"upper", "Uppercase"},
    {"lower", "Lowercase"},

    {"xdigit", "AHex"},
};

/* Names of scripts: PCRE2 would include their extensions too. */
static const char *const scripts[] = {
    "arabic",   "armenian",   "bengali",   "bopomofo",  "braille", "cherokee", "common",   "coptic",
    "cyrillic", "devanagari", "ethiopic",  "georgian",  "greek",   "gujarati", "gurmukhi", "han",
    "hangul",   "hebrew",     "hiragana",  "inherited", "kannada", "katakana", "khmer",    "lao",
    "latin",    "malayalam",  "mongolian", "myanmar",   "ogham",   "oriya",    "runic",    "sinhala",
    "syriac",   "tamil",      "telugu",    "thaana",    "thai",    "tibetan",  "yi",
};

static const char *find_property(const char *name, const char **prefix) {
  *prefix = "";
  for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
    if (strcmp(properties[i].name, name) == 0) return properties[i].pcre;
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
    if (strcmp(scripts[i], name) == 0) *prefix = "sc:";
  return name;
}

/* Translates \p{...} or \P{...}; `t->at` is at the backslash. */
static olica_status put_property(translation *t, bool in_set) {
  const char *open = t->in.data + t->at + 3, *end = t->in.data + t->in.bytes;
  if (peek(t, 2) != '{') return copy(t, 3);
  bool negated = peek(t, 1) == 'P';
  if (open < end && *open == '^') negated = !negated, open++;
  const char *close = open < end ? memchr(open, '}', (size_t)(end - open)) : NULL;
  if (!close || close - open >= NAME) return copy(t, 2);
  char name[NAME], whole[2 * NAME];
  size_t n = 0;
  for (const char *c = open; c < close; c++)
    if (*c != ' ' && *c != '_' && *c != '-') name[n++] = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
  name[n] = '\0';
  const char *prefix, *known = find_property(name, &prefix);
  if (strcmp(name, "alnum") == 0) { /* PCRE2 has no single property for it */
    t->at = (size_t)(close + 1 - t->in.data);
    if (!negated) return put(t, in_set ? ALNUM : "[" ALNUM "]");
    return put(t, in_set ? "\\P{Xan}" : "[^" ALNUM "]");
  }
  snprintf(whole, sizeof whole, "\\%c{%s%s}", negated ? 'P' : 'p', prefix, known);
  t->at = (size_t)(close + 1 - t->in.data);
  return put(t, whole);
}

/* ---- escapes ---- */

static olica_status put_code(translation *t) {
  char text[16];
  snprintf(text, sizeof text, "\\x{%.4s}", t->in.data + t->at + 2);
  t->at += 6;
  return put(t, text);
}

static olica_status replace(translation *t, const char *text) {
  t->at += 2;
  return put(t, text);
}

static olica_status put_escape(translation *t, bool in_set) {
  switch (peek(t, 1)) {
  case 's':
    return replace(t, "\\p{White_Space}");
  case 'S':
    return replace(t, "\\P{White_Space}");
  case 'd':
    return replace(t, "\\p{Nd}");
  case 'D':
    return replace(t, "\\P{Nd}");
  case 'h':
    return replace(t, in_set ? "0-9a-fA-F" : "[0-9a-fA-F]");
  case 'H':
    return replace(t, "[^0-9a-fA-F]");
  case 'w':
    return replace(t, in_set ? WORD : ALONE);
  case 'W':
    return replace(t, in_set ? "[^" WORD "]" : "[^" WORD_ALONE "]");
  case 'b':
    if (in_set) return copy(t, 2);
    return replace(t, "(?:(?<=" ALONE ")(?!" ALONE ")|(?<!" ALONE ")(?=" ALONE "))");
  case 'B':
    return replace(t, "(?:(?<=" ALONE ")(?=" ALONE ")|(?<!" ALONE ")(?!" ALONE "))");
  case 'p':
  case 'P':
    return put_property(t, in_set);
  case 'u':
    return t->in.bytes - t->at >= 6 ? put_code(t) : copy(t, 2);
  default: {
    /* Copies the whole character after the backslash. */
    size_t count = 2;
    while (peek(t, count) >= 0 && (peek(t, count) & 0xc0) == 0x80) count++;
    return copy(t, count);
  }
  }
}

/* ---- sets ---- */

/* One operand of &&: plain members, and alternatives that cannot be members of a PCRE2 set. */
typedef struct operand {
  olica_bytes members, others;
} operand;

static olica_status put_set(translation *t, int depth);

/* Runs a step of the translation with another output buffer. */
static olica_status into(translation *t, olica_bytes *out, olica_status (*step)(translation *, int),
                         int depth) {
  olica_bytes *old = t->out;
  t->out = out;
  olica_status status = step(t, depth);
  t->out = old;
  return status;
}

static olica_status put_member(translation *t, int depth) {
  (void)depth;
  if (peek(t, 0) == '\\') return put_escape(t, true);
  return copy(t, 1);
}

static olica_status put_negated_escape(translation *t, int depth) {
  (void)depth;
  return put_escape(t, true);
}

/* Returns the members of [:name:], a class of the table. */
static const char *find_class(const char *name, size_t bytes) {
  static const char *const classes[][2] = {
      {"alnum", "\\p{Alphabetic}\\p{Nd}"},
      {"alpha", "\\p{Alphabetic}"},
      {"ascii", "\\x{0}-\\x{7f}"},
      {"blank", "\\p{Zs}\\t"},
      {"cntrl", "\\p{Cc}"},
      {"digit", "\\p{Nd}"},
      {"graph", GRAPH},
      {"lower", "\\p{Lowercase}"},
      {"print", PRINT},
      {"punct", "\\p{P}\\p{S}"},
      {"space", "\\p{White_Space}"},
      {"upper", "\\p{Uppercase}"},
      {"word", WORD},
      {"xdigit", "0-9a-fA-F"},
  };
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strlen(classes[i][0]) == bytes && memcmp(classes[i][0], name, bytes) == 0) return classes[i][1];
  return NULL;
}

/* Returns the length of [:name:] or [:^name:] here, 0 for anything else. */
static size_t posix(const translation *t, const char **members, bool *negated) {
  size_t from = 2, n = 0;
  if (peek(t, 0) != '[' || peek(t, 1) != ':') return 0;
  *negated = peek(t, 2) == '^';
  if (*negated) from++;
  while (peek(t, from + n) >= 'a' && peek(t, from + n) <= 'z') n++;
  if (peek(t, from + n) != ':' || peek(t, from + n + 1) != ']') return 0;
  *members = find_class(t->in.data + t->at + from, n);
  return *members ? from + n + 2 : 0;
}

/* Adds a class as a member, or a negated one as an alternative. */
static olica_status put_posix(translation *t, operand *o, size_t bytes, const char *members, bool negated) {
  t->at += bytes;
  if (!negated) return olica_bytes_append(t->env, &o->members, members, strlen(members));
  OLICA_TRY(olica_bytes_append(t->env, &o->others, "|[^", o->others.count ? 3 : 0));
  if (o->others.count == 0) OLICA_TRY(olica_bytes_append(t->env, &o->others, "[^", 2));
  OLICA_TRY(olica_bytes_append(t->env, &o->others, members, strlen(members)));
  return olica_bytes_append(t->env, &o->others, "]", 1);
}

static olica_status read_operand(translation *t, operand *o, int depth) {
  for (bool first = true; peek(t, 0) >= 0; first = false) {
    if (peek(t, 0) == ']' && !first) break;
    if (peek(t, 0) == '&' && peek(t, 1) == '&') break;
    const char *members;
    bool negated;
    size_t bytes = posix(t, &members, &negated);
    if (bytes) {
      OLICA_TRY(put_posix(t, o, bytes, members, negated));
    } else if (peek(t, 0) == '[') {
      if (o->others.count) OLICA_TRY(olica_bytes_append(t->env, &o->others, "|", 1));
      OLICA_TRY(into(t, &o->others, put_set, depth + 1));
    } else if (peek(t, 0) == '\\' && (peek(t, 1) == 'W' || peek(t, 1) == 'H')) {
      if (o->others.count) OLICA_TRY(olica_bytes_append(t->env, &o->others, "|", 1));
      OLICA_TRY(into(t, &o->others, put_negated_escape, depth));
    } else {
      OLICA_TRY(into(t, &o->members, put_member, depth));
    }
  }
  return OLICA_OK;
}

/* (?:[members]|others) */
static olica_status put_operand(translation *t, const operand *o) {
  OLICA_TRY(put(t, "(?:"));
  if (o->members.count) {
    OLICA_TRY(put(t, "["));
    OLICA_TRY(olica_bytes_append(t->env, t->out, o->members.data, o->members.count));
    OLICA_TRY(put(t, o->others.count ? "]|" : "]"));
  }
  OLICA_TRY(olica_bytes_append(t->env, t->out, o->others.data, o->others.count));
  return put(t, ")");
}

/* Writes the operand in `o` and those after further &&: all but the last as lookaheads. */
static olica_status put_operands(translation *t, operand *o, int depth) {
  while (peek(t, 0) == '&') {
    t->at += 2;
    OLICA_TRY(put(t, "(?="));
    OLICA_TRY(put_operand(t, o));
    OLICA_TRY(put(t, ")"));
    o->members.count = o->others.count = 0;
    OLICA_TRY(read_operand(t, o, depth));
  }
  return put_operand(t, o);
}

static olica_status put_read_set(translation *t, operand *o, bool negated, int depth) {
  OLICA_TRY(read_operand(t, o, depth));
  if (!o->others.count && peek(t, 0) != '&') {
    OLICA_TRY(put(t, negated ? "[^" : "["));
    OLICA_TRY(olica_bytes_append(t->env, t->out, o->members.data, o->members.count));
    return copy(t, 1);
  }
  OLICA_TRY(put(t, negated ? "(?:(?!" : "(?:"));
  OLICA_TRY(put_operands(t, o, depth));
  t->at++;
  return put(t, negated ? ")(?s:.))" : ")");
}

static olica_status put_set(translation *t, int depth) {
  if (depth > NESTED) return copy(t, t->in.bytes);
  operand o = {0};
  t->at++;
  bool negated = peek(t, 0) == '^';
  if (negated) t->at++;
  olica_status status = put_read_set(t, &o, negated, depth);
  olica_memory_free(t->env, o.members.data);
  olica_memory_free(t->env, o.others.data);
  return status;
}

/* ---- groups and quantifiers ---- */

static olica_status open_group(translation *t) {
  if (t->groups < (int)(sizeof t->group / sizeof *t->group)) t->group[t->groups] = t->out->count;
  t->groups++;
  OLICA_TRY(copy(t, 1));
  if (peek(t, 0) != '?') return OLICA_OK;
  size_t n = 1;
  while (peek(t, n) >= 0 && strchr("imxa-", peek(t, n))) n++;
  if (peek(t, n) != ')' && peek(t, n) != ':') return copy(t, 1);
  for (size_t i = 0; i < n; i++) {
    int letter = peek(t, 0); /* Ruby's m: a dot matches line breaks */
    t->at++;
    OLICA_TRY(put(t, letter == 'm' ? "s" : (char[]){(char)letter, '\0'}));
  }
  return OLICA_OK;
}

static olica_status close_group(translation *t) {
  if (t->groups > 0 && --t->groups < (int)(sizeof t->group / sizeof *t->group)) t->atom = t->group[t->groups];
  return copy(t, 1);
}

/* Returns the length of an interval {n}, {n,}, {,m} or {n,m} here, 0: none. */
static size_t interval(const translation *t) {
  size_t n = 1, digits = 0;
  for (; peek(t, n) >= '0' && peek(t, n) <= '9'; n++) digits++;
  if (peek(t, n) == ',')
    for (n++; peek(t, n) >= '0' && peek(t, n) <= '9'; n++) digits++;
  return peek(t, n) == '}' && digits ? n + 1 : 0;
}

/* In Oniguruma {n,m}+ repeats the interval; in PCRE2 it would be possessive. */
static olica_status put_interval(translation *t, size_t bytes) {
  bool open = peek(t, 1) == ',', again = peek(t, bytes) == '+';
  if (again) {
    OLICA_TRY(olica_bytes_append(t->env, t->out, "(?:", 3));
    char *atom = t->out->data + t->atom;
    memmove(atom + 3, atom, t->out->count - 3 - t->atom);
    for (int i = 0; i < 3; i++) atom[i] = "(?:"[i];
  }
  OLICA_TRY(copy(t, 1));
  if (open) OLICA_TRY(put(t, "0"));
  OLICA_TRY(copy(t, bytes - 1));
  return again ? put(t, ")") : OLICA_OK;
}

static olica_status put_next(translation *t) {
  int c = peek(t, 0);
  size_t bytes = c == '{' ? interval(t) : 0;
  if (bytes) return put_interval(t, bytes);
  if (c == ')') return close_group(t);
  if (c == '(') return open_group(t);
  if (c != '*' && c != '+' && c != '?') t->atom = t->out->count;
  if (c == '[') return put_set(t, 0);
  if (c == '\\') return put_escape(t, false);
  size_t count = 1; /* a whole character, since it is an atom */
  while (peek(t, count) >= 0 && (peek(t, count) & 0xc0) == 0x80) count++;
  return copy(t, count);
}

olica_status olica_oniguruma_translate(olica_env *env, olica_span pattern, olica_bytes *out) {
  translation t = {.env = env, .in = pattern, .out = out};
  while (t.at < t.in.bytes) OLICA_TRY(put_next(&t));
  return olica_bytes_reserve(env, out, 1);
}
