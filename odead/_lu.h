/* LU factors of a small dense matrix, by columns, with row pivoting.
 *
 * LAPACK's calls cost more than this up to about 30 rows, and above it its threads do: on a busy machine with two cores a
 * factorisation of 50 rows was seen to wait 10 ms for the second one. */
#ifndef ODEAD_LU_H
#define ODEAD_LU_H

#include <math.h>
#include <stdint.h>

#include "_vectors.h"

enum { ODEAD_LU_MOST = 100 }; /* rows of what is solved for a few right-hand sides at once */

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

/* The same for a few right-hand sides at once, side by side in registers: operation by operation what `odead_lu_solve` does for
   each. (Eight of 20 rows: 1040 ns become 250; four of 3 rows: 50 become 20.) */
static ODEAD_CLONES void odead_lu_solve_few(int64_t n, const double *restrict a, const int *restrict pivots,
                                            const double *restrict inverse, int64_t count, double *restrict b)
{
    double lanes[ODEAD_LU_MOST * ODEAD_LANES];
    int64_t i, j, l;
    for (i = 0; i < n; i++)
        for (l = 0; l < ODEAD_LANES; l++) lanes[i * ODEAD_LANES + l] = l < count ? b[l * n + i] : 0;
    for (l = 0; l < ODEAD_LANES; l += ODEAD_SOME) {
        odead_some value;
        double *restrict c = lanes + l;
        for (j = 0; j < n; j++) {
            value = ODEAD_LOAD(c + pivots[j] * ODEAD_LANES);
            ODEAD_STORE(c + pivots[j] * ODEAD_LANES) = ODEAD_LOAD(c + j * ODEAD_LANES);
            ODEAD_STORE(c + j * ODEAD_LANES) = value;
        }
        for (j = 0; j < n; j++) {
            value = ODEAD_LOAD(c + j * ODEAD_LANES);
            for (i = j + 1; i < n; i++) ODEAD_STORE(c + i * ODEAD_LANES) -= a[j * n + i] * value;
        }
        for (j = n - 1; j >= 0; j--) {
            value = ODEAD_LOAD(c + j * ODEAD_LANES) * inverse[j];
            ODEAD_STORE(c + j * ODEAD_LANES) = value;
            for (i = 0; i < j; i++) ODEAD_STORE(c + i * ODEAD_LANES) -= a[j * n + i] * value;
        }
    }
    for (l = 0; l < count; l++)
        for (i = 0; i < n; i++) b[l * n + i] = lanes[i * ODEAD_LANES + l];
}

/* The sums of c * b over the rows from `from` to `to`, for four columns c; eight sums of each, that no addition waits for
   another */
ODEAD_PART void odead_lu_dots(int64_t from, int64_t to, int64_t n, const double *restrict c, const double *restrict b,
                              double *restrict total)
{
    double part[4][8];
    int64_t i = from;
    int j, lane;
    for (j = 0; j < 4; j++)
        for (lane = 0; lane < 8; lane++) part[j][lane] = 0;
    for (; i + 8 <= to; i += 8)
        for (j = 0; j < 4; j++)
            for (lane = 0; lane < 8; lane++) part[j][lane] += c[j * n + i + lane] * b[i + lane];
    for (j = 0; j < 4; j++)
        total[j] =
            ((part[j][0] + part[j][4]) + (part[j][2] + part[j][6])) + ((part[j][1] + part[j][5]) + (part[j][3] + part[j][7]));
    for (; i < to; i++)
        for (j = 0; j < 4; j++) total[j] += c[j * n + i] * b[i];
}

/* Columns by four, as above (50 rows: 1090 ns become 590). */
static ODEAD_CLONES void odead_lu_solve_transposed(int64_t n, const double *restrict a, const int *restrict pivots,
                                                   const double *restrict inverse, double *restrict b)
{
    double s[4];
    int64_t i, j;
    for (j = 0; j + 4 <= n; j += 4) {
        const double *c = a + j * n + j;
        odead_lu_dots(0, j, n, a + j * n, b, s);
        b[j] = (b[j] - s[0]) * inverse[j];
        b[j + 1] = (b[j + 1] - s[1] - c[n] * b[j]) * inverse[j + 1];
        b[j + 2] = (b[j + 2] - s[2] - c[2 * n] * b[j] - c[2 * n + 1] * b[j + 1]) * inverse[j + 2];
        b[j + 3] = (b[j + 3] - s[3] - c[3 * n] * b[j] - c[3 * n + 1] * b[j + 1] - c[3 * n + 2] * b[j + 2]) * inverse[j + 3];
    }
    for (; j < n; j++) {
        double value = b[j];
        for (i = 0; i < j; i++) value -= a[j * n + i] * b[i];
        b[j] = value * inverse[j];
    }
    for (j = n - 4; j >= 0; j -= 4) {
        const double *c = a + j * n + j;
        odead_lu_dots(j + 4, n, n, a + j * n, b, s);
        b[j + 3] -= s[3];
        b[j + 2] -= s[2] + c[2 * n + 3] * b[j + 3];
        b[j + 1] -= s[1] + c[n + 3] * b[j + 3] + c[n + 2] * b[j + 2];
        b[j] -= s[0] + c[3] * b[j + 3] + c[2] * b[j + 2] + c[1] * b[j + 1];
    }
    for (j += 3; j >= 0; j--) {
        double value = b[j];
        for (i = j + 1; i < n; i++) value -= a[j * n + i] * b[i];
        b[j] = value;
    }
    for (j = n - 1; j >= 0; j--) {
        const double value = b[pivots[j]];
        b[pivots[j]] = b[j];
        b[j] = value;
    }
}

#endif
