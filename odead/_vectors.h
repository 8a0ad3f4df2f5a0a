/* The inner loops of the steppers: linear combinations of stages, and norms of errors.
 *
 * Stage j is the row k + j * stride. For a handful of states a call is all overhead, so these are inlined and loop over the
 * states outside; for many states four rows are added at a time, in pieces that stay in the first level cache. */
#ifndef ODEAD_VECTORS_H
#define ODEAD_VECTORS_H

#include <math.h>
#include <stdint.h>

/* One version per instruction set, chosen when the module is loaded; needs the indirect functions of glibc. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define ODEAD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ODEAD_CLONES
#endif

enum { ODEAD_FEW = 8, ODEAD_PIECE = 512 };

/* total = sum_j weight[j] * stage[index[j]], the elements from start to stop */
static inline void odead_sum_piece(int64_t start, int64_t stop, int count, const double *weight, const int64_t *index,
                                   const double *k, int64_t stride, double *restrict total)
{
    int64_t i, n = stop - start;
    int j;
    for (i = 0; i < n; i++) total[i] = 0;
    for (j = 0; j + 4 <= count; j += 4) {
        const double *r0 = k + index[j] * stride + start, *r1 = k + index[j + 1] * stride + start;
        const double *r2 = k + index[j + 2] * stride + start, *r3 = k + index[j + 3] * stride + start;
        const double w0 = weight[j], w1 = weight[j + 1], w2 = weight[j + 2], w3 = weight[j + 3];
        for (i = 0; i < n; i++) total[i] += w0 * r0[i] + w1 * r1[i] + w2 * r2[i] + w3 * r3[i];
    }
    for (; j < count; j++) {
        const double *r0 = k + index[j] * stride + start;
        const double w0 = weight[j];
        for (i = 0; i < n; i++) total[i] += w0 * r0[i];
    }
}

static inline double odead_sum_one(int64_t i, int count, const double *weight, const int64_t *index, const double *k,
                                   int64_t stride)
{
    double total = 0;
    int j;
    for (j = 0; j < count; j++) total += weight[j] * k[index[j] * stride + i];
    return total;
}

static ODEAD_CLONES void odead_combine_many(int64_t n, const double *y, double h, int count, const double *weight,
                                            const int64_t *index, const double *k, int64_t stride, double *restrict out)
{
    double total[ODEAD_PIECE];
    int64_t i, start;
    for (start = 0; start < n; start += ODEAD_PIECE) {
        int64_t stop = start + ODEAD_PIECE < n ? start + ODEAD_PIECE : n;
        odead_sum_piece(start, stop, count, weight, index, k, stride, total);
        for (i = start; i < stop; i++) out[i] = y[i] + h * total[i - start];
    }
}

/* out = y + h * sum_j weight[j] * stage[index[j]] */
static inline void odead_combine(int64_t n, const double *y, double h, int count, const double *weight, const int64_t *index,
                                 const double *k, int64_t stride, double *out)
{
    int64_t i;
    if (n > ODEAD_FEW) {
        odead_combine_many(n, y, h, count, weight, index, k, stride, out);
        return;
    }
    for (i = 0; i < n; i++) out[i] = y[i] + h * odead_sum_one(i, count, weight, index, k, stride);
}

/* stage[index[j]] += h * weight[j] * x, the transpose of the above */
static inline void odead_spread(int64_t n, const double *x, double h, int count, const double *weight, const int64_t *index,
                                double *k, int64_t stride)
{
    int64_t i;
    int j;
    for (j = 0; j < count; j++) {
        const double w = h * weight[j];
        double *restrict row = k + index[j] * stride;
        for (i = 0; i < n; i++) row[i] += w * x[i];
    }
}

static inline double odead_scale(double x, double y, double rtol, double atol)
{
    x = fabs(x);
    y = fabs(y);
    return atol + rtol * (x > y ? x : y);
}

static ODEAD_CLONES double odead_error_many(int64_t n, const double *x, const double *y, double rtol, const double *atol,
                                            int count, const double *weight, const int64_t *index, const double *k,
                                            int64_t stride)
{
    double total[ODEAD_PIECE], squares = 0;
    int64_t i, start;
    for (start = 0; start < n; start += ODEAD_PIECE) {
        int64_t stop = start + ODEAD_PIECE < n ? start + ODEAD_PIECE : n;
        odead_sum_piece(start, stop, count, weight, index, k, stride, total);
        for (i = start; i < stop; i++) total[i - start] /= odead_scale(x[i], y[i], rtol, atol[i]);
        for (i = start; i < stop; i++) squares += total[i - start] * total[i - start];
    }
    return squares;
}

/* Sum of the squares of (sum_j weight[j] * stage[index[j]]) / (atol + rtol * max(|x|, |y|)) */
static inline double odead_error(int64_t n, const double *x, const double *y, double rtol, const double *atol, int count,
                                 const double *weight, const int64_t *index, const double *k, int64_t stride)
{
    double squares = 0;
    int64_t i;
    if (n > ODEAD_FEW) return odead_error_many(n, x, y, rtol, atol, count, weight, index, k, stride);
    for (i = 0; i < n; i++) {
        const double e = odead_sum_one(i, count, weight, index, k, stride) / odead_scale(x[i], y[i], rtol, atol[i]);
        squares += e * e;
    }
    return squares;
}

/* Root mean square of x / (atol + rtol * |y|) */
static inline double odead_norm(int64_t n, const double *x, const double *y, double rtol, const double *atol)
{
    double squares = 0;
    int64_t i;
    for (i = 0; i < n; i++) {
        const double e = x[i] / odead_scale(y[i], y[i], rtol, atol[i]);
        squares += e * e;
    }
    return sqrt(squares / n);
}

static inline int odead_all_finite(int64_t n, const double *x)
{
    double total = 0;
    int64_t i;
    for (i = 0; i < n; i++) total += 0 * x[i];
    return total == 0;
}

#endif
