/* Tridiagonal systems by cyclic reduction (R. W. Hockney, A fast direct solution of Poisson's equation using Fourier analysis,
 * J. ACM 12, 1965).
 *
 * The odd rows are eliminated, all at once, which leaves a tridiagonal system of half as many rows; and so on. Elimination from
 * row to row does a third of the arithmetic, but each operation waits for the one before: 1001 rows take it 1.5 us from both
 * ends at once, and this 0.77 us. No rows are exchanged: the factorisation gives up where partial pivoting would exchange some.
 * Otherwise no element beside the diagonal ever grows, and one on it by no more than two of these in each of the log2(n) rounds.
 *
 * A round with the rows a[i] x[i-1] + d[i] x[i] + c[i] x[i+1] = b[i] keeps five arrays, of each odd row i = 2 k + 1
 *
 *     inverse[k] = 1 / d[i],  left[k] = a[i] / d[i],  right[k] = c[i] / d[i],
 *
 * and of each even row i = 2 k the factors with which the odd rows beside it are subtracted,
 *
 *     before[k] = a[i] / d[i-1],  after[k] = c[i] / d[i+1].
 *
 * All have a zero before their first and after their last number, so that the ends need no case of their own. The transposed
 * system exchanges the factors of odd and even rows. */
#ifndef ODEAD_TRIDIAGONAL_H
#define ODEAD_TRIDIAGONAL_H

#include <math.h>
#include <stdint.h>

#include "_vectors.h"

/* Numbers of which each array of a round with n rows has room for. */
static inline int64_t odead_reduction_width(int64_t n) { return (n + 1) / 2 + 2; }

/* Numbers that the factors of n rows take: memory that `odead_reduction_factor` finds full of zeros the first time. */
static int64_t odead_reduction_size(int64_t n)
{
    int64_t size = 1; /* the last pivot */
    for (; n > 1; n = (n + 1) / 2) size += 5 * odead_reduction_width(n);
    return size;
}

/* Numbers of work space for a solution. */
static int64_t odead_reduction_work(int64_t n)
{
    int64_t size = n + 2;
    for (; n > 1; n = (n + 1) / 2) size += odead_reduction_width(n);
    return size;
}

/* One round for the matrix: the factors, and the next a, d, c. Returns how many factors are too large, or not a number. */
static inline int64_t odead_reduction_round(int64_t n, const double *restrict a, const double *restrict d,
                                            const double *restrict c, double *restrict inverse, double *restrict left,
                                            double *restrict right, double *restrict before, double *restrict after,
                                            double *restrict next_a, double *restrict next_d, double *restrict next_c)
{
    const int64_t odd = n / 2, even = n - odd;
    int64_t k, large = 0;
    for (k = 0; k < odd; k++) {
        inverse[k] = 1 / d[2 * k + 1];
        left[k] = a[2 * k + 1] * inverse[k];
        right[k] = c[2 * k + 1] * inverse[k];
    }
    for (k = 0; k < even; k++) {
        before[k] = a[2 * k] * inverse[k - 1];
        after[k] = c[2 * k] * inverse[k];
        large |= !(fabs(before[k]) <= 1) | !(fabs(after[k]) <= 1);
        next_d[k] = d[2 * k] - before[k] * c[2 * k - 1] - after[k] * a[2 * k + 1];
        next_a[k] = -before[k] * a[2 * k - 1];
        next_c[k] = -after[k] * c[2 * k + 1];
    }
    return large;
}

/* diagonal[j * step], below[j * step] (row j + 1, column j) and above[j * step] (row j, column j + 1) are the matrix, which stays
   as it is. `systems` is three times the work space, full of zeros the first time. Returns 0 if the factorisation gives up. */
static ODEAD_CLONES int odead_reduction_factor(int64_t n, const double *diagonal, const double *below, const double *above,
                                               int64_t step, double *factors, double *systems)
{
    const int64_t room = odead_reduction_work(n);
    double *a = systems + 1, *d = a + room, *c = d + room;
    int64_t j, width = n + 2, large = 0;
    for (j = 0; j < n; j++) d[j] = diagonal[j * step];
    for (j = 0; j < n - 1; j++) a[j + 1] = below[j * step];
    for (j = 0; j < n - 1; j++) c[j] = above[j * step];
    for (; n > 1 && !large; n = (n + 1) / 2) {
        double *inverse = factors + 1;
        const int64_t w = odead_reduction_width(n);
        large = odead_reduction_round(n, a, d, c, inverse, inverse + w, inverse + 2 * w, inverse + 3 * w, inverse + 4 * w,
                                      a + width, d + width, c + width);
        a += width, d += width, c += width, factors += 5 * w, width = w;
    }
    if (large || !(fabs(d[0]) > 0)) return 0;
    *factors = 1 / d[0];
    return 1;
}

/* b = matrix^-1 b, or transposed matrix^-1 b */
static ODEAD_CLONES void odead_reduction_solve(int64_t n, const double *factors, int transposed, double *restrict b,
                                               double *restrict work)
{
    double *rows[64]; /* the right-hand sides of the rounds, then their solutions */
    int64_t sizes[64], k;
    int round = 0;
    rows[0] = b, sizes[0] = n;
    for (; n > 1; n = (n + 1) / 2) { /* subtract the odd rows from the even ones */
        const int64_t w = odead_reduction_width(n), odd = n / 2;
        const double *first = factors + 1;
        const double *p = transposed ? first + 2 * w - 1 : first + 3 * w, *q = transposed ? first + w : first + 4 * w;
        const double *restrict in = rows[round];
        double *restrict out = work;
        out[0] = in[0] - q[0] * in[1];
        for (k = 1; k < odd; k++) out[k] = in[2 * k] - p[k] * in[2 * k - 1] - q[k] * in[2 * k + 1];
        if (n % 2) out[odd] = in[2 * odd] - p[odd] * in[2 * odd - 1];
        round++;
        rows[round] = work, sizes[round] = n - odd;
        work += w, factors += 5 * w;
    }
    rows[round][0] *= *factors;
    while (round-- > 0) { /* the odd rows of each round from the even ones */
        const int64_t size = sizes[round], w = odead_reduction_width(size), odd = size / 2, between = (size - 1) / 2;
        const double *inverse = factors - 5 * w + 1;
        const double *r = transposed ? inverse + 4 * w : inverse + w, *s = transposed ? inverse + 3 * w + 1 : inverse + 2 * w;
        const double *restrict even = rows[round + 1];
        double *restrict x = rows[round];
        for (k = 0; k < between; k++) {
            x[2 * k] = even[k];
            x[2 * k + 1] = x[2 * k + 1] * inverse[k] - r[k] * even[k] - s[k] * even[k + 1];
        }
        x[2 * k] = even[k];
        if (between < odd) x[2 * k + 1] = x[2 * k + 1] * inverse[k] - r[k] * even[k];
        factors -= 5 * w;
    }
}

#endif
