/* The table of back ends, and helpers that several of them share. */
#include "backend.h"

#include <limits.h>

#include "base/arena.h"

static const olica_backend_ops *const table[OLICA_BACKENDS] = {
    [OLICA_BACKEND_LAPACK] = &olica_backend_lapack,
    [OLICA_BACKEND_SCALAPACK] = &olica_backend_scalapack,
    [OLICA_BACKEND_SLEPC] = &olica_backend_slepc,
};

const olica_backend_ops *olica_backend_ops_of(olica_backend backend) {
  return table[backend];
}

const char *olica_backend_name(olica_backend backend) {
  return table[backend] ? table[backend]->name : "auto";
}

const char *olica_solver_precision_name(olica_solver_precision precision) {
  static const char *const names[OLICA_SOLVER_PRECISIONS] = {"auto", "double", "mixed"};
  return names[precision];
}

const char *olica_backend_about(olica_backend backend) {
  return table[backend] ? table[backend]->about : "lapack for small problems, scalapack for large ones";
}

static double longer(double work) {
  const double more = 1.1, and_more = 1000;
  return more * work + and_more;
}

static size_t lay_out(olica_workspace *space, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, space->w, space->n);
  OLICA_TAKE(&arena, space->work, space->lwork);
  OLICA_TAKE(&arena, space->iwork, space->liwork);
  return arena.used;
}

static bool set_sizes(olica_workspace *space, int n, double lwork, double liwork) {
  lwork = longer(lwork);
  liwork = longer(liwork);
  if (lwork > INT_MAX || liwork > INT_MAX) return false;
  *space = (olica_workspace){.n = n, .lwork = (int)lwork, .liwork = (int)liwork};
  return true;
}

/* A workspace that is too large is refused when it is allocated. */
size_t olica_workspace_measure(int n, double lwork, double liwork) {
  olica_workspace space = {.n = n, .lwork = INT_MAX, .liwork = INT_MAX};
  set_sizes(&space, n, lwork, liwork);
  return lay_out(&space, NULL);
}

olica_status olica_workspace_get(olica_env *env, int n, double lwork, double liwork, olica_workspace *space) {
  if (!set_sizes(space, n, lwork, liwork))
    return olica_error_set(
        env, OLICA_ERR_MEMORY,
        "an eigenproblem of order %d needs more work space on one rank than its library can "
        "count; use more ranks",
        n);
  return OLICA_LAY_OUT(env, "workspace of an eigensolver", space->block, lay_out, space);
}

void olica_workspace_free(olica_env *env, olica_workspace *space) {
  OLICA_FREE(env, space->block);
}
