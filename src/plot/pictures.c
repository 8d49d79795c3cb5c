#include "pictures.h"

#include <math.h>

const olica_picture *olica_pictures_at(int i) {
  static const olica_picture *const table[] = {&olica_picture_perplexity,  &olica_picture_widths,
                                               &olica_picture_linearity,   &olica_picture_sensitivity,
                                               &olica_picture_errors,      &olica_picture_spectra,
                                               &olica_picture_importance,  &olica_picture_time,
                                               &olica_picture_layer_times, &olica_picture_speed};
  return i >= 0 && i < (int)(sizeof table / sizeof *table) ? table[i] : NULL;
}

void olica_pictures_number(FILE *to, double value) {
  if (isfinite(value))
    fprintf(to, " %.10g", value);
  else
    fputs(" ?", to);
}
