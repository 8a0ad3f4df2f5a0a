/* Sums in NumPy's order: halves, down to leaves of at most 128 elements with eight running sums (error O(log n), same bits).
 *
 * Contiguous rows only. The running sums of a leaf fill one or two vectors. */
#ifndef ODEAD_SUMS_H
#define ODEAD_SUMS_H

#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define ODEAD_SUM_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ODEAD_SUM_CLONES
#endif

enum { ODEAD_LEAF = 128 };

/* The sum of x[k] * y[k], products rounded, for 8 <= n <= ODEAD_LEAF */
static ODEAD_SUM_CLONES double odead_dot_leaf(int64_t n, const double *x, const double *y)
{
    double part[8], total;
    int64_t k, j;
    for (j = 0; j < 8; j++) part[j] = x[j] * y[j];
    for (k = 8; k + 8 <= n; k += 8)
        for (j = 0; j < 8; j++) part[j] += x[k + j] * y[k + j];
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    for (; k < n; k++) total += x[k] * y[k];
    return total;
}

/* The same of x[k] */
static ODEAD_SUM_CLONES double odead_sum_leaf(int64_t n, const double *x)
{
    double part[8], total;
    int64_t k, j;
    for (j = 0; j < 8; j++) part[j] = x[j];
    for (k = 8; k + 8 <= n; k += 8)
        for (j = 0; j < 8; j++) part[j] += x[k + j];
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    for (; k < n; k++) total += x[k];
    return total;
}

/* y may be NULL: the sum of x alone. */
static double odead_sum_or_dot(int64_t n, const double *x, const double *y)
{
    double total = 0;
    int64_t k, half;
    if (n > ODEAD_LEAF) {
        half = n / 2;
        half -= half % 8;
        total = odead_sum_or_dot(half, x, y);
        return total + odead_sum_or_dot(n - half, x + half, y ? y + half : y);
    }
    if (n >= 8) return y ? odead_dot_leaf(n, x, y) : odead_sum_leaf(n, x);
    for (k = 0; k < n; k++) total += y ? x[k] * y[k] : x[k];
    return total;
}

#endif
