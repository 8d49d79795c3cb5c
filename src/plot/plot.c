#include "plot/plot.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "draw.h"
#include "io/file.h"
#include "page.h"
#include "pictures.h"
#include "plot/style.h"

enum { NAME = 64, LARGEST = 64 << 20 };

typedef struct plot {
  olica_env *env;
  const char *directory;
  const olica_plot_reports *reports;
  bool draws; /* there is a gnuplot, as far as is known */
  int pictures;
  FILE *page;
} plot;

/* ---- the directory ---- */

static olica_status path_in(olica_env *env, const char *directory, const char *name,
                            char path[OLICA_FILE_PATH]) {
  if (snprintf(path, OLICA_FILE_PATH, "%s/%s", directory, name) < OLICA_FILE_PATH) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_CONFIG, "--plot: %s: the name is longer than %d bytes", directory,
                         OLICA_FILE_PATH);
}

/* *ours: index.html is a page of ours. */
static olica_status is_ours(olica_env *env, const char *directory, bool *ours) {
  char path[OLICA_FILE_PATH], line[sizeof OLICA_PAGE_MARK] = "";
  OLICA_TRY(path_in(env, directory, "index.html", path));
  FILE *page = fopen(path, "r");
  *ours =
      page && fread(line, 1, sizeof line - 1, page) == sizeof line - 1 && strcmp(line, OLICA_PAGE_MARK) == 0;
  if (page) fclose(page);
  return OLICA_OK;
}

/* Returns true if a name is one of a picture's files: [N-]NAME.dat, .gp, .svg, .png. */
static bool is_picture(const char *name) {
  static const char *const ends[] = {".dat", ".gp", ".svg", ".png"};
  const olica_picture *picture;
  size_t digits = strspn(name, "0123456789");
  const char *bare = digits > 0 && name[digits] == '-' ? name + digits + 1 : name;
  for (int i = 0; (picture = olica_pictures_at(i)); i++) {
    size_t length = strlen(picture->name);
    if (strncmp(bare, picture->name, length) != 0) continue;
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
      if (strcmp(bare + length, ends[e]) == 0) return true;
  }
  return false;
}

static olica_status refused(olica_env *env, const char *directory, const char *what) {
  return olica_error_set(env, OLICA_ERR_IO, "--plot: %s: %s: %s", directory, what, strerror(errno));
}

/* Looks through the directory: refuses a foreign one, removes the pictures of an earlier call from ours. */
static olica_status clear(olica_env *env, const char *directory, DIR *open) {
  bool ours;
  struct dirent *entry;
  OLICA_TRY(is_ours(env, directory, &ours));
  while ((entry = readdir(open))) {
    char path[OLICA_FILE_PATH];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (!ours)
      return olica_error_set(env, OLICA_ERR_CONFIG,
                             "--plot: %s holds %.64s, and no page of an earlier --plot; expected a new or an "
                             "empty directory",
                             directory, entry->d_name);
    OLICA_TRY(path_in(env, directory, entry->d_name, path));
    if (is_picture(entry->d_name) && unlink(path) != 0)
      return refused(env, directory, "cannot remove a picture");
  }
  return OLICA_OK;
}

static olica_status prepare(olica_env *env, const char *directory) {
  if (!*directory)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--plot needs a directory's name; try --help");
  if (mkdir(directory, 0777) != 0 && errno != EEXIST)
    return refused(env, directory, "cannot make the directory");
  DIR *open = opendir(directory);
  if (!open && errno == ENOTDIR)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--plot: %s is no directory, expected a new or an empty one", directory);
  if (!open) return refused(env, directory, "cannot read the directory");
  olica_status status = clear(env, directory, open);
  closedir(open);
  return status;
}

/* ---- files ---- */

static olica_status save(const plot *p, const char *name, const char *end, const char *text, size_t bytes) {
  char path[OLICA_FILE_PATH], file[NAME + 8];
  snprintf(file, sizeof file, "%s%s", name, end);
  OLICA_TRY(path_in(p->env, p->directory, file, path));
  return olica_file_save(p->env, path, text, bytes);
}

typedef void writing(const olica_picture *picture, const olica_picture_of *of, const char *name, FILE *to);

static void write_data(const olica_picture *picture, const olica_picture_of *of, const char *name, FILE *to) {
  (void)name;
  picture->data(of, to);
}

static void write_script(const olica_picture *picture, const olica_picture_of *of, const char *name,
                         FILE *to) {
  int height = picture->height ? picture->height(of) : OLICA_STYLE_HEIGHT;
  char data[NAME + 8];
  snprintf(data, sizeof data, "%s.dat", name);
  olica_style_begin(to, name, data, picture->title);
  picture->settings(of, to);
  olica_style_draw(to, name, height);
  picture->plot(of, to);
  olica_style_end(to);
}

static olica_status save_written(const plot *p, const olica_picture *picture, const olica_picture_of *of,
                                 const char *name, const char *end, writing *write) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *to = open_memstream(&text, &bytes);
  if (!to) return olica_error_set(p->env, OLICA_ERR_MEMORY, "no memory for a picture's files");
  write(picture, of, name, to);
  fclose(to);
  olica_status status = save(p, name, end, text, bytes);
  free(text);
  return status;
}

/* ---- pictures ---- */

/* Draws a script that was written, and puts the picture on the page. */
static olica_status put_on_page(plot *p, const olica_picture *picture, const char *name, const char *of) {
  char path[OLICA_FILE_PATH], file[NAME + 8], *svg = NULL;
  size_t bytes = 0;
  snprintf(file, sizeof file, "%s.gp", name);
  if (p->draws) OLICA_TRY(olica_draw_script(p->env, p->directory, file, &p->draws));
  snprintf(file, sizeof file, "%s.svg", name);
  OLICA_TRY(path_in(p->env, p->directory, file, path));
  if (p->draws) OLICA_TRY(olica_file_load(p->env, path, LARGEST, &svg, &bytes));
  olica_page_picture(p->page, name, picture->title, picture->about, of, svg, bytes);
  olica_memory_free(p->env, svg);
  p->pictures++;
  return OLICA_OK;
}

/* number 0: the picture of all reports, or of the only one. */
static olica_status make(plot *p, const olica_picture *picture, const olica_picture_of *of, int number) {
  char name[NAME];
  if (!picture->has(of)) return OLICA_OK;
  if (number > 0)
    snprintf(name, sizeof name, "%d-%s", number, picture->name);
  else
    snprintf(name, sizeof name, "%s", picture->name);
  OLICA_TRY(save_written(p, picture, of, name, ".dat", write_data));
  OLICA_TRY(save_written(p, picture, of, name, ".gp", write_script));
  return put_on_page(p, picture, name, number > 0 ? of->report->label : NULL);
}

static olica_status make_all(plot *p, const olica_picture_of *of, bool of_all, int number) {
  const olica_picture *picture;
  for (int i = 0; (picture = olica_pictures_at(i)); i++)
    if (picture->of_all == of_all) OLICA_TRY(make(p, picture, of, number));
  return OLICA_OK;
}

/* Warns, in the log and on the page, of figures that do not belong in one picture. */
static void warn_of_texts(plot *p) {
  char key[2][OLICA_PICTURES_KEY], text[4 * OLICA_PICTURES_KEY];
  const olica_plot_report *first = NULL, *report;
  for (int i = 0; i < p->reports->count; i++) {
    report = &p->reports->report[i];
    if (isnan(olica_reports_number(report, "perplexity", "tokens"))) continue;
    if (!first) first = report;
    olica_pictures_text_key(first, key[0]);
    olica_pictures_text_key(report, key[1]);
    if (strcmp(key[0], key[1]) == 0) continue;
    snprintf(text, sizeof text, "perplexities of different texts cannot be compared: %s has %s, %s has %s",
             first->label, key[0], report->label, key[1]);
    olica_log_warn(p->env, "%s", text);
    olica_page_warn(p->page, text);
    return;
  }
}

static olica_status write_page(plot *p) {
  const olica_plot_reports *reports = p->reports;
  const olica_picture_of all = {reports->count, reports->report};
  olica_page_begin(p->page, reports);
  warn_of_texts(p);
  if (reports->count > 1) OLICA_TRY(make_all(p, &all, true, 0));
  for (int i = 0; i < reports->count; i++) {
    const olica_picture_of one = {1, &reports->report[i]};
    olica_page_report(p->page, &reports->report[i], reports->count == 1);
    if (reports->count == 1) OLICA_TRY(make_all(p, &one, true, 0));
    OLICA_TRY(make_all(p, &one, false, reports->count > 1 ? i + 1 : 0));
  }
  olica_page_end(p->page);
  return OLICA_OK;
}

static olica_status make_page(plot *p) {
  char *text = NULL;
  size_t bytes = 0;
  p->page = open_memstream(&text, &bytes);
  if (!p->page) return olica_error_set(p->env, OLICA_ERR_MEMORY, "no memory for the page");
  olica_status status = write_page(p);
  fclose(p->page);
  if (status == OLICA_OK) status = save(p, "index", ".html", text, bytes);
  free(text);
  return status;
}

static olica_status run(olica_env *env, const char *directory, int count, const char *const *paths,
                        olica_plot_reports *reports) {
  plot p = {.env = env, .directory = directory, .reports = reports, .draws = true};
  OLICA_TRY(olica_reports_read(env, count, paths, reports));
  OLICA_TRY(prepare(env, directory));
  /* A page first: a call that is interrupted leaves a directory that the next one takes. */
  OLICA_TRY(save(&p, "index", ".html", OLICA_PAGE_MARK "\n", strlen(OLICA_PAGE_MARK) + 1));
  OLICA_TRY(make_page(&p));
  if (!p.draws)
    olica_log_warn(
        env,
        "gnuplot is not in PATH: %s has data files and scripts, and no pictures; install it (Debian: "
        "gnuplot-nox) and repeat",
        directory);
  printf("%s/index.html: %d picture%s of %d report%s%s\n", directory, p.pictures,
         olica_log_plural(p.pictures), reports->count, olica_log_plural(reports->count),
         p.draws ? "" : ", not drawn");
  return OLICA_OK;
}

olica_status olica_plot_run(olica_env *env, const char *directory, int count, const char *const *paths) {
  olica_plot_reports *reports;
  OLICA_TRY(OLICA_NEW(env, reports, 1));
  olica_status status = run(env, directory, count, paths, reports);
  olica_reports_free(env, reports);
  olica_memory_free(env, reports);
  return status;
}
