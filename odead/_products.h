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
    ODEAD_BROAD = 2 * ODEAD_WIDE, /* columns of a tile */
    ODEAD_MOST_VECTORS = 4,
    ODEAD_PANEL = 8 /* vectors */
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

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define ODEAD_SHUFFLES
#endif
#endif

#ifdef ODEAD_SHUFFLES
typedef double odead_four __attribute__((vector_size(32), aligned(8), may_alias));
typedef int64_t odead_mask __attribute__((vector_size(64), aligned(8), may_alias));

/* The elements of a piece that are left in the end, behind zeros. */
#define ODEAD_LAST(address, mask) ((odead_wide)(*(const odead_mask *)((address) + n - ODEAD_WIDE) & (mask)))
#define ODEAD_HALF(x, k) __builtin_shufflevector(x, x, 4 * (k), 4 * (k) + 1, 4 * (k) + 2, 4 * (k) + 3)
#define ODEAD_PAIRS(x, y) (__builtin_shufflevector(x, y, 0, 4, 2, 6) + __builtin_shufflevector(x, y, 1, 5, 3, 7))

/* sums[c][r] = sum_j x[r, j] y[c][j] for ODEAD_TALL rows and a few y */
ODEAD_INLINE void odead_dots_of_rows(const int few, int64_t n, const double *x, int64_t ld, const double *const *y,
                                     double (*restrict sums)[ODEAD_TALL])
{
    odead_wide total[ODEAD_TALL][ODEAD_MOST_VECTORS], piece[ODEAD_MOST_VECTORS];
    const int64_t left = n % ODEAD_WIDE;
    int64_t j;
    int r, c;
    for (r = 0; r < ODEAD_TALL; r++)
        for (c = 0; c < few; c++) total[r][c] = (odead_wide){0};
    for (j = 0; j + ODEAD_WIDE <= n; j += ODEAD_WIDE) {
        for (c = 0; c < few; c++) piece[c] = ODEAD_AT(y[c] + j);
        for (r = 0; r < ODEAD_TALL; r++) {
            const odead_wide row = ODEAD_AT(x + r * ld + j);
            for (c = 0; c < few; c++) total[r][c] += row * piece[c];
        }
    }
    if (left) { /* a loop over up to seven elements takes a third more in all */
        const odead_mask mask = (odead_mask){0, 1, 2, 3, 4, 5, 6, 7} >= ODEAD_WIDE - left;
        for (c = 0; c < few; c++) piece[c] = ODEAD_LAST(y[c], mask);
        for (r = 0; r < ODEAD_TALL; r++) {
            const odead_wide row = ODEAD_LAST(x + r * ld, mask);
            for (c = 0; c < few; c++) total[r][c] += row * piece[c];
        }
    }
    for (c = 0; c < few; c++) {
        odead_four half[ODEAD_TALL], low, high;
        for (r = 0; r < ODEAD_TALL; r++) half[r] = ODEAD_HALF(total[r][c], 0) + ODEAD_HALF(total[r][c], 1);
        low = ODEAD_PAIRS(half[0], half[1]);
        high = ODEAD_PAIRS(half[2], half[3]);
        *(odead_four *)sums[c] =
            __builtin_shufflevector(low, high, 0, 1, 4, 5) + __builtin_shufflevector(low, high, 2, 3, 6, 7);
    }
}
#else
/* sums[c][r] = sum_j x[r, j] y[c][j] for ODEAD_TALL rows and a few y */
ODEAD_INLINE void odead_dots_of_rows(const int few, int64_t n, const double *x, int64_t ld, const double *const *y,
                                     double (*restrict sums)[ODEAD_TALL])
{
    int64_t j;
    int r, c;
    for (c = 0; c < few; c++)
        for (r = 0; r < ODEAD_TALL; r++) sums[c][r] = 0;
    for (j = 0; j < n; j++)
        for (r = 0; r < ODEAD_TALL; r++)
            for (c = 0; c < few; c++) sums[c][r] += x[r * ld + j] * y[c][j];
}
#endif

ODEAD_INLINE void odead_matvecs_of(const int few, int64_t m, int64_t n, const double *x, int64_t ld, const double *const *y,
                                   double *const *out, int add)
{
    double sums[ODEAD_MOST_VECTORS][ODEAD_TALL];
    int64_t i;
    int c, r;
    for (i = 0; i + ODEAD_TALL <= m; i += ODEAD_TALL) {
        odead_dots_of_rows(few, n, x + i * ld, ld, y, sums);
        for (c = 0; c < few; c++)
            for (r = 0; r < ODEAD_TALL; r++) out[c][i + r] = add ? out[c][i + r] + sums[c][r] : sums[c][r];
    }
    if (i < m) { /* the last rows once more */
        odead_dots_of_rows(few, n, x + (m - ODEAD_TALL) * ld, ld, y, sums);
        for (c = 0; c < few; c++)
            for (r = (int)(i - m) + ODEAD_TALL; r < ODEAD_TALL; r++) {
                double *place = out[c] + m - ODEAD_TALL + r;
                *place = (add ? *place : 0) + sums[c][r];
            }
    }
}

/* out[c] (m) = x (m, n) @ y[c] for up to four c, reading x once; m >= ODEAD_TALL and n >= ODEAD_WIDE. With 70 x 70, which the
 * first level holds, 0.22 us for one and 0.42 for two, for each of which BLAS takes 0.34; with 100 x 100 0.60, 0.75 and 0.64 */
static ODEAD_CLONES void odead_matvecs(int64_t m, int64_t n, const double *x, int64_t ld, int few, const double *const *y,
                                       double *const *out, int add)
{
    switch (few) {
    case 1:
        if (add) odead_matvecs_of(1, m, n, x, ld, y, out, 1);
        else odead_matvecs_of(1, m, n, x, ld, y, out, 0);
        break;
    case 2: odead_matvecs_of(2, m, n, x, ld, y, out, 0); break;
    case 3: odead_matvecs_of(3, m, n, x, ld, y, out, 0); break;
    default: odead_matvecs_of(4, m, n, x, ld, y, out, 0);
    }
}

/* sums[c, j] = sum_i x[i, j] y[c][i] for some vectors of columns and a few y, in several parts that wait for nothing */
ODEAD_INLINE void odead_panel(const int few, const int vectors, const int parts, int64_t m, const double *x, int64_t ld,
                              const double *const *y, double *restrict sums)
{
    odead_wide total[4][ODEAD_MOST_VECTORS][ODEAD_PANEL];
    int64_t i;
    int p, c, v;
    for (p = 0; p < parts; p++)
        for (c = 0; c < few; c++)
            for (v = 0; v < vectors; v++) total[p][c][v] = (odead_wide){0};
    for (i = 0; i + parts <= m; i += parts)
        for (p = 0; p < parts; p++)
            for (v = 0; v < vectors; v++) {
                const odead_wide piece = ODEAD_AT(x + (i + p) * ld + v * ODEAD_WIDE);
                for (c = 0; c < few; c++) total[p][c][v] += y[c][i + p] * piece;
            }
    for (; i < m; i++)
        for (v = 0; v < vectors; v++)
            for (c = 0; c < few; c++) total[0][c][v] += y[c][i] * ODEAD_AT(x + i * ld + v * ODEAD_WIDE);
    for (c = 0; c < few; c++)
        for (v = 0; v < vectors; v++) {
            odead_wide sum = total[0][c][v];
            for (p = 1; p < parts; p++) sum += total[p][c][v];
            ODEAD_PUT(sums + (c * ODEAD_PANEL + v) * ODEAD_WIDE) = sum;
        }
}

/* Columns from `start` on, as many as there are vectors for; the first `done` of them have been there already. */
#define ODEAD_COLUMNS(vectors, parts, start, done) \
    do { \
        odead_panel(few, vectors, parts, m, x + (start), ld, y, sums); \
        for (c = 0; c < few; c++) \
            for (k = (done); k < (vectors) * ODEAD_WIDE; k++) { \
                double *place = out[c] + (start) + k; \
                *place = (add ? *place : 0) + sums[c * ODEAD_PANEL * ODEAD_WIDE + k]; \
            } \
    } while (0)

ODEAD_INLINE void odead_turned_of(const int few, const int broad, int64_t m, int64_t n, const double *x, int64_t ld,
                                  const double *const *y, double *const *out, int add)
{
    ODEAD_ON_LINES double sums[ODEAD_MOST_VECTORS * ODEAD_PANEL * ODEAD_WIDE];
    int64_t j = 0;
    int c, k;
    for (; j + broad * ODEAD_WIDE <= n; j += broad * ODEAD_WIDE) ODEAD_COLUMNS(broad, 1, j, 0);
    for (; j + 2 * ODEAD_WIDE <= n; j += 2 * ODEAD_WIDE) ODEAD_COLUMNS(2, few == 1 ? 4 : 2, j, 0);
    for (; j + ODEAD_WIDE <= n; j += ODEAD_WIDE) ODEAD_COLUMNS(1, 4, j, 0);
    if (j < n) ODEAD_COLUMNS(1, 4, n - ODEAD_WIDE, (int)(ODEAD_WIDE - n + j));
}

/* out[c] (n) = x (m, n)^T @ y[c] for up to four c, reading x once; n >= ODEAD_WIDE */
static ODEAD_CLONES void odead_turned(int64_t m, int64_t n, const double *x, int64_t ld, int few, const double *const *y,
                                      double *const *out, int add)
{
    switch (few) {
    case 1:
        if (add) odead_turned_of(1, 8, m, n, x, ld, y, out, 1);
        else odead_turned_of(1, 8, m, n, x, ld, y, out, 0);
        break;
    case 2: odead_turned_of(2, 4, m, n, x, ld, y, out, add); break;
    case 3: odead_turned_of(3, 4, m, n, x, ld, y, out, add); break;
    default: odead_turned_of(4, 4, m, n, x, ld, y, out, add);
    }
}

#endif
