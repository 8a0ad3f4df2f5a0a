/* Matrix products that BLAS is slow at: those with an outer product, and with matrices of a few columns or rows.
 *
 * The matrix is row by row in memory, `ld` elements from one row to the next, and its rows are dense. With `add` the result is
 * added to what is there. */
#ifndef ODEAD_PRODUCTS_H
#define ODEAD_PRODUCTS_H

#include <stdint.h>

#include "_vectors.h"

#if defined(__GNUC__)
#define ODEAD_INLINE static inline __attribute__((always_inline))
#else
#define ODEAD_INLINE static inline
#endif

enum { ODEAD_NARROW = 8, ODEAD_FEWEST = 4, ODEAD_SUMS = 8, ODEAD_PARTS = 32 };

/* out[i, j] = x[i] y[j] for a few j, known to the compiler */
ODEAD_INLINE void odead_outer_narrow(int64_t m, const int n, const double *x, int64_t step_x, const double *y,
                                     double *restrict out, int64_t ld, int add)
{
    int64_t i;
    int j;
    for (i = 0; i < m; i++) {
        const double a = x[i * step_x];
        for (j = 0; j < n; j++) out[i * ld + j] = (add ? out[i * ld + j] : 0) + a * y[j];
    }
}

/* out[i] = sum_j x[i, j] y[j] for a few j */
ODEAD_INLINE void odead_rows_narrow(int64_t m, const int n, const double *x, int64_t ld, const double *y,
                                    double *restrict out, int64_t step_out, int add)
{
    int64_t i;
    int j;
    for (i = 0; i < m; i++) {
        double total = add ? out[i * step_out] : 0;
        for (j = 0; j < n; j++) total += x[i * ld + j] * y[j];
        out[i * step_out] = total;
    }
}

/* out[j] = sum_i x[i, j] y[i] for a few j, in several running sums */
ODEAD_INLINE void odead_columns_narrow(int64_t m, const int n, const double *x, int64_t ld, const double *y,
                                       int64_t step_y, double *restrict out, int64_t step_out, int add)
{
    double sums[ODEAD_SUMS][ODEAD_FEWEST] = {{0}};
    int64_t i;
    int j, k;
    for (i = 0; i + ODEAD_SUMS <= m; i += ODEAD_SUMS)
        for (k = 0; k < ODEAD_SUMS; k++)
            for (j = 0; j < n; j++) sums[k][j] += x[(i + k) * ld + j] * y[(i + k) * step_y];
    for (; i < m; i++)
        for (j = 0; j < n; j++) sums[0][j] += x[i * ld + j] * y[i * step_y];
    for (j = 0; j < n; j++) {
        double total = 0;
        for (k = 0; k < ODEAD_SUMS; k++) total += sums[k][j];
        out[j * step_out] = (add ? out[j * step_out] : 0) + total;
    }
}

/* One version of a loop for each small width, and for rows that follow each other without a gap. */
#define ODEAD_WIDTH(n, call)                                                                                                   \
    case n: {                                                                                                                  \
        enum { WIDTH = n };                                                                                                    \
        if (ld == WIDTH) {                                                                                                     \
            const int64_t LD = WIDTH;                                                                                          \
            call;                                                                                                              \
        } else {                                                                                                               \
            const int64_t LD = ld;                                                                                             \
            call;                                                                                                              \
        }                                                                                                                      \
        break;                                                                                                                 \
    }
#define ODEAD_FEWEST_WIDTHS(n, call)                                                                                           \
    switch (n) {                                                                                                               \
        ODEAD_WIDTH(1, call)                                                                                                   \
        ODEAD_WIDTH(2, call)                                                                                                   \
        ODEAD_WIDTH(3, call)                                                                                                   \
        ODEAD_WIDTH(4, call)                                                                                                   \
    }
#define ODEAD_WIDTHS(n, call)                                                                                                  \
    switch (n) {                                                                                                               \
        ODEAD_WIDTH(1, call)                                                                                                   \
        ODEAD_WIDTH(2, call)                                                                                                   \
        ODEAD_WIDTH(3, call)                                                                                                   \
        ODEAD_WIDTH(4, call)                                                                                                   \
        ODEAD_WIDTH(5, call)                                                                                                   \
        ODEAD_WIDTH(6, call)                                                                                                   \
        ODEAD_WIDTH(7, call)                                                                                                   \
        ODEAD_WIDTH(8, call)                                                                                                   \
    }

/* out (m, n), of rows at a distance of ld, = x y^T */
static ODEAD_CLONES void odead_outer(int64_t m, int64_t n, const double *x, int64_t step_x, const double *y, int64_t step_y,
                                     double *restrict out, int64_t ld, int add)
{
    double piece[ODEAD_PIECE];
    int64_t i, j, start;
    if (n <= ODEAD_NARROW) {
        for (j = 0; j < n; j++) piece[j] = y[j * step_y];
        if (add) {
            ODEAD_WIDTHS(n, odead_outer_narrow(m, WIDTH, x, step_x, piece, out, LD, 1))
        } else {
            ODEAD_WIDTHS(n, odead_outer_narrow(m, WIDTH, x, step_x, piece, out, LD, 0))
        }
        return;
    }
    for (start = 0; start < n; start += ODEAD_PIECE) {
        const int64_t count = n - start < ODEAD_PIECE ? n - start : ODEAD_PIECE;
        for (j = 0; j < count; j++) piece[j] = y[(start + j) * step_y];
        for (i = 0; i < m; i++) {
            const double a = x[i * step_x];
            double *restrict row = out + i * ld + start;
            if (add) {
                for (j = 0; j < count; j++) row[j] += a * piece[j];
            } else {
                for (j = 0; j < count; j++) row[j] = a * piece[j];
            }
        }
    }
}

/* out (m) = x (m, n) @ y for n <= ODEAD_NARROW */
static ODEAD_CLONES void odead_rows(int64_t m, int64_t n, const double *x, int64_t ld, const double *y, int64_t step_y,
                                    double *restrict out, int64_t step_out, int add)
{
    double few[ODEAD_NARROW];
    int64_t j;
    for (j = 0; j < n; j++) few[j] = y[j * step_y];
    if (step_out == 1) {
        if (add) {
            ODEAD_WIDTHS(n, odead_rows_narrow(m, WIDTH, x, LD, few, out, 1, 1))
        } else {
            ODEAD_WIDTHS(n, odead_rows_narrow(m, WIDTH, x, LD, few, out, 1, 0))
        }
    } else {
        ODEAD_WIDTHS(n, odead_rows_narrow(m, WIDTH, x, LD, few, out, step_out, add))
    }
}

/* out (n) = x (m, n)^T @ y for n <= ODEAD_FEWEST: more running sums do not fit into the registers */
static ODEAD_CLONES void odead_columns(int64_t m, int64_t n, const double *x, int64_t ld, const double *y, int64_t step_y,
                                       double *restrict out, int64_t step_out, int add)
{
    if (step_y == 1) {
        ODEAD_FEWEST_WIDTHS(n, odead_columns_narrow(m, WIDTH, x, LD, y, 1, out, step_out, add))
    } else {
        ODEAD_FEWEST_WIDTHS(n, odead_columns_narrow(m, WIDTH, x, LD, y, step_y, out, step_out, add))
    }
}

/* out (m) = x (m, n) @ y for few m, row by row in several running sums */
static ODEAD_CLONES void odead_dots(int64_t m, int64_t n, const double *x, int64_t ld, const double *y, double *restrict out,
                                    int64_t step_out, int add)
{
    int64_t i, j;
    int k;
    for (i = 0; i < m; i++) {
        const double *row = x + i * ld;
        double sums[ODEAD_PARTS] = {0}, total = 0;
        for (j = 0; j + ODEAD_PARTS <= n; j += ODEAD_PARTS)
            for (k = 0; k < ODEAD_PARTS; k++) sums[k] += row[j + k] * y[j + k];
        for (; j < n; j++) total += row[j] * y[j];
        for (k = 0; k < ODEAD_PARTS; k++) total += sums[k];
        out[i * step_out] = (add ? out[i * step_out] : 0) + total;
    }
}

/* out (n) = x (m, n)^T @ y for few m: a sum of rows */
static ODEAD_CLONES void odead_combination(int64_t m, int64_t n, const double *x, int64_t ld, const double *y, int64_t step_y,
                                           double *restrict out, int add)
{
    int64_t i, j;
    for (i = 0; i + 2 <= m; i += 2) {
        const double a = y[i * step_y], b = y[(i + 1) * step_y];
        const double *r = x + i * ld, *s = x + (i + 1) * ld;
        if (add || i) {
            for (j = 0; j < n; j++) out[j] += a * r[j] + b * s[j];
        } else {
            for (j = 0; j < n; j++) out[j] = a * r[j] + b * s[j];
        }
    }
    if (i < m) {
        const double a = y[i * step_y];
        const double *r = x + i * ld;
        if (add || i) {
            for (j = 0; j < n; j++) out[j] += a * r[j];
        } else {
            for (j = 0; j < n; j++) out[j] = a * r[j];
        }
    }
}

#endif
