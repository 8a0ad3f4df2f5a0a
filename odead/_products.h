/* Matrix products that BLAS is slow at: outer products and sums of a few, and with matrices of a few columns or rows.
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

enum { ODEAD_NARROW = 8, ODEAD_FEWEST = 4, ODEAD_SUMS = 8, ODEAD_PARTS = 32, ODEAD_TERMS = 32 };

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

/* Some elements in a register, or in two or four; told so, compilers keep the sums of a tile in registers. */
#if defined(__GNUC__)
typedef double odead_wide __attribute__((vector_size(64), aligned(8), may_alias));
#define ODEAD_ON_LINES __attribute__((aligned(64))) /* of the cache */
#else
typedef double odead_wide;
#define ODEAD_ON_LINES
#endif
enum {
    ODEAD_WIDE = sizeof(odead_wide) / sizeof(double),
    ODEAD_TALL = 4,           /* rows of a tile */
    ODEAD_BROAD = 2 * ODEAD_WIDE /* columns of a tile */
};
#define ODEAD_AT(address) (*(const odead_wide *)(address))
#define ODEAD_PUT(address) (*(odead_wide *)(address))

/* tile[r, c] = sum_l x[l, r] y[l, c]; the rows of y and of the tile are ODEAD_BROAD long */
ODEAD_INLINE void odead_tile(int64_t terms, const double *x, int64_t ldx, const double *y, double *restrict tile)
{
    odead_wide left[ODEAD_TALL] = {{0}}, right[ODEAD_TALL] = {{0}};
    int64_t l;
    int r;
    for (l = 0; l < terms; l++) {
        const odead_wide here = ODEAD_AT(y + l * ODEAD_BROAD), beside = ODEAD_AT(y + l * ODEAD_BROAD + ODEAD_WIDE);
        for (r = 0; r < ODEAD_TALL; r++) {
            const double a = x[l * ldx + r];
            left[r] += a * here;
            right[r] += a * beside;
        }
    }
    for (r = 0; r < ODEAD_TALL; r++) {
        ODEAD_PUT(tile + r * ODEAD_BROAD) = left[r];
        ODEAD_PUT(tile + r * ODEAD_BROAD + ODEAD_WIDE) = right[r];
    }
}

/* to[l, c] = from[l, c] for few c, then zeros up to a width */
ODEAD_INLINE void odead_pad(int64_t terms, int64_t few, const double *from, int64_t ld, int width, double *restrict to)
{
    int64_t l;
    int c;
    for (l = 0; l < terms; l++)
        for (c = 0; c < width; c++) to[l * width + c] = c < few ? from[l * ld + c] : 0;
}

/* out (m, n) = x^T y for x (terms, m) and y (terms, n) with at most ODEAD_TERMS terms: 0.23 us for each of 16 with 100 x 100,
 * for which BLAS takes 0.41, and one alone, which reads and writes all of out, 0.72 */
static ODEAD_CLONES void odead_outers(int64_t m, int64_t n, int64_t terms, const double *x, int64_t ldx, const double *y,
                                      int64_t ldy, double *restrict out, int64_t ld, int add)
{
    ODEAD_ON_LINES double piece[ODEAD_TERMS * ODEAD_BROAD], tile[ODEAD_TALL * ODEAD_BROAD];
    double edge[ODEAD_TERMS * ODEAD_TALL];
    int64_t i, j, r, c;
    for (j = 0; j < n; j += ODEAD_BROAD) {
        const int64_t broad = n - j < ODEAD_BROAD ? n - j : ODEAD_BROAD;
        odead_pad(terms, broad, y + j, ldy, ODEAD_BROAD, piece);
        for (i = 0; i < m; i += ODEAD_TALL) {
            const int64_t tall = m - i < ODEAD_TALL ? m - i : ODEAD_TALL;
            if (tall < ODEAD_TALL) {
                odead_pad(terms, tall, x + i, ldx, ODEAD_TALL, edge);
                odead_tile(terms, edge, ODEAD_TALL, piece, tile);
            } else {
                odead_tile(terms, x + i, ldx, piece, tile);
            }
            for (r = 0; r < tall; r++) {
                double *row = out + (i + r) * ld + j;
                const double *sums = tile + r * ODEAD_BROAD;
                if (broad < ODEAD_BROAD) {
                    for (c = 0; c < broad; c++) row[c] = (add ? row[c] : 0) + sums[c];
                } else if (add) {
                    for (c = 0; c < ODEAD_BROAD; c += ODEAD_WIDE) ODEAD_PUT(row + c) += ODEAD_AT(sums + c);
                } else {
                    for (c = 0; c < ODEAD_BROAD; c += ODEAD_WIDE) ODEAD_PUT(row + c) = ODEAD_AT(sums + c);
                }
            }
        }
    }
}

#endif
