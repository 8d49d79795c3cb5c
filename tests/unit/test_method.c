/* The interface of a pruning method: what the smallest one gets by default, what the table's have to keep. */
#include "fixture.h"

#include "prune/method.h"

enum { LAYERS = 2 };
static const olica_arch arch = {
    .layers = LAYERS, .hidden = 64, .heads = 8, .kv_heads = 4, .head = 8, .ffn = 100};

static olica_status plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                         olica_method_plan *plan) {
  (void)env, (void)model, (void)site, (void)plan;
  return OLICA_OK;
}

static olica_status cut(void *state, int index, olica_layer *dense, olica_layer **pruned,
                        olica_cut_record *record) {
  (void)state, (void)index, (void)dense, (void)pruned, (void)record;
  return OLICA_OK;
}

static const olica_method smallest = {.name = "smallest", .about = "test", .plan = plan, .cut = cut};

/* Its state is the job, so that its cut has all that it needs. */
static void smallest_has_the_job(void **state) {
  fixture *f = *state;
  const olica_layer_shape shapes[LAYERS] = {{.values = 6, .ffn = 80}, {.values = 6, .ffn = 90}};
  const olica_method_job job = {.context = f->context, .shapes = shapes, .dtype = OLICA_BF16};
  size_t before = f->env->memory.now;
  olica_array array[OLICA_ARRAYS];
  olica_finding finding[OLICA_FINDINGS];
  void *own;
  assert_int_equal(olica_method_create(&smallest, &job, &own), OLICA_OK);
  assert_memory_equal(own, &job, sizeof job);
  assert_ptr_not_equal(own, &job);
  assert_int_equal(olica_method_observe(&smallest, own, 0, NULL), OLICA_OK);
  assert_int_equal(olica_method_settle(&smallest, own), OLICA_OK);
  assert_false(olica_method_gathers(&smallest, own));
  assert_int_equal(olica_method_arrays(&smallest, own, array), 0);
  assert_int_equal(olica_method_findings(&smallest, own, finding), 0);
  olica_method_destroy(&smallest, own);
  assert_int_equal(f->env->memory.now, before);
  olica_method_destroy(&smallest, NULL);
}

/* Without `shapes` those of the plan stay; one that would not fit in the memory for it is refused by name. */
static void shapes_stay_within_the_plan(void **state) {
  fixture *f = *state;
  olica_layer_shape shapes[LAYERS] = {{.values = 6, .ffn = 80}, {.values = 6, .ffn = 90}}, kept[LAYERS];
  size_t room = olica_layer_bytes(&arch, &shapes[1]);
  memcpy(kept, shapes, sizeof kept);
  assert_int_equal(olica_method_shapes(&smallest, f->env, &arch, room, NULL, shapes), OLICA_OK);
  assert_memory_equal(kept, shapes, sizeof kept);
  shapes[1].ffn++;
  assert_int_equal(olica_method_shapes(&smallest, f->env, &arch, room, NULL, shapes), OLICA_ERR_INTERNAL);
  assert_non_null(strstr(f->env->error.text, "method smallest: layer 1 takes"));
}

/* --check has its two lines of any method that prunes, and none of one that does not. */
static void check_is_explained(void **state) {
  fixture *f = *state;
  const olica_layer_shape largest = {.values = 6, .ffn = 90};
  const olica_method_model model = {.arch = &arch, .parameters = 1000};
  char *text = NULL;
  size_t bytes;
  FILE *to = open_memstream(&text, &bytes);
  olica_method_explain(olica_method_at(OLICA_METHOD_NONE), f->env, &model, 0, &largest, to);
  fflush(to);
  assert_int_equal(bytes, 0);
  olica_method_explain(&smallest, f->env, &model, 250, &largest, to);
  fclose(to);
  assert_string_equal(text, "budget       share that goes of all parameters: 0.2500\n"
                            "a layer      at most 6 of 8 value neurons a head, 90 of 100 FFN neurons\n");
  free(text);
}

static void table_is_sound(void **state) {
  (void)state;
  const olica_method *method;
  for (int m = 0; (method = olica_method_at(m)); m++) {
    assert_true(*method->name && strcspn(method->name, " ,;=") == strlen(method->name));
    assert_true(strlen(method->about) > 3);
    assert_int_equal(olica_method_prunes(method), method->plan != NULL);
    assert_int_equal(method->settings != NULL, method->settings_bytes > 0);
    assert_true(method->passes == 0 || (method->observe && method->arrays));
    assert_true(!method->create == !method->destroy);
    assert_in_range(method->fact_count, 0, OLICA_FACTS);
    assert_in_range(method->curve_count, 0, OLICA_CURVES);
    for (int i = 0; i < m; i++) assert_string_not_equal(method->name, olica_method_at(i)->name);
    /* Members that a layer of the report has of any method. */
    static const char *const taken[] = {"layer", "q_rank", "k_rank", "vo_width", "ffn_width", "branch_rank"};
    for (int i = 0; i < method->fact_count; i++)
      for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
        assert_string_not_equal(method->facts[i].name, taken[k]);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(smallest_has_the_job, fixture_make, fixture_free),
      cmocka_unit_test_setup_teardown(shapes_stay_within_the_plan, fixture_make, fixture_free),
      cmocka_unit_test_setup_teardown(check_is_explained, fixture_make, fixture_free),
      cmocka_unit_test(table_is_sound),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("method", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
