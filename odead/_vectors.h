/* The inner loops of the steppers: linear combinations of stages, and norms of errors.
 *
 * Stage j is the row k + j * stride. For a handful of states a call is all overhead, so these are inlined and loop over the
 * states outside; for many states all rows are added at once, in pieces that stay in the first level cache. A sum of all
 * elements is taken in lanes: one after the other, each addition would wait for the one before. */
#ifndef ODEAD_VECTORS_H
#define ODEAD_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* One version per instruction set, chosen when the module is loaded; needs the indirect functions of glibc. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define ODEAD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ODEAD_CLONES
#endif

/* What a version calls is of its instruction set only if it is compiled as part of it. */
#if defined(__GNUC__)
#define ODEAD_PART static inline __attribute__((always_inline))
#else
#define ODEAD_PART static inline
#endif

/* Some elements in a register, or in two or four where the processor has no such wide ones. */
#if defined(__GNUC__)
typedef double odead_some __attribute__((vector_size(64), aligned(8), may_alias));
#else
typedef double odead_some;
#endif
enum { ODEAD_SOME = sizeof(odead_some) / sizeof(double) };

#define ODEAD_LOAD(address) (*(const odead_some *)(address))
#define ODEAD_STORE(address) (*(odead_some *)(address))

enum { ODEAD_FEW = 8, ODEAD_SEVERAL = 128, ODEAD_PIECE = 512, ODEAD_ROWS = 7, ODEAD_LANES = 8, ODEAD_MOST = 16 };

/* total (+)= sum_j weight[j] * row[j]; a constant count becomes straight code */
ODEAD_PART void odead_sum_rows(int64_t n, int count, const double *weight, const double *const *row, int adds,
                                  double *restrict total)
{
    int64_t i;
    int j;
    for (i = 0; i < n; i++) {
        double sum = adds ? total[i] : 0;
        for (j = 0; j < count; j++) sum += weight[j] * row[j][i];
        total[i] = sum;
    }
}

/* total (+)= sum_j weight[j] * stage[index[j]], the elements from start to stop */
ODEAD_PART void odead_sum_piece(int64_t start, int64_t stop, int count, const double *weight, const int64_t *index,
                                const double *k, int64_t stride, int adds, double *restrict total)
{
    int64_t n = stop - start;
    int j, first;
    if (count == 0 && !adds) odead_sum_rows(n, 0, weight, &k, 0, total);
    for (first = 0; first < count; first += ODEAD_ROWS) { /* all of them at once: no sum is stored and read again */
        const double *row[ODEAD_ROWS];
        double w[ODEAD_ROWS];
        int left = count - first < ODEAD_ROWS ? count - first : ODEAD_ROWS;
        for (j = 0; j < left; j++) {
            row[j] = k + index[first + j] * stride + start;
            w[j] = weight[first + j];
        }
        switch (left) {
        case 1: odead_sum_rows(n, 1, w, row, adds || first > 0, total); break;
        case 2: odead_sum_rows(n, 2, w, row, adds || first > 0, total); break;
        case 3: odead_sum_rows(n, 3, w, row, adds || first > 0, total); break;
        case 4: odead_sum_rows(n, 4, w, row, adds || first > 0, total); break;
        case 5: odead_sum_rows(n, 5, w, row, adds || first > 0, total); break;
        case 6: odead_sum_rows(n, 6, w, row, adds || first > 0, total); break;
        default: odead_sum_rows(n, 7, w, row, adds || first > 0, total);
        }
    }
}

/* Copy, without a call for a handful */
static inline void odead_copy(int64_t n, const double *from, double *to)
{
    switch (n) {
    case 8: to[7] = from[7]; /* fall through */
    case 7: to[6] = from[6]; /* fall through */
    case 6: to[5] = from[5]; /* fall through */
    case 5: to[4] = from[4]; /* fall through */
    case 4: to[3] = from[3]; /* fall through */
    case 3: to[2] = from[2]; /* fall through */
    case 2: to[1] = from[1]; /* fall through */
    case 1: to[0] = from[0]; /* fall through */
    case 0: break;
    default: memcpy(to, from, n * sizeof(double));
    }
}

/* out = sum_j weight[j] * stage[index[j]]; with y: y + h times that. A constant n becomes straight code, sums in registers. */
static inline void odead_combine_one(int64_t n, const double *y, double h, int count, const double *weight,
                                     const int64_t *index, const double *k, int64_t stride, double *out)
{
    double total[ODEAD_FEW] = {0};
    int64_t i;
    int j;
    for (j = 0; j < count; j++) {
        const double *row = k + index[j] * stride;
        for (i = 0; i < n; i++) total[i] += weight[j] * row[i];
    }
    for (i = 0; i < n; i++) out[i] = y ? y[i] + h * total[i] : total[i];
}

static inline void odead_combine_few(int64_t n, const double *y, double h, int count, const double *weight,
                                     const int64_t *index, const double *k, int64_t stride, double *out)
{
    switch (n) {
    case 1: odead_combine_one(1, y, h, count, weight, index, k, stride, out); break;
    case 2: odead_combine_one(2, y, h, count, weight, index, k, stride, out); break;
    case 3: odead_combine_one(3, y, h, count, weight, index, k, stride, out); break;
    case 4: odead_combine_one(4, y, h, count, weight, index, k, stride, out); break;
    case 5: odead_combine_one(5, y, h, count, weight, index, k, stride, out); break;
    case 6: odead_combine_one(6, y, h, count, weight, index, k, stride, out); break;
    case 7: odead_combine_one(7, y, h, count, weight, index, k, stride, out); break;
    case 8: odead_combine_one(8, y, h, count, weight, index, k, stride, out); break;
    }
}

static ODEAD_CLONES void odead_combine_many(int64_t n, const double *y, double h, int count, const double *weight,
                                            const int64_t *index, const double *k, int64_t stride, double *restrict out)
{
    double total[ODEAD_PIECE];
    int64_t i, start;
    for (start = 0; start < n; start += ODEAD_PIECE) {
        int64_t stop = start + ODEAD_PIECE < n ? start + ODEAD_PIECE : n;
        odead_sum_piece(start, stop, count, weight, index, k, stride, 0, total);
        for (i = start; i < stop; i++) out[i] = y[i] + h * total[i - start];
    }
}

/* From ODEAD_SOME to ODEAD_SEVERAL elements, all sums in registers: of ten, in 7 ns instead of 18. The last register overlaps
 * the one before; what it begins with is read before anything is written, since out may be y. With no y: the sums alone. */
ODEAD_PART void odead_combine_pairs(int64_t n, const double *y, double h, int count, const double *weight,
                                    const int64_t *index, const double *k, int64_t stride, double *out)
{
    const int64_t last = n - ODEAD_SOME;
    const odead_some zero = {0}, y_last = y ? ODEAD_LOAD(y + last) : zero;
    int64_t i;
    int j;
    for (i = 0; i < n; i += 2 * ODEAD_SOME) {
        const int64_t a = i < last ? i : last, b = i + ODEAD_SOME < last ? i + ODEAD_SOME : last;
        odead_some one = zero, two = zero;
        for (j = 0; j < count; j++) {
            const double w = weight[j], *row = k + index[j] * stride;
            one += w * ODEAD_LOAD(row + a);
            two += w * ODEAD_LOAD(row + b);
        }
        if (y) {
            one = (a < last ? ODEAD_LOAD(y + a) : y_last) + h * one;
            two = (b < last ? ODEAD_LOAD(y + b) : y_last) + h * two;
        }
        ODEAD_STORE(out + a) = one;
        ODEAD_STORE(out + b) = two;
    }
}

static ODEAD_CLONES void odead_combine_several(int64_t n, const double *y, double h, int count, const double *weight,
                                               const int64_t *index, const double *k, int64_t stride, double *out)
{
    odead_combine_pairs(n, y, h, count, weight, index, k, stride, out);
}

/* out = y + h * sum_j weight[j] * stage[index[j]] */
static inline void odead_combine(int64_t n, const double *y, double h, int count, const double *weight, const int64_t *index,
                                 const double *k, int64_t stride, double *out)
{
    if (n > ODEAD_SEVERAL)
        odead_combine_many(n, y, h, count, weight, index, k, stride, out);
    else if (n > ODEAD_FEW)
        odead_combine_several(n, y, h, count, weight, index, k, stride, out);
    else
        odead_combine_few(n, y, h, count, weight, index, k, stride, out);
}

ODEAD_PART void odead_spread_one(int64_t n, const double *x, double h, int count, const double *weight, const int64_t *index,
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

static ODEAD_CLONES void odead_spread_many(int64_t n, const double *x, double h, int count, const double *weight,
                                           const int64_t *index, double *k, int64_t stride)
{
    odead_spread_one(n, x, h, count, weight, index, k, stride);
}

/* stage[index[j]] += h * weight[j] * x, the transpose of the above */
static inline void odead_spread(int64_t n, const double *x, double h, int count, const double *weight, const int64_t *index,
                                double *k, int64_t stride)
{
    if (n > ODEAD_FEW)
        odead_spread_many(n, x, h, count, weight, index, k, stride);
    else
        odead_spread_one(n, x, h, count, weight, index, k, stride);
}

static ODEAD_CLONES void odead_gather_many(int64_t n, const double *from, double h, int count, const double *weight,
                                           const int64_t *index, const double *k, int64_t stride, double *restrict out)
{
    double scaled[ODEAD_MOST];
    int64_t start;
    int j;
    for (j = 0; j < count; j++) scaled[j] = h * weight[j];
    for (start = 0; start < n; start += ODEAD_PIECE) {
        int64_t stop = start + ODEAD_PIECE < n ? start + ODEAD_PIECE : n;
        if (from) memcpy(out + start, from + start, (stop - start) * sizeof(double));
        odead_sum_piece(start, stop, count, scaled, index, k, stride, from != NULL, out + start);
    }
}

static inline void odead_gather_one(int64_t n, const double *from, double h, int count, const double *weight,
                                    const int64_t *index, const double *k, int64_t stride, double *out)
{
    double total[ODEAD_FEW] = {0};
    int64_t i;
    int j;
    if (from)
        for (i = 0; i < n; i++) total[i] = from[i];
    for (j = 0; j < count; j++) {
        const double w = h * weight[j], *row = k + index[j] * stride;
        for (i = 0; i < n; i++) total[i] += w * row[i];
    }
    for (i = 0; i < n; i++) out[i] = total[i];
}

/* out = from + sum_j (h * weight[j]) * row[index[j]], in this order; `from` may be NULL. Adds up what spreads would, without
   writing each row again and again. */
static inline void odead_gather(int64_t n, const double *from, double h, int count, const double *weight, const int64_t *index,
                                const double *k, int64_t stride, double *out)
{
    switch (n) {
    case 1: odead_gather_one(1, from, h, count, weight, index, k, stride, out); break;
    case 2: odead_gather_one(2, from, h, count, weight, index, k, stride, out); break;
    case 3: odead_gather_one(3, from, h, count, weight, index, k, stride, out); break;
    case 4: odead_gather_one(4, from, h, count, weight, index, k, stride, out); break;
    default: odead_gather_many(n, from, h, count, weight, index, k, stride, out);
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
    double total[ODEAD_PIECE], squares[ODEAD_LANES] = {0};
    int64_t i, start;
    int lane;
    for (start = 0; start < n; start += ODEAD_PIECE) {
        int64_t stop = start + ODEAD_PIECE < n ? start + ODEAD_PIECE : n;
        int64_t padded = (stop - start + ODEAD_LANES - 1) / ODEAD_LANES * ODEAD_LANES;
        odead_sum_piece(start, stop, count, weight, index, k, stride, 0, total);
        for (i = start; i < stop; i++) total[i - start] /= odead_scale(x[i], y[i], rtol, atol[i]);
        for (i = stop - start; i < padded; i++) total[i] = 0;
        for (i = 0; i < padded; i += ODEAD_LANES)
            for (lane = 0; lane < ODEAD_LANES; lane++) squares[lane] += total[i + lane] * total[i + lane];
    }
    for (lane = 1; lane < ODEAD_LANES; lane++) squares[0] += squares[lane];
    return squares[0];
}

/* Sum of the squares of (sum_j weight[j] * stage[index[j]]) / (atol + rtol * max(|x|, |y|)) */
static inline double odead_error(int64_t n, const double *x, const double *y, double rtol, const double *atol, int count,
                                 const double *weight, const int64_t *index, const double *k, int64_t stride)
{
    double total[ODEAD_FEW], squares = 0;
    int64_t i;
    if (n > ODEAD_FEW) return odead_error_many(n, x, y, rtol, atol, count, weight, index, k, stride);
    odead_combine_few(n, NULL, 1, count, weight, index, k, stride, total);
    for (i = 0; i < n; i++) {
        const double e = total[i] / odead_scale(x[i], y[i], rtol, atol[i]);
        squares += e * e;
    }
    return squares;
}

static ODEAD_CLONES void odead_errors_several(int64_t n, const double *x, const double *y, const double *rtol,
                                              const double *atol, int count, const double *weight, const int64_t *index,
                                              const double *k, int64_t stride, double *restrict out)
{
    int64_t i;
    odead_combine_pairs(n, NULL, 1, count, weight, index, k, stride, out);
    for (i = 0; i < n; i++) {
        const double e = out[i] / odead_scale(x[i], y[i], rtol[i], atol[i]);
        out[i] = e * e;
    }
}

/* squares[b]: that of `odead_error` of each block of `size` elements; rtol is one per element, the same in a block. Of many
   blocks of a few elements all are done at once. */
static inline void odead_errors(int64_t blocks, int64_t size, const double *x, const double *y, const double *rtol,
                                const double *atol, int count, const double *weight, const int64_t *index, const double *k,
                                int64_t stride, double *squares)
{
    double each[ODEAD_SEVERAL];
    const int64_t n = blocks * size;
    int64_t b, i;
    if (size > ODEAD_FEW || n <= ODEAD_FEW || n > ODEAD_SEVERAL) {
        for (b = 0; b < n; b += size)
            *squares++ = odead_error(size, x + b, y + b, rtol[b], atol + b, count, weight, index, k + b, stride);
        return;
    }
    odead_errors_several(n, x, y, rtol, atol, count, weight, index, k, stride, each);
    for (b = 0; b < blocks; b++) {
        double sum = 0;
        for (i = 0; i < size; i++) sum += each[b * size + i];
        squares[b] = sum;
    }
}

/* The norm of a local error in a step of size h, from the sums of squares of its one or two estimates of `size` numbers;
   `others`: that of the second, or NULL. */
static inline double odead_norm_of(double h, double squares, const double *others, int64_t size)
{
    if (!others) return fabs(h) * sqrt(squares / size);
    if (squares == 0 && *others == 0) return 0;
    return fabs(h) * squares / sqrt((squares + 0.01 * *others) * size);
}

static ODEAD_CLONES double odead_squares_many(int64_t n, const double *x, const double *y, double rtol, const double *atol)
{
    double squares[ODEAD_LANES] = {0};
    int64_t i;
    int lane;
    for (i = 0; i + ODEAD_LANES <= n; i += ODEAD_LANES)
        for (lane = 0; lane < ODEAD_LANES; lane++) {
            const double e = x[i + lane] / odead_scale(y[i + lane], y[i + lane], rtol, atol[i + lane]);
            squares[lane] += e * e;
        }
    for (; i < n; i++) {
        const double e = x[i] / odead_scale(y[i], y[i], rtol, atol[i]);
        squares[0] += e * e;
    }
    for (lane = 1; lane < ODEAD_LANES; lane++) squares[0] += squares[lane];
    return squares[0];
}

/* Root mean square of x / (atol + rtol * |y|) */
static inline double odead_norm(int64_t n, const double *x, const double *y, double rtol, const double *atol)
{
    double squares = 0;
    int64_t i;
    if (n > ODEAD_FEW) return sqrt(odead_squares_many(n, x, y, rtol, atol) / n);
    for (i = 0; i < n; i++) {
        const double e = x[i] / odead_scale(y[i], y[i], rtol, atol[i]);
        squares += e * e;
    }
    return sqrt(squares / n);
}

/* weight[j] = sum_d coefficient[d][j] * power[d] of up to ODEAD_MOST stages, in lanes: those from the count on do not matter */
static inline void odead_weigh(int count, int64_t degree, double (*coefficient)[ODEAD_MOST], const double *power,
                               double *weight)
{
    int first, j;
    int64_t d;
    for (first = 0; first < count; first += ODEAD_LANES) {
        double total[ODEAD_LANES] = {0};
        for (d = 0; d < degree; d++)
            for (j = 0; j < ODEAD_LANES; j++) total[j] += coefficient[d][first + j] * power[d];
        for (j = 0; j < ODEAD_LANES; j++) weight[first + j] = total[j];
    }
}

static ODEAD_CLONES int odead_all_finite_many(int64_t n, const double *x)
{
    double total[ODEAD_LANES] = {0};
    int64_t i;
    int lane;
    for (i = 0; i + ODEAD_LANES <= n; i += ODEAD_LANES)
        for (lane = 0; lane < ODEAD_LANES; lane++) total[lane] += 0 * x[i + lane];
    for (; i < n; i++) total[0] += 0 * x[i];
    for (lane = 1; lane < ODEAD_LANES; lane++) total[0] += total[lane];
    return total[0] == 0;
}

static inline int odead_all_finite(int64_t n, const double *x)
{
    double total = 0;
    int64_t i;
    if (n > ODEAD_FEW) return odead_all_finite_many(n, x);
    for (i = 0; i < n; i++) total += 0 * x[i];
    return total == 0;
}

#endif
