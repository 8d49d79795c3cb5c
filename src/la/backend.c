/* The table of back ends, and helpers that several of them share. */
#include "backend.h"

#include <limits.h>

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

const char *olica_backend_about(olica_backend backend) {
  return table[backend] ? table[backend]->about : "lapack for small problems, scalapack for large ones";
}

static double longer(double work) {
  const double more = 1.1, and_more = 1000;
  return more * work + and_more;
}

double olica_workspace_bytes(int n, double lwork, double liwork) {
  return (double)sizeof(double) * (n + longer(lwork)) + (double)sizeof(int) * longer(liwork);
}

olica_status olica_workspace_get(olica_env *env, int n, double lwork, double liwork, olica_workspace *space) {
  lwork = longer(lwork);
  liwork = longer(liwork);
  if (lwork > INT_MAX || liwork > INT_MAX)
    return olica_error_set(
        env, OLICA_ERR_MEMORY,
        "an eigenproblem of order %d needs more work space on one rank than its library can "
        "count; use more ranks",
        n);
  space->lwork = (int)lwork;
  space->liwork = (int)liwork;
  OLICA_TRY(OLICA_NEW(env, space->w, (size_t)n));
  OLICA_TRY(OLICA_NEW(env, space->work, (size_t)space->lwork));
  return OLICA_NEW(env, space->iwork, (size_t)space->liwork);
}

void olica_workspace_free(olica_env *env, olica_workspace *space) {
  OLICA_FREE(env, space->iwork);
  OLICA_FREE(env, space->work);
  OLICA_FREE(env, space->w);
}
