/* Prototypes of the Fortran and BLACS routines used in la; Debian ships no header for them. A Fortran
 * CHARACTER argument has its length, passed by value after all the others (gfortran's tail calls rely on it).
 * PBLAS and BLACS are written in C and take none. Private to la. */
#ifndef OLICA_LA_FORTRAN_H
#define OLICA_LA_FORTRAN_H

#include <mpi.h>
#include <stddef.h>

/* BLACS */
int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int rows, int cols);
void Cblacs_gridexit(int context);
void Cblacs_set(int context, int what, const int *value);

/* PBLAS */
void pdgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
             const double *alpha, const double *a, const int *ia, const int *ja, const int *desca,
             const double *b, const int *ib, const int *jb, const int *descb, const double *beta, double *c,
             const int *ic, const int *jc, const int *descc);
void pdsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
             const double *a, const int *ia, const int *ja, const int *desca, const double *beta, double *c,
             const int *ic, const int *jc, const int *descc);
void pdtran_(const int *m, const int *n, const double *alpha, const double *a, const int *ia, const int *ja,
             const int *desca, const double *beta, double *c, const int *ic, const int *jc, const int *descc);

void psgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
             const float *alpha, const float *a, const int *ia, const int *ja, const int *desca,
             const float *b, const int *ib, const int *jb, const int *descb, const float *beta, float *c,
             const int *ic, const int *jc, const int *descc);

/* ScaLAPACK */
void pssyevd_(const char *jobz, const char *uplo, const int *n, float *a, const int *ia, const int *ja,
              const int *desca, float *w, float *z, const int *iz, const int *jz, const int *descz,
              float *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
void pdpotrf_(const char *uplo, const int *n, double *a, const int *ia, const int *ja, const int *desca,
              int *info, size_t);
void pdpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *ia, const int *ja,
              const int *desca, double *b, const int *ib, const int *jb, const int *descb, int *info, size_t);
void pdsyevr_(const char *jobz, const char *range, const char *uplo, const int *n, double *a, const int *ia,
              const int *ja, const int *desca, const double *vl, const double *vu, const int *il,
              const int *iu, int *m, int *nz, double *w, double *z, const int *iz, const int *jz,
              const int *descz, double *work, const int *lwork, int *iwork, const int *liwork, int *info,
              size_t, size_t, size_t);
void pdsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *ia, const int *ja,
              const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz,
              double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);

/* LAPACK */
void dsyevr_(const char *jobz, const char *range, const char *uplo, const int *n, double *a, const int *lda,
             const double *vl, const double *vu, const int *il, const int *iu, const double *abstol, int *m,
             double *w, double *z, const int *ldz, int *isuppz, double *work, const int *lwork, int *iwork,
             const int *liwork, int *info, size_t, size_t, size_t);
void dsytrd_(const char *uplo, const int *n, double *a, const int *lda, double *d, double *e, double *tau,
             double *work, const int *lwork, int *info, size_t);
void dstedc_(const char *compz, const int *n, double *d, double *e, double *z, const int *ldz, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info, size_t);
void dstemr_(const char *jobz, const char *range, const int *n, double *d, double *e, const double *vl,
             const double *vu, const int *il, const int *iu, int *m, double *w, double *z, const int *ldz,
             const int *nzc, int *isuppz, int *tryrac, double *work, const int *lwork, int *iwork,
             const int *liwork, int *info, size_t, size_t);
void dormtr_(const char *side, const char *uplo, const char *trans, const int *m, const int *n,
             const double *a, const int *lda, const double *tau, double *c, const int *ldc, double *work,
             const int *lwork, int *info, size_t, size_t, size_t);
void ssytrd_(const char *uplo, const int *n, float *a, const int *lda, float *d, float *e, float *tau,
             float *work, const int *lwork, int *info, size_t);
void sstedc_(const char *compz, const int *n, float *d, float *e, float *z, const int *ldz, float *work,
             const int *lwork, int *iwork, const int *liwork, int *info, size_t);
void slarft_(const char *direct, const char *storev, const int *n, const int *k, const float *v,
             const int *ldv, const float *tau, float *t, const int *ldt, size_t, size_t);
void slarfb_(const char *side, const char *trans, const char *direct, const char *storev, const int *m,
             const int *n, const int *k, const float *v, const int *ldv, const float *t, const int *ldt,
             float *c, const int *ldc, float *work, const int *ldwork, size_t, size_t, size_t, size_t);
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b,
             const int *ldb, int *info, size_t);

#endif
