#include "plot/style.h"

static const struct {
  const char *colour;
  int point;
} styles[] = {{"#0072b2", 7},  {"#d55e00", 5},  {"#009e73", 9}, {"#cc79a7", 13},
              {"#e69f00", 11}, {"#56b4e9", 15}, {"#000000", 3}};

enum { STYLES = sizeof styles / sizeof *styles };

const char *olica_style_colour(int i) {
  return styles[i % STYLES].colour;
}

int olica_style_point(int i) {
  return styles[i % STYLES].point;
}

void olica_style_text(FILE *to, const char *text) {
  fputc('"', to);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\' || *text == '`')
      fprintf(to, "\\%o", (unsigned)*text);
    else
      fputc((unsigned char)*text < ' ' ? '?' : *text, to);
  }
  fputc('"', to);
}

void olica_style_begin(FILE *to, const char *name, const char *data, const char *title) {
  fprintf(to, "# gnuplot %s.gp    draws %s.svg and %s.png\ndata = ", name, name, name);
  olica_style_text(to, data);
  fprintf(to, "\nset encoding utf8\nset title ");
  olica_style_text(to, title);
  fprintf(to, " noenhanced\n");
  for (int i = 0; i < STYLES; i++)
    fprintf(to, "set linetype %d linecolor rgb \"%s\" linewidth 2 pointtype %d\n", i + 1, styles[i].colour,
            styles[i].point);
  fprintf(to, "set border 3 linecolor rgb \"#555555\"\nset tics nomirror out\n"
              "set grid linecolor rgb \"#dddddd\" linetype 1 linewidth 1\n"
              "set style fill solid 0.85 noborder\nset boxwidth 0.8\n"
              "set key outside top center horizontal noenhanced\nset datafile missing \"?\"\n"
              "set palette defined (0 \"#440154\", 0.35 \"#31688e\", 0.7 \"#35b779\", 1 \"#8fb015\")\n");
}

void olica_style_draw(FILE *to, const char *name, int height) {
  fprintf(to,
          "do for [drawn = 1:2] {\n"
          "  if (drawn == 1) {\n"
          "    set terminal svg size %d,%d font \"DejaVu Sans,14\" background \"white\"\n"
          "    set output \"%s.svg\"\n"
          "  } else {\n"
          "    if (strstrt(GPVAL_TERMINALS, \"pngcairo\") == 0) { break }\n"
          "    set terminal pngcairo size %d,%d font \"DejaVu Sans,16\" background \"white\"\n"
          "    set output \"%s.png\"\n"
          "  }\n",
          OLICA_STYLE_WIDTH, height, name, OLICA_STYLE_WIDTH * 3 / 2, height * 3 / 2, name);
}

void olica_style_end(FILE *to) {
  fprintf(to, "  unset output\n}\n");
}

void olica_style_layers(FILE *to, int layers) {
  static const int steps[] = {1, 2, 5, 10, 20, 50, 100, 200};
  int i = 0;
  while (i < (int)(sizeof steps / sizeof *steps) - 1 && layers > 20 * steps[i]) i++;
  fprintf(to, "set xlabel \"layer\"\nset xrange [-0.7:%g]\nset xtics 0,%d\n", layers - 0.3, steps[i]);
}
