/* The one style of all pictures, as lines of gnuplot scripts: size, font, grid, and colours that colour-blind
 * people can tell apart. Pure. */
#ifndef OLICA_PLOT_STYLE_H
#define OLICA_PLOT_STYLE_H

#include <stdio.h>

enum { OLICA_STYLE_WIDTH = 760, OLICA_STYLE_HEIGHT = 440 };

/* Returns colour number i, "#0072b2" (Okabe and Ito's scheme), and a filled point type beside it. They
 * repeat after seven. */
const char *olica_style_colour(int i);
int olica_style_point(int i);

/* Begins the script NAME.gp, which reads the file `data` and draws NAME.svg and NAME.png: comment, style,
 * title. */
void olica_style_begin(FILE *to, const char *name, const char *data, const char *title);

/* What stands around the script's plot command, which is drawn twice, `height` pixels high: as SVG and, where
 * gnuplot has cairo, as PNG. */
void olica_style_draw(FILE *to, const char *name, int height);
void olica_style_end(FILE *to);

/* The axis of `layers` layers, numbered from 0, with ticks that do not touch. */
void olica_style_layers(FILE *to, int layers);

/* Writes a text as a string of gnuplot, in quotation marks. */
void olica_style_text(FILE *to, const char *text);

#endif
