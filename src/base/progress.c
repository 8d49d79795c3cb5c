#include "base/progress.h"

#include <stdio.h>
#include <string.h>

#include "base/terminal.h"

enum { LEFT = 32, BAR_LEAST = 8, BAR_MOST = 40 };

olica_progress olica_progress_begin(const char *what, int steps, int first) {
  return (olica_progress){.what = what, .steps = steps, .first = first, .since = olica_timer_now()};
}

/* "5 min 20 s" */
static void time_text(double seconds, char text[LEFT]) {
  if (seconds < 59.5)
    snprintf(text, LEFT, "%.0f s", seconds);
  else if (seconds < 3600)
    snprintf(text, LEFT, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
  else
    snprintf(text, LEFT, "%d h %02d min", (int)(seconds / 3600), (int)(seconds / 60) % 60);
}

/* Formats the bar in at most `columns` - 1 characters: task, steps, bar, percentage, time left. If it does
 * not fit, the bar is left out first, then the text is cut. text [OLICA_LOG_BAR]. */
static void draw(const olica_progress *progress, int done, double left, int columns, char *text) {
  char time[LEFT], head[64], tail[64], bar[BAR_MOST + 4] = "";
  int most = columns - 1 < OLICA_LOG_BAR - 1 ? columns - 1 : OLICA_LOG_BAR - 1;
  time_text(left, time);
  snprintf(head, sizeof head, "%s %d/%d", progress->what, done, progress->steps);
  snprintf(tail, sizeof tail, " %3d%% %s left", 100 * done / progress->steps, time);
  int room = most - (int)strlen(head) - (int)strlen(tail) - 3; /* a blank and two brackets */
  if (room > BAR_MOST) room = BAR_MOST;
  if (room >= BAR_LEAST) {
    memset(bar, '.', (size_t)room + 3);
    memset(bar + 2, '#', (size_t)room * (size_t)done / (size_t)progress->steps);
    memcpy(bar, " [", 2);
    bar[room + 2] = ']';
    bar[room + 3] = '\0';
  }
  snprintf(text, most > 0 ? (size_t)most + 1 : 1, "%s%s%s", head, bar, tail);
}

void olica_progress_step(olica_env *env, const olica_progress *progress, int done, const char *detail) {
  olica_log *log = &env->log;
  char text[OLICA_LOG_BAR];
  if (!log->speaks || log->quiet) return;
  double left = (olica_timer_now() - progress->since) / (done - progress->first) * (progress->steps - done);
  if (log->on_terminal) {
    draw(progress, done, left, olica_terminal_columns(log->terminal), text);
    olica_log_bar(env, text);
    return;
  }
  time_text(left, text);
  olica_log_line(env, "%s %d (%d of %d)%s%s, %s left in this sweep", progress->what, done - 1, done,
                 progress->steps, *detail ? ": " : "", detail, text);
}

void olica_progress_end(olica_env *env) {
  olica_log_bar(env, "");
}
