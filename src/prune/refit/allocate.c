#include "allocate.h"

#include <math.h>
#include <string.h>

#define EPSILON 0.2 /* of the softmax: smaller numbers set layers further apart */

/* Cost of a step: the loss [L x (full + 1)], or the weights; the other is NULL. */
typedef struct costs {
  const double *loss, *weight;
} costs;

/* The next smaller width; 0: there is none. */
static int next(const olica_refit_shares *s, int width) {
  int smaller = width % s->align ? width - width % s->align : width - s->align;
  return smaller >= s->least ? smaller : 0;
}

int64_t olica_refit_most(const olica_refit_shares *s) {
  int width = s->full;
  while (next(s, width) > 0) width = next(s, width);
  return (int64_t)s->layers * (s->full - width);
}

static double cost(const olica_refit_shares *s, const costs *c, int layer, int from, int to) {
  if (c->weight) return (s->full - to) / c->weight[layer];
  const double *loss = c->loss + (size_t)layer * (size_t)(s->full + 1);
  return (loss[to] - loss[from]) / (from - to);
}

/* Takes the step that costs least, of equal ones that of the first layer, while one fits. */
static void descend(const olica_refit_shares *s, const costs *c, int *width) {
  int64_t left = s->total;
  for (int i = 0; i < s->layers; i++) width[i] = s->full;
  for (int best = 0; best >= 0;) {
    double least = INFINITY;
    best = -1;
    for (int i = 0; i < s->layers; i++) {
      int to = next(s, width[i]);
      if (to == 0 || width[i] - to > left) continue;
      double one = cost(s, c, i, width[i], to);
      if (best >= 0 && !(one < least)) continue;
      least = one;
      best = i;
    }
    if (best < 0) break;
    left -= width[best] - next(s, width[best]);
    width[best] = next(s, width[best]);
  }
}

void olica_refit_convex(double *y, int n, int *hull) {
  int count = 0;
  for (int i = 0; i <= n; i++) {
    while (count > 1) {
      int a = hull[count - 2], b = hull[count - 1];
      if ((y[b] - y[a]) * (i - a) < (y[i] - y[a]) * (b - a)) break;
      count--; /* b lies on or above the line from a to i */
    }
    hull[count++] = i;
  }
  for (int k = 0; k + 1 < count; k++) {
    int a = hull[k], b = hull[k + 1];
    double slope = (y[b] - y[a]) / (b - a), first = y[a];
    for (int i = a + 1; i < b; i++) y[i] = first + slope * (i - a);
  }
}

olica_status olica_refit_by_loss(olica_env *env, const olica_refit_shares *s, const double *curve, int half,
                                 const double *kl, int *width) {
  size_t points = (size_t)s->full + 1;
  double *loss;
  int *hull;
  OLICA_TRY(OLICA_NEW(env, loss, (size_t)s->layers * points));
  OLICA_TRY(OLICA_NEW(env, hull, points));
  memcpy(loss, curve, (size_t)s->layers * points * sizeof *loss);
  for (int i = 0; i < s->layers; i++) {
    double *own = loss + (size_t)i * points;
    olica_refit_convex(own, s->full, hull);
    double scale = own[half] > 0 ? kl[i] / own[half] : 0;
    for (size_t n = 0; n < points; n++) own[n] *= scale;
  }
  descend(s, &(costs){.loss = loss}, width);
  olica_memory_free(env, loss);
  olica_memory_free(env, hull);
  return OLICA_OK;
}

void olica_refit_by_weight(const olica_refit_shares *s, const double *weight, int *width) {
  descend(s, &(costs){.weight = weight}, width);
}

olica_status olica_refit_even(olica_env *env, const olica_refit_shares *s, int *width) {
  double *weight;
  OLICA_TRY(OLICA_NEW(env, weight, (size_t)s->layers));
  for (int i = 0; i < s->layers; i++) weight[i] = 1;
  olica_refit_by_weight(s, weight, width);
  olica_memory_free(env, weight);
  return OLICA_OK;
}

void olica_refit_influence_weights(const double *influence, int n, double *weight) {
  double least = INFINITY, sum = 0;
  for (int i = 0; i < n; i++) least = influence[i] < least ? influence[i] : least;
  for (int i = 0; i < n; i++) sum += weight[i] = exp((least - influence[i]) / EPSILON);
  for (int i = 0; i < n; i++) weight[i] /= sum;
}
