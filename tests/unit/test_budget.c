/* Room prune, the budget alone: which sparsities other settings allow, what the refusal says of them, and the
 * branches counted in the sparsity. */
#include <math.h>

#include "../../src/prune/olica/budget.h"
#include "fixture.h"

typedef struct model {
  const char *name;
  olica_arch arch;
  bool bias;
  int64_t tables; /* numbers outside of the layers */
} model;

/* Shapes of the demo, SmolLM2-135M, LLaMA-2-7B and Qwen2-7B; one with hardly any FFN, one whose embedding is
 * most of it. */
static const model models[] = {
    {"demo", {.layers = 6, .hidden = 192, .heads = 6, .kv_heads = 3, .head = 32, .ffn = 512}, false, 786624},
    {"smollm2",
     {.layers = 30, .hidden = 576, .heads = 9, .kv_heads = 3, .head = 64, .ffn = 1536},
     false,
     28312128},
    {"7b",
     {.layers = 32, .hidden = 4096, .heads = 32, .kv_heads = 32, .head = 128, .ffn = 11008},
     false,
     262148096},
    {"qwen2",
     {.layers = 28, .hidden = 3584, .heads = 28, .kv_heads = 4, .head = 128, .ffn = 18944},
     true,
     1089998336},
    {"thin", {.layers = 4, .hidden = 64, .heads = 4, .kv_heads = 4, .head = 16, .ffn = 24}, false, 64},
    {"wide", {.layers = 4, .hidden = 64, .heads = 4, .kv_heads = 4, .head = 16, .ffn = 200}, false, 4000000}};

enum { MODELS = sizeof models / sizeof *models };

static const olica_prune_options plain = {
    .sparsity = 0.2, .k = 3, .mlp_num = 2, .ratio = 0.03, .skip_lowest = 0.01};

static olica_layer_shape shape_of(const model *m) {
  bool bias[OLICA_PROJECTIONS] = {[OLICA_Q] = m->bias, [OLICA_K] = m->bias, [OLICA_V] = m->bias};
  olica_arch arch = m->arch;
  olica_arch_layer layer = olica_arch_plain_layer(&arch);
  arch.layer = &layer;
  return olica_layer_shape_dense(&arch, 0, bias);
}

static int64_t parameters_of(const model *m, const olica_layer_shape *dense) {
  return m->tables + m->arch.layers * olica_layer_shape_total(&m->arch, dense);
}

static olica_status make(fixture *f, const model *m, olica_prune_options options, double p, olica_budget *b) {
  olica_layer_shape dense = shape_of(m);
  const olica_method_model whole = {&m->arch, &dense, parameters_of(m, &dense), p, &options};
  return olica_budget_make(f->env, &whole, b);
}

static olica_sparsities allowed(const model *m, olica_prune_options options) {
  olica_layer_shape dense = shape_of(m);
  const olica_method_model whole = {&m->arch, &dense, parameters_of(m, &dense), options.sparsity, &options};
  return olica_budget_sparsities(&whole);
}

/* The range against every sparsity in steps of a thousandth, and at its ends in steps of the fourth decimal.
 */
static void check_range(fixture *f, const model *m, olica_prune_options options) {
  olica_sparsities range = allowed(m, options);
  olica_budget b;
  double least = 2;
  for (int i = 0; i < 1000; i++) {
    double p = i / 1000.0;
    bool told = p <= range.middle ? p <= range.most[0] : p <= range.most[1];
    bool is = make(f, m, options, p, &b) == OLICA_OK;
    if (is != told) fail_msg("%s, k %g: sparsity %g is%s allowed", m->name, options.k, p, is ? "" : " not");
    if (is && least == 2 && olica_budget_removes(&b)) least = p;
  }
  if (least < 1) assert_true(range.least <= least + 1e-9 && range.least > least - 0.0011);
  for (int i = 0; i < 2; i++) {
    bool ends = range.most[i] > (i ? range.middle : 0) && range.most[i] < (i ? 0.99 : range.middle);
    if (!ends) continue;
    assert_int_equal(make(f, m, options, range.most[i], &b), OLICA_OK);
    assert_int_equal(make(f, m, options, range.most[i] + 1.001e-4, &b), OLICA_ERR_CONFIG);
  }
}

static void ranges_are_what_is_accepted(void **state) {
  const double ks[] = {0.3, 1, 2, 3, 9};
  for (int i = 0; i < MODELS; i++)
    for (int k = 0; k < 5; k++)
      for (int form = 0; form < 8; form++) {
        olica_prune_options options = plain;
        options.k = ks[k];
        options.count_branches = form & 1;
        options.fill = form & 4;
        options.skip_lowest = form & 2 ? 0.4 : 0.01;
        options.ratio = form & 2 ? 0.5 : 0.03;
        check_range(*state, &models[i], options);
      }
}

static void a_refusal_names_the_range_and_a_way_out(void **state) {
  fixture *f = *state;
  olica_budget b;
  assert_int_equal(make(f, &models[2], plain, 0.7, &b), OLICA_ERR_CONFIG);
  assert_non_null(strstr(f->env->error.text, "share of 1.0500 of query and key"));
  assert_non_null(strstr(f->env->error.text, "allows a sparsity of 0 to 0.6666; k = 2.4 would allow it"));
  assert_int_equal(make(f, &models[5], plain, 0.7, &b), OLICA_ERR_CONFIG);
  assert_non_null(strstr(f->env->error.text, "no other k up to 10 allows it"));
  olica_prune_options skips = plain;
  skips.skip_lowest = 0.7;
  assert_int_equal(make(f, &models[2], skips, 0.5, &b), OLICA_ERR_CONFIG);
  assert_non_null(
      strstr(f->env->error.text, "too many; with these settings this model allows a sparsity of 0 to "));
  skips.mlp_num = 40;
  assert_int_equal(make(f, &models[2], skips, 0.7, &b), OLICA_ERR_CONFIG);
  assert_non_null(strstr(f->env->error.text, "expected at most 31"));
}

/* What rounding of ranks and counts can leave at most, and biases, which go with no rank. */
static double left_by_rounding(const model *m, const olica_layer_shape *dense) {
  const olica_arch *a = &m->arch;
  double ffn = 3.0 * a->hidden, head = 2.0 * (a->heads + a->kv_heads) * a->hidden;
  double rank = 2.0 * a->hidden + (a->heads + a->kv_heads) * a->head;
  double bias = m->bias ? (a->heads + 2 * a->kv_heads) * a->head : 0;
  return a->layers * (ffn + head + rank + bias) / (double)parameters_of(m, dense);
}

static double reached(const model *m, const olica_prune_options *options, const olica_budget *b) {
  olica_layer_shape dense = shape_of(m);
  const olica_layer_shape plain_cut = olica_budget_shape(b, &dense, false),
                          calibrated = olica_budget_shape(b, &dense, true);
  double all = (double)parameters_of(m, &dense);
  double left =
      (double)m->tables +
      (double)(m->arch.layers - options->mlp_num) * (double)olica_layer_shape_total(&m->arch, &plain_cut) +
      (double)options->mlp_num * (double)olica_layer_shape_total(&m->arch, &calibrated);
  return 1.0 - left / all;
}

static void counted_branches_leave_the_sparsity_asked_for(void **state) {
  for (int i = 0; i < MODELS; i++)
    for (int n = 1; n <= 6; n++) {
      olica_prune_options options = plain;
      olica_layer_shape dense = shape_of(&models[i]);
      olica_budget without, with;
      options.ratio = 0.25;
      if (make(*state, &models[i], options, 0.05 * n, &without) != OLICA_OK || without.branch == 0) continue;
      double less = reached(&models[i], &options, &without);
      options.count_branches = true;
      if (make(*state, &models[i], options, 0.05 * n, &with) != OLICA_OK) continue;
      double more = reached(&models[i], &options, &with);
      assert_true(more <= 0.05 * n + 1e-12);
      assert_true(0.05 * n - more <= left_by_rounding(&models[i], &dense));
      assert_true(more > less);
      assert_true(with.neurons_dropped > without.neurons_dropped && with.branch == without.branch);
      assert_true(with.q_rank == without.q_rank && with.values_dropped == without.values_dropped);
    }
}

/* By hand: 7B's shape, 30 %: 6 branches of rank 122 are 5,996,544 numbers, 187,392 a layer, of 135,266,304.
 */
static void the_ffn_makes_room_for_the_branches(void **state) {
  olica_prune_options options = plain;
  olica_budget without, with;
  options.mlp_num = 6;
  assert_int_equal(make(*state, &models[2], options, 0.3, &without), OLICA_OK);
  options.count_branches = true;
  assert_int_equal(make(*state, &models[2], options, 0.3, &with), OLICA_OK);
  assert_int_equal(with.branch, 122);
  assert_true(fabs(with.rho_ffn - without.rho_ffn - 187392.0 / 135266304.0) < 1e-12);
}

/* Layers without a branch have neurons in its place, and the sparsity stays: by hand, 7B's shape at 30 %, 26
 * such layers with 122 neurons of 12,288 numbers. */
static void filled_layers_have_one_width(void **state) {
  olica_prune_options options = plain;
  olica_budget without, with;
  options.mlp_num = 6;
  assert_int_equal(make(*state, &models[2], options, 0.3, &without), OLICA_OK);
  options.fill = true;
  assert_int_equal(make(*state, &models[2], options, 0.3, &with), OLICA_OK);
  assert_int_equal(with.neurons_filled, 122);
  assert_true(fabs(with.rho_ffn - without.rho_ffn - 26 * 122 * 12288.0 / 32 / 135266304.0) < 1e-12);
  const olica_layer_shape dense = shape_of(&models[2]), plain_cut = olica_budget_shape(&with, &dense, false),
                          calibrated = olica_budget_shape(&with, &dense, true);
  assert_int_equal(plain_cut.ffn, calibrated.ffn + calibrated.branch);
  assert_true(fabs(reached(&models[2], &options, &with) - reached(&models[2], &options, &without)) < 1e-3);
  options.mlp_num = 0;
  assert_int_equal(make(*state, &models[2], options, 0.3, &with), OLICA_OK);
  assert_int_equal(with.neurons_filled, 0);
}

/* Where no neuron goes there is no branch, and no room is made for one. */
static void no_room_for_branches_that_are_not(void **state) {
  olica_prune_options options = plain;
  olica_budget b;
  options.count_branches = true;
  options.ratio = 1;
  assert_int_equal(make(*state, &models[0], options, 0, &b), OLICA_OK);
  assert_true(!olica_budget_removes(&b) && b.branch == 0);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(ranges_are_what_is_accepted, fixture_make, fixture_free),
      cmocka_unit_test_setup_teardown(a_refusal_names_the_range_and_a_way_out, fixture_make, fixture_free),
      cmocka_unit_test_setup_teardown(counted_branches_leave_the_sparsity_asked_for, fixture_make,
                                      fixture_free),
      cmocka_unit_test_setup_teardown(the_ffn_makes_room_for_the_branches, fixture_make, fixture_free),
      cmocka_unit_test_setup_teardown(filled_layers_have_one_width, fixture_make, fixture_free),
      cmocka_unit_test_setup_teardown(no_room_for_branches_that_are_not, fixture_make, fixture_free)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
