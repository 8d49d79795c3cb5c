/* Room model: the table of tensors. Names, dimensions and places are compared with lists of their own: what a
 * checkpoint holds, what models on Hugging Face call it, and how a layer lies in memory must stay as it is.
 */
#include "fixture.h"

#include "model/tensors.h"

typedef struct expected {
  const char *leaf;      /* behind "model/layers/007/" */
  const char *published; /* NULL: none */
  int dims;
  int64_t extent[2];
  size_t offset; /* of its numbers in the layer's block, in numbers; SIZE_MAX: elsewhere */
} expected;

#define ATTENTION "model.layers.7.self_attn."
#define MLP "model.layers.7.mlp."

/* A layer of 4 query heads and 2 key/value heads of 6, pruned in every way, some biases. */
enum { LAYERS = 9 };
static const olica_arch arch_of_test = {
    .layers = LAYERS, .hidden = 16, .heads = 4, .kv_heads = 2, .head = 6, .ffn = 40, .vocabulary = 50};
static const olica_layer_shape cut = {.kv_before = 2,
                                      .group = 2,
                                      .kv_heads = 2,
                                      .rank = {[OLICA_Q] = 3, [OLICA_K] = 5},
                                      .values = 4,
                                      .ffn = 10,
                                      .branch = 2,
                                      .bias = {[OLICA_K] = true, [OLICA_DOWN] = true}};

/* In the order of a checkpoint; every tensor begins at a multiple of 16 numbers. */
static const expected of_cut[] = {
    {"input_layernorm", "model.layers.7.input_layernorm.weight", 1, {16, 0}, 0},
    {"post_attention_layernorm", "model.layers.7.post_attention_layernorm.weight", 1, {16, 0}, 16},
    {"q_proj/b", NULL, 2, {24, 3}, 32},
    {"q_proj/a", NULL, 2, {3, 16}, 112},
    {"k_proj/b", NULL, 2, {12, 5}, 160},
    {"k_proj/a", NULL, 2, {5, 16}, 224},
    {"k_proj/bias", ATTENTION "k_proj.bias", 1, {12, 0}, 304},
    {"v_proj/weight", ATTENTION "v_proj.weight", 2, {8, 16}, 320},
    {"o_proj/weight", ATTENTION "o_proj.weight", 2, {16, 16}, 448},
    {"gate_proj/weight", MLP "gate_proj.weight", 2, {10, 16}, 704},
    {"up_proj/weight", MLP "up_proj.weight", 2, {10, 16}, 864},
    {"down_proj/weight", MLP "down_proj.weight", 2, {16, 10}, 1024},
    {"down_proj/bias", MLP "down_proj.bias", 1, {16, 0}, 1184},
    {"v_proj/kept", NULL, 2, {2, 4}, SIZE_MAX},
    {"ffn_kept", NULL, 1, {10, 0}, SIZE_MAX},
    {"branch/a", NULL, 2, {16, 2}, 1200},
    {"branch/b", NULL, 2, {2, 16}, 1232}};
enum { CUT = sizeof of_cut / sizeof *of_cut, CUT_NUMBERS = 1264 };

/* `layer` [LAYERS] becomes its layers. */
static olica_arch make_arch(const char *family, olica_arch_layer *layer) {
  olica_arch arch = arch_of_test;
  arch.layer = layer;
  for (int i = 0; i < LAYERS; i++) layer[i] = olica_arch_plain_layer(&arch);
  arch.family = olica_family_find(family);
  assert_non_null(arch.family);
  return arch;
}

/* ---- names and dimensions ---- */

static void check_row(const olica_arch *arch, olica_tensor_id id, const expected *e) {
  char name[OLICA_TENSOR_NAME], path[OLICA_TENSOR_NAME];
  int64_t extent[2];
  snprintf(path, sizeof path, "model/layers/007/%s", e->leaf);
  assert_true(olica_tensors_name(arch, OLICA_NAMING_CHECKPOINT, id, 7, name));
  assert_string_equal(name, path);
  assert_int_equal(olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, id, 7, name), e->published != NULL);
  if (e->published) assert_string_equal(name, e->published);
  assert_int_equal(olica_tensors_extents(arch, &cut, id, extent), e->dims);
  assert_int_equal(extent[0], e->extent[0]);
  assert_int_equal(extent[1], e->extent[1]);
  assert_int_equal(olica_tensors_numbers(arch, &cut, id), extent[0] * (e->dims == 2 ? extent[1] : 1));
}

static void a_layer_has_these_in_this_order(void **state) {
  (void)state;
  const char *const families[] = {"llama", "mistral", "qwen2"};
  for (int f = 0; f < 3; f++) {
    olica_arch_layer layers[LAYERS];
    olica_arch arch = make_arch(families[f], layers);
    int found = 0;
    for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++)
      if (olica_tensors_present(&arch, &cut, id)) {
        assert_true(found < CUT);
        check_row(&arch, id, &of_cut[found++]);
      } else
        assert_int_equal(olica_tensors_numbers(&arch, &cut, id), 0);
    assert_int_equal(found, CUT);
  }
}

static void outside_of_the_layers(void **state) {
  (void)state;
  const char *const names[][2] = {{"model/embed_tokens", "model.embed_tokens.weight"},
                                  {"model/norm", "model.norm.weight"},
                                  {"model/norm_bias", "model.norm.bias"},
                                  {"model/lm_head", "lm_head.weight"}};
  const int64_t numbers[] = {50 * 16, 16, 0, 50 * 16};
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("llama", layers);
  char name[OLICA_TENSOR_NAME];
  assert_int_equal(OLICA_TENSORS_MODEL, 4);
  for (olica_tensor_id id = 0; id < OLICA_TENSORS_MODEL; id++) {
    assert_true(olica_tensors_name(&arch, OLICA_NAMING_CHECKPOINT, id, 0, name));
    assert_string_equal(name, names[id][0]);
    assert_true(olica_tensors_name(&arch, OLICA_NAMING_PUBLISHED, id, 0, name));
    assert_string_equal(name, names[id][1]);
    assert_int_equal(olica_tensors_numbers(&arch, NULL, id), numbers[id]);
  }
  arch.tied = true;
  assert_false(olica_tensors_present(&arch, NULL, OLICA_TENSOR_HEAD));
  assert_true(olica_tensors_present(&arch, NULL, OLICA_TENSOR_EMBED));
}

/* A family's own names stand behind the prefix of their place; a bias in place of the projection's. */
static void a_family_has_names_of_its_own(void **state) {
  (void)state;
  const char *const names[OLICA_TENSORS] = {[OLICA_TENSOR_NORM] = "final_layernorm.weight",
                                            [OLICA_TENSOR_FFN_NORM] = "pre_feedforward_layernorm.weight",
                                            [OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_O] = "dense.weight",
                                            [OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_O + OLICA_PART_BIAS] =
                                                "dense.bias"};
  const struct {
    olica_tensor_id id;
    const char *published;
  } said[] = {{OLICA_TENSOR_NORM, "model.final_layernorm.weight"},
              {OLICA_TENSOR_FFN_NORM, "model.layers.7.pre_feedforward_layernorm.weight"},
              {olica_tensors_linear(OLICA_O, OLICA_PART_WEIGHT), ATTENTION "dense.weight"},
              {olica_tensors_linear(OLICA_O, OLICA_PART_BIAS), ATTENTION "dense.bias"},
              {OLICA_TENSOR_EMBED, "model.embed_tokens.weight"},
              {OLICA_TENSOR_INPUT_NORM, "model.layers.7.input_layernorm.weight"},
              {olica_tensors_linear(OLICA_Q, OLICA_PART_BIAS), ATTENTION "q_proj.bias"}};
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("llama", layers);
  olica_family family = *arch.family;
  char name[OLICA_TENSOR_NAME];
  family.published = names;
  arch.family = &family;
  for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
    assert_true(olica_tensors_name(&arch, OLICA_NAMING_PUBLISHED, said[i].id, 7, name));
    assert_string_equal(name, said[i].published);
  }
  assert_false(olica_tensors_name(&arch, OLICA_NAMING_PUBLISHED, OLICA_TENSOR_FFN_KEPT, 7, name));
  olica_tensors_name(&arch, OLICA_NAMING_CHECKPOINT, OLICA_TENSOR_FFN_NORM, 7, name);
  assert_string_equal(name, "model/layers/007/post_attention_layernorm");
}

/* Heads and widths of a layer are its own. */
static void layers_may_differ(void **state) {
  (void)state;
  static const bool no_bias[OLICA_PROJECTIONS];
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("llama", layers);
  const int64_t q[2][2] = {{24, 16}, {12, 16}}, o[2][2] = {{16, 24}, {16, 12}},
                down[2][2] = {{16, 40}, {16, 8}};
  const int64_t kept[2][2] = {{2, 6}, {1, 6}};
  assert_int_equal(olica_arch_unlike(&arch), LAYERS);
  layers[1].window = 5; /* no width */
  assert_int_equal(olica_arch_unlike(&arch), LAYERS);
  layers[8].ffn--;
  assert_int_equal(olica_arch_unlike(&arch), 8);
  layers[1] = (olica_arch_layer){.heads = 2, .kv_heads = 1, .ffn = 8};
  assert_int_equal(olica_arch_unlike(&arch), 1);
  for (int l = 0; l < 2; l++) {
    const olica_layer_shape shape = olica_layer_shape_dense(&arch, l, no_bias);
    int64_t extent[2];
    olica_tensors_extents(&arch, &shape, olica_tensors_linear(OLICA_Q, OLICA_PART_WEIGHT), extent);
    assert_memory_equal(extent, q[l], sizeof extent);
    olica_tensors_extents(&arch, &shape, olica_tensors_linear(OLICA_O, OLICA_PART_WEIGHT), extent);
    assert_memory_equal(extent, o[l], sizeof extent);
    olica_tensors_extents(&arch, &shape, olica_tensors_linear(OLICA_DOWN, OLICA_PART_WEIGHT), extent);
    assert_memory_equal(extent, down[l], sizeof extent);
    olica_tensors_extents(&arch, &shape, OLICA_TENSOR_VALUES_KEPT, extent);
    assert_memory_equal(extent, kept[l], sizeof extent);
    assert_int_equal(olica_tensors_choices(&arch, l, OLICA_TENSOR_FFN_KEPT), down[l][1]);
  }
}

static void parts_and_lists(void **state) {
  (void)state;
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("qwen2", layers);
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++)
    for (olica_part part = 0; part < OLICA_PARTS; part++)
      assert_int_equal(olica_tensors_row(olica_tensors_linear(p, part))->projection, p);
  assert_int_equal(olica_tensors_choices(&arch, 7, OLICA_TENSOR_VALUES_KEPT), 6);
  assert_int_equal(olica_tensors_choices(&arch, 7, OLICA_TENSOR_FFN_KEPT), 40);
  assert_int_equal(olica_tensors_most(&arch), 2 + 3 * OLICA_PROJECTIONS + 3 + 2);
}

/* One of two key/value heads is left, with two query heads: the list says which. */
static void fewer_heads(void **state) {
  (void)state;
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("llama", layers);
  olica_layer_shape shape = olica_layer_shape_dense(&arch, 7, (bool[OLICA_PROJECTIONS]){false});
  int64_t whole = olica_layer_shape_total(&arch, &shape), extent[2];
  int out, in;
  assert_false(olica_tensors_present(&arch, &shape, OLICA_TENSOR_HEADS_KEPT));
  shape.kv_heads = 1;
  assert_true(olica_tensors_present(&arch, &shape, OLICA_TENSOR_HEADS_KEPT));
  assert_int_equal(olica_tensors_extents(&arch, &shape, OLICA_TENSOR_HEADS_KEPT, extent), 1);
  assert_int_equal(extent[0], 1);
  assert_int_equal(olica_tensors_choices(&arch, 7, OLICA_TENSOR_HEADS_KEPT), 2);
  olica_layer_shape_linear(&arch, &shape, OLICA_Q, &out, &in);
  assert_int_equal(out, 2 * 6);
  olica_layer_shape_linear(&arch, &shape, OLICA_O, &out, &in);
  assert_int_equal(in, 2 * 6);
  assert_int_equal(whole - olica_layer_shape_total(&arch, &shape), (2 + 1 + 1 + 2) * 6 * 16);
}

/* ---- in memory ---- */

static void a_layer_lies_in_memory_like_this(void **state) {
  fixture *f = *state;
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("llama", layers);
  olica_layer *layer;
  assert_int_equal(olica_layer_bytes(&arch, &cut), CUT_NUMBERS * sizeof(float));
  assert_int_equal(olica_layer_shape_total(&arch, &cut), 1248);
  assert_int_equal(olica_layer_shape_numbers(&arch, &cut, OLICA_K), 12 * 5 + 5 * 16 + 12);
  assert_int_equal(olica_layer_create(f->env, &arch, &cut, NULL, &layer), OLICA_OK);
  const float *block = layer->own;
  int found = 0;
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    const void *data = olica_tensors_data(layer, id);
    if (!olica_tensors_present(&arch, &cut, id)) {
      assert_null(data);
      continue;
    }
    size_t offset = of_cut[found++].offset;
    assert_ptr_equal(data, offset == SIZE_MAX ? NULL : (const void *)(block + offset));
    if (data) assert_ptr_equal(data, *olica_tensors_weights(layer, id));
  }
  assert_int_equal(found, CUT);
  assert_ptr_equal(layer->input_norm, block);
  assert_ptr_equal(layer->linear[OLICA_K].bias, block + 304);
  assert_ptr_equal(layer->branch_b, block + 1232);
  assert_int_equal(layer->linear[OLICA_O].in, 16);
  assert_int_equal(layer->linear[OLICA_K].rank, 5);
  int32_t kept[10];
  layer->ffn_kept = kept;
  assert_ptr_equal(olica_tensors_data(layer, OLICA_TENSOR_FFN_KEPT), kept);
  layer->ffn_kept = NULL;
  olica_layer_destroy(f->env, layer);
}

/* ---- the shape that files tell ---- */

/* A catalog of a layer of shape `cut`; the tensor of that name, if any, has `rows` rows, or with 0 is not
 * there. */
static olica_catalog *make_catalog(fixture *f, const olica_arch *arch, const char *name, int64_t rows) {
  olica_catalog *catalog;
  int file;
  assert_int_equal(olica_catalog_create(f->context, &catalog), OLICA_OK);
  assert_int_equal(olica_catalog_add_file(catalog, "some.h5", &file), OLICA_OK);
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    if (!olica_tensors_present(arch, &cut, id)) continue;
    olica_tensor tensor = {.dtype = OLICA_FP32, .file = file};
    olica_tensors_name(arch, OLICA_NAMING_CHECKPOINT, id, 7, tensor.name);
    tensor.dims = olica_tensors_extents(arch, &cut, id, tensor.shape);
    bool other = name && strcmp(strrchr(tensor.name, '7') + 2, name) == 0;
    if (other) tensor.shape[0] = rows;
    if (!other || rows > 0) assert_int_equal(olica_catalog_add(catalog, &tensor), OLICA_OK);
  }
  assert_int_equal(olica_catalog_share(catalog, OLICA_OK), OLICA_OK);
  return catalog;
}

static olica_status measure(fixture *f, const char *name, int64_t rows, olica_layer_shape *shape) {
  olica_arch_layer layers[LAYERS];
  olica_arch arch = make_arch("llama", layers);
  olica_catalog *catalog = make_catalog(f, &arch, name, rows);
  olica_status status = olica_tensors_measure(catalog, &arch, OLICA_NAMING_CHECKPOINT, 7, shape);
  olica_catalog_destroy(catalog);
  return status;
}

static void files_tell_the_shape(void **state) {
  olica_layer_shape shape;
  assert_int_equal(measure(*state, NULL, 0, &shape), OLICA_OK);
  assert_memory_equal(&shape, &cut, sizeof cut);
}

static void what_is_missing_is_as_before_pruning(void **state) {
  olica_layer_shape shape;
  assert_int_equal(measure(*state, "v_proj/weight", 0, &shape), OLICA_OK);
  assert_int_equal(shape.values, 6);
  assert_int_equal(measure(*state, "q_proj/a", 0, &shape), OLICA_OK);
  assert_int_equal(shape.rank[OLICA_Q], 0);
  assert_int_equal(measure(*state, "branch/a", 0, &shape), OLICA_OK);
  assert_int_equal(shape.branch, 0);
}

static void sizes_that_no_layer_has(void **state) {
  fixture *f = *state;
  const struct {
    const char *name;
    int64_t rows;
    const char *range;
  } bad[] = {{"v_proj/weight", 7, "2 to 12 in steps of 2"},
             {"v_proj/weight", 14, "2 to 12 in steps of 2"},
             {"gate_proj/weight", 41, "1 to 40 in steps of 1"},
             {"q_proj/a", 17, "1 to 16 in steps of 1"},
             {"k_proj/a", 13, "1 to 12 in steps of 1"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    olica_layer_shape shape;
    char found[32];
    snprintf(found, sizeof found, "has %d rows", (int)bad[i].rows);
    assert_int_equal(measure(f, bad[i].name, bad[i].rows, &shape), OLICA_ERR_INPUT);
    const char *text = f->env->error.text;
    assert_true(strstr(text, "some.h5") && strstr(text, bad[i].name) && strstr(text, found) &&
                strstr(text, bad[i].range));
    olica_error_clear(f->env);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_layer_has_these_in_this_order),
      FIXTURE_TEST(outside_of_the_layers),
      FIXTURE_TEST(a_family_has_names_of_its_own),
      FIXTURE_TEST(layers_may_differ),
      FIXTURE_TEST(parts_and_lists),
      FIXTURE_TEST(fewer_heads),
      FIXTURE_TEST(a_layer_lies_in_memory_like_this),
      FIXTURE_TEST(files_tell_the_shape),
      FIXTURE_TEST(what_is_missing_is_as_before_pruning),
      FIXTURE_TEST(sizes_that_no_layer_has),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("tensors", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
