/* LU factors of a small dense matrix, by columns, with row pivoting.
 *
 * LAPACK's calls cost more than this up to about 30 rows, and above it its threads do: on a busy machine with two cores a
 * factorisation of 50 rows was seen to wait 10 ms for the second one. */
#ifndef ODEAD_LU_H
#define ODEAD_LU_H

#include <math.h>
#include <stdint.h>

#include "_vectors.h"

/* other -= column * factor for four columns of factors at a time: one pass over `column` serves them */
static inline void odead_lu_update(int64_t from, int64_t n, const double *restrict column, double *restrict a0,
                                   double *restrict a1, double *restrict a2, double *restrict a3, int64_t row)
{
    const double f0 = a0[row], f1 = a1[row], f2 = a2[row], f3 = a3[row];
    int64_t i;
    for (i = from; i < n; i++) {
        const double c = column[i];
        a0[i] -= c * f0;
        a1[i] -= c * f1;
        a2[i] -= c * f2;
        a3[i] -= c * f3;
    }
}

/* Returns 0 if the matrix is singular. `inverse` gets the reciprocals of the pivots. */
static ODEAD_CLONES int odead_lu_factor(int64_t n, double *restrict a, int *restrict pivots, double *restrict inverse)
{
    int64_t i, j, k;
    for (j = 0; j < n; j++) {
        double *restrict column = a + j * n;
        int64_t best = j;
        double largest = fabs(column[j]);
        for (i = j + 1; i < n; i++) {
            if (fabs(column[i]) > largest) {
                best = i;
                largest = fabs(column[i]);
            }
        }
        if (!(largest > 0)) return 0;
        pivots[j] = (int)best;
        if (best != j) {
            for (k = 0; k < n; k++) {
                const double swapped = a[k * n + j];
                a[k * n + j] = a[k * n + best];
                a[k * n + best] = swapped;
            }
        }
        inverse[j] = 1 / column[j];
        for (i = j + 1; i < n; i++) column[i] *= inverse[j];
        for (k = j + 1; k + 4 <= n; k += 4)
            odead_lu_update(j + 1, n, column, a + k * n, a + (k + 1) * n, a + (k + 2) * n, a + (k + 3) * n, j);
        for (; k < n; k++) {
            double *restrict other = a + k * n;
            const double factor = other[j];
            for (i = j + 1; i < n; i++) other[i] -= column[i] * factor;
        }
    }
    return 1;
}

/* b -= four columns * v, from the first to the last, the rows from `from` to `to` */
static inline void odead_lu_subtract(int64_t from, int64_t to, int64_t n, const double *restrict c, const double *v,
                                     double *restrict b)
{
    const double v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];
    int64_t i;
    for (i = from; i < to; i++) b[i] = b[i] - c[i] * v0 - c[n + i] * v1 - c[2 * n + i] * v2 - c[3 * n + i] * v3;
}

/* Columns by four: what each waits for, the element of b that the one before has just stored, stays in registers (20 rows:
   240 ns become 130). */
static ODEAD_CLONES void odead_lu_solve(int64_t n, const double *restrict a, const int *restrict pivots,
                                        const double *restrict inverse, double *restrict b)
{
    double v[4];
    int64_t i, j;
    for (j = 0; j < n; j++) {
        const double value = b[pivots[j]];
        b[pivots[j]] = b[j];
        b[j] = value;
    }
    for (j = 0; j + 4 <= n; j += 4) {
        const double *c = a + j * n + j;
        v[0] = b[j];
        v[1] = b[j + 1] - c[1] * v[0];
        v[2] = b[j + 2] - c[2] * v[0] - c[n + 2] * v[1];
        v[3] = b[j + 3] - c[3] * v[0] - c[n + 3] * v[1] - c[2 * n + 3] * v[2];
        for (i = 1; i < 4; i++) b[j + i] = v[i];
        odead_lu_subtract(j + 4, n, n, a + j * n, v, b);
    }
    for (; j < n; j++) {
        const double *restrict column = a + j * n;
        const double value = b[j];
        for (i = j + 1; i < n; i++) b[i] -= column[i] * value;
    }
    for (j = n - 4; j >= 0; j -= 4) { /* from the last column to the first */
        const double *c = a + j * n + j;
        v[0] = b[j + 3] * inverse[j + 3];
        v[1] = (b[j + 2] - c[3 * n + 2] * v[0]) * inverse[j + 2];
        v[2] = (b[j + 1] - c[3 * n + 1] * v[0] - c[2 * n + 1] * v[1]) * inverse[j + 1];
        v[3] = (b[j] - c[3 * n] * v[0] - c[2 * n] * v[1] - c[n] * v[2]) * inverse[j];
        for (i = 0; i < 4; i++) b[j + i] = v[3 - i];
        odead_lu_subtract(0, j, -n, a + (j + 3) * n, v, b);
    }
    for (j += 3; j >= 0; j--) {
        const double *restrict column = a + j * n;
        const double value = b[j] * inverse[j];
        b[j] = value;
        for (i = 0; i < j; i++) b[i] -= column[i] * value;
    }
}

/* Four sums at a time, for the dot products. */
static inline double odead_lu_dot(int64_t from, int64_t to, const double *x, const double *y)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int64_t i = from;
    for (; i + 4 <= to; i += 4) {
        s0 += x[i] * y[i];
        s1 += x[i + 1] * y[i + 1];
        s2 += x[i + 2] * y[i + 2];
        s3 += x[i + 3] * y[i + 3];
    }
    for (; i < to; i++) s0 += x[i] * y[i];
    return (s0 + s1) + (s2 + s3);
}

static ODEAD_CLONES void odead_lu_solve_transposed(int64_t n, const double *a, const int *pivots, const double *inverse,
                                                   double *b)
{
    int64_t j;
    for (j = 0; j < n; j++) b[j] = (b[j] - odead_lu_dot(0, j, a + j * n, b)) * inverse[j];
    for (j = n - 1; j >= 0; j--) b[j] -= odead_lu_dot(j + 1, n, a + j * n, b);
    for (j = n - 1; j >= 0; j--) {
        const double value = b[pivots[j]];
        b[pivots[j]] = b[j];
        b[j] = value;
    }
}

#endif
