/* Sums over the rows of backward differences: row j is `row + j * stride`.
 *
 * A piece of all rows is in the first level cache, or in registers, while it is dealt with: heat with 101 nodes spends 12 % of a
 * gradient here, with one pass for each row it was 32 %. */
#ifndef ODEAD_DIFFERENCES_H
#define ODEAD_DIFFERENCES_H

#include <stdint.h>

#include "_vectors.h"

enum { ODEAD_PART_OF_ROWS = 32, ODEAD_DIFFERENCES = 5 };

ODEAD_PART void odead_running_sums_part(int64_t n, const double *start, int64_t count, double *row, int64_t stride)
{
    double sum[ODEAD_PART_OF_ROWS];
    int64_t i, j;
    for (i = 0; i < n; i++) sum[i] = start[i];
    for (j = 0; j < count; j++, row += stride) {
        for (i = 0; i < n; i++) {
            sum[i] += row[i];
            row[i] = sum[i];
        }
    }
}

/* Each row becomes the sum of `start`, of those before it and of itself. */
static ODEAD_CLONES void odead_running_sums(int64_t n, const double *start, int64_t count, double *row, int64_t stride)
{
    int64_t i = 0;
    for (; i + ODEAD_PART_OF_ROWS <= n; i += ODEAD_PART_OF_ROWS)
        odead_running_sums_part(ODEAD_PART_OF_ROWS, start + i, count, row + i, stride);
    odead_running_sums_part(n - i, start + i, count, row + i, stride);
}

ODEAD_PART void odead_mix_part(int64_t n, int64_t count, const double *weight, double *row, int64_t stride)
{
    double old[ODEAD_DIFFERENCES][ODEAD_PART_OF_ROWS];
    int64_t i, j, k;
    for (j = 0; j < count; j++)
        for (i = 0; i < n; i++) old[j][i] = row[j * stride + i];
    for (k = 0; k < count; k++, row += stride, weight += count) {
        for (i = 0; i < n; i++) row[i] = weight[0] * old[0][i];
        for (j = 1; j < count; j++)
            for (i = 0; i < n; i++) row[i] += weight[j] * old[j][i];
    }
}

/* Row k becomes the sum of weight[k * count + j] times row j. */
static ODEAD_CLONES void odead_mix(int64_t n, int64_t count, const double *weight, double *row, int64_t stride)
{
    int64_t i = 0;
    for (; i + ODEAD_PART_OF_ROWS <= n; i += ODEAD_PART_OF_ROWS)
        odead_mix_part(ODEAD_PART_OF_ROWS, count, weight, row + i, stride);
    odead_mix_part(n - i, count, weight, row + i, stride);
}

#endif
