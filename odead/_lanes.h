/* The inner loops of the steppers on lanes: the elements of a row are those of ODEAD_MEMBERS members side by side.
 *
 * For each lane they do what those of `_vectors.h` do for one member, operation by operation, so that the steps are the same to
 * the last bit. */
#ifndef ODEAD_LANES_H
#define ODEAD_LANES_H

#include <math.h>
#include <stdint.h>

#include "_vectors.h"

#if defined(__GNUC__) /* no module calls all of them */
#define ODEAD_ON_LANES static ODEAD_CLONES __attribute__((unused))
#else
#define ODEAD_ON_LANES static
#endif

/* Compilers keep sums in registers only when they are told to: six stages of four rows took 80 ns as loops over arrays, and
 * take 20. */
#define ODEAD_SHARED(j) weight[j]
#define ODEAD_OWN(j) ODEAD_LOAD(weight + (j) * ODEAD_MEMBERS + l)

/* total = sum_j weight[j] * stage[index[j]] in some lanes of the row at k, from lane l on, with one weight for all lanes or one
 * for each. A macro, since functions that return wide vectors are not the same for all processors. */
#define ODEAD_SUM(total, WEIGHT, k) \
    do { \
        int j_; \
        total = (odead_some){0}; \
        for (j_ = 0; j_ < count; j_++) total += WEIGHT(j_) * ODEAD_LOAD((k) + index[j_] * stride + l); \
    } while (0)

#define ODEAD_COMBINE(WEIGHT) \
    int64_t i; \
    int l; \
    for (i = 0; i < n * ODEAD_MEMBERS; i += ODEAD_MEMBERS) \
        for (l = 0; l < ODEAD_MEMBERS; l += ODEAD_SOME) { \
            odead_some total; \
            ODEAD_SUM(total, WEIGHT, k + i); \
            ODEAD_STORE(out + i + l) = ODEAD_LOAD(y + i + l) + ODEAD_LOAD(h + l) * total; \
        }

/* out = y + h * sum_j weight[j] * stage[index[j]] */
ODEAD_ON_LANES void odead_lanes_combine(int64_t n, const double *y, const double *h, int count, const double *weight,
                                        const int64_t *index, const double *k, int64_t stride, double *out)
{
    ODEAD_COMBINE(ODEAD_SHARED)
}

/* The same with a weight for each lane. */
ODEAD_ON_LANES void odead_lanes_interpolate(int64_t n, const double *y, const double *h, int count, const double *weight,
                                            const int64_t *index, const double *k, int64_t stride, double *out)
{
    ODEAD_COMBINE(ODEAD_OWN)
}

/* stage[index[j]] += (h * weight[j]) * x, with a weight for each lane if `each` */
ODEAD_ON_LANES void odead_lanes_spread(int64_t n, const double *x, const double *h, int count, const double *weight,
                                       int each, const int64_t *index, double *k, int64_t stride)
{
    double w[ODEAD_MEMBERS];
    int64_t i;
    int j, l;
    for (j = 0; j < count; j++) {
        double *restrict row = k + index[j] * stride;
        for (l = 0; l < ODEAD_MEMBERS; l++) w[l] = h[l] * (each ? weight[j * ODEAD_MEMBERS + l] : weight[j]);
        for (i = 0; i < n * ODEAD_MEMBERS; i += ODEAD_MEMBERS)
            for (l = 0; l < ODEAD_MEMBERS; l++) row[i + l] += w[l] * x[i + l];
    }
}

/* squares = sum of the squares of (sum_j weight[j] * stage[index[j]]) / (atol + rtol * max(|x|, |y|)) */
ODEAD_ON_LANES void odead_lanes_error(int64_t n, const double *x, const double *y, double rtol, const double *atol, int count,
                                      const double *weight, const int64_t *index, const double *k, int64_t stride,
                                      double *restrict squares)
{
    double sums[ODEAD_LANES][ODEAD_MEMBERS], total[ODEAD_MEMBERS];
    int64_t i;
    int l, parts = n > ODEAD_FEW ? ODEAD_LANES : 1, part; /* of the sum of squares, as in `odead_error_many` */
    for (part = 0; part < parts; part++)
        for (l = 0; l < ODEAD_MEMBERS; l++) sums[part][l] = 0;
    for (i = 0; i < n; i++, x += ODEAD_MEMBERS, y += ODEAD_MEMBERS, k += ODEAD_MEMBERS, atol += ODEAD_MEMBERS) {
        double *restrict sum = sums[i % parts];
        for (l = 0; l < ODEAD_MEMBERS; l += ODEAD_SOME) {
            odead_some some;
            ODEAD_SUM(some, ODEAD_SHARED, k);
            ODEAD_STORE(total + l) = some;
        }
        for (l = 0; l < ODEAD_MEMBERS; l++) {
            const double e = total[l] / odead_scale(x[l], y[l], rtol, atol[l]);
            sum[l] += e * e;
        }
    }
    for (l = 0; l < ODEAD_MEMBERS; l++) squares[l] = sums[0][l];
    for (part = 1; part < parts; part++)
        for (l = 0; l < ODEAD_MEMBERS; l++) squares[l] += sums[part][l];
}

/* Where the interpolant is evaluated at the fractions q, the weight of a stage: sum_j coefficient[j] * basis[j] */
ODEAD_ON_LANES void odead_lanes_basis(int64_t degree, const int *flip, const double *q, double *restrict basis)
{
    double last[ODEAD_MEMBERS];
    int64_t j;
    int l;
    for (l = 0; l < ODEAD_MEMBERS; l++) last[l] = 1;
    for (j = 0; j < degree; j++)
        for (l = 0; l < ODEAD_MEMBERS; l++) basis[j * ODEAD_MEMBERS + l] = last[l] *= flip[j] ? 1 - q[l] : q[l];
}

ODEAD_ON_LANES void odead_lanes_weight(int64_t degree, const double *coefficient, const double *basis, double *weight)
{
    int64_t j;
    int l;
    for (l = 0; l < ODEAD_MEMBERS; l += ODEAD_SOME) {
        odead_some total = {0};
        for (j = 0; j < degree; j++) total += coefficient[j] * ODEAD_LOAD(basis + j * ODEAD_MEMBERS + l);
        ODEAD_STORE(weight + l) = total;
    }
}

/* to = from in the lanes where taken is true */
ODEAD_ON_LANES void odead_lanes_take(int64_t n, const double *taken, const double *from, double *restrict to)
{
    int64_t i;
    int l;
    for (i = 0; i < n * ODEAD_MEMBERS; i += ODEAD_MEMBERS)
        for (l = 0; l < ODEAD_MEMBERS; l++) {
            const double a = from[i + l], b = to[i + l];
            to[i + l] = taken[l] != 0 ? a : b;
        }
}

/* x += y */
ODEAD_ON_LANES void odead_lanes_add(int64_t n, const double *y, double *restrict x)
{
    int64_t i;
    for (i = 0; i < n * ODEAD_MEMBERS; i++) x[i] += y[i];
}

/* total: 0 in the lanes where all n numbers are finite */
ODEAD_ON_LANES void odead_lanes_finite(int64_t n, const double *x, double *restrict total)
{
    int64_t i;
    int l;
    for (l = 0; l < ODEAD_MEMBERS; l++) total[l] = 0;
    for (i = 0; i < n * ODEAD_MEMBERS; i += ODEAD_MEMBERS)
        for (l = 0; l < ODEAD_MEMBERS; l++) total[l] += 0 * x[i + l];
}

/* One lane: of n rows, from and to the numbers of a member. */
static inline void odead_lanes_put(int64_t n, const double *x, double *lane)
{
    int64_t i;
    for (i = 0; i < n; i++) lane[i * ODEAD_MEMBERS] = x[i];
}

static inline void odead_lanes_get(int64_t n, const double *lane, double *x)
{
    int64_t i;
    for (i = 0; i < n; i++) x[i] = lane[i * ODEAD_MEMBERS];
}

#endif
