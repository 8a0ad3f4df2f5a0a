/* Calls of C functions by their address: double or void, of one to six arguments that are doubles or 64-bit words (pointers
   and integers). C has no way to write such a call down but a cast to the right type, so all 2 * 126 types are here.

   A C int is handed as a word, of which the function reads the lower half: on all 64-bit platforms the first arguments travel
   in registers. */

#ifndef ODEAD_POINTERS_H
#define ODEAD_POINTERS_H

#include <stdint.h>
#include <string.h>

enum { ODEAD_MOST_ARGUMENTS = 6 };

typedef union { double number; int64_t word; } odead_argument;

#define ODEAD_UNPACK(...) __VA_ARGS__
#define ODEAD_APPLY_double(types, values) return ((double (*) types) f) values
#define ODEAD_APPLY_void(types, values) do { ((void (*) types) f) values; return 0.0; } while (0)
#define ODEAD_APPLY(R, T, V) do { ODEAD_APPLY_##R(T, V); } while (0)

/* ODEAD_TAKE_k: the types T and values V of k arguments are known. */
#define ODEAD_TAKE_6(R, T, V) ODEAD_APPLY(R, T, V);
#define ODEAD_TAKE_5(R, T, V) \
    if (n == 5) ODEAD_APPLY(R, T, V); \
    if (doubles >> 5 & 1) { ODEAD_TAKE_6(R, (ODEAD_UNPACK T, double), (ODEAD_UNPACK V, a[5].number)) } \
    else { ODEAD_TAKE_6(R, (ODEAD_UNPACK T, int64_t), (ODEAD_UNPACK V, a[5].word)) }
#define ODEAD_TAKE_4(R, T, V) \
    if (n == 4) ODEAD_APPLY(R, T, V); \
    if (doubles >> 4 & 1) { ODEAD_TAKE_5(R, (ODEAD_UNPACK T, double), (ODEAD_UNPACK V, a[4].number)) } \
    else { ODEAD_TAKE_5(R, (ODEAD_UNPACK T, int64_t), (ODEAD_UNPACK V, a[4].word)) }
#define ODEAD_TAKE_3(R, T, V) \
    if (n == 3) ODEAD_APPLY(R, T, V); \
    if (doubles >> 3 & 1) { ODEAD_TAKE_4(R, (ODEAD_UNPACK T, double), (ODEAD_UNPACK V, a[3].number)) } \
    else { ODEAD_TAKE_4(R, (ODEAD_UNPACK T, int64_t), (ODEAD_UNPACK V, a[3].word)) }
#define ODEAD_TAKE_2(R, T, V) \
    if (n == 2) ODEAD_APPLY(R, T, V); \
    if (doubles >> 2 & 1) { ODEAD_TAKE_3(R, (ODEAD_UNPACK T, double), (ODEAD_UNPACK V, a[2].number)) } \
    else { ODEAD_TAKE_3(R, (ODEAD_UNPACK T, int64_t), (ODEAD_UNPACK V, a[2].word)) }
#define ODEAD_TAKE_1(R, T, V) \
    if (n == 1) ODEAD_APPLY(R, T, V); \
    if (doubles >> 1 & 1) { ODEAD_TAKE_2(R, (ODEAD_UNPACK T, double), (ODEAD_UNPACK V, a[1].number)) } \
    else { ODEAD_TAKE_2(R, (ODEAD_UNPACK T, int64_t), (ODEAD_UNPACK V, a[1].word)) }
#define ODEAD_TAKE(R) \
    if (doubles & 1) { ODEAD_TAKE_1(R, (double), (a[0].number)) } else { ODEAD_TAKE_1(R, (int64_t), (a[0].word)) }

static double odead_returning(void *f, int64_t n, int64_t doubles, const odead_argument *a) { ODEAD_TAKE(double) }
static double odead_silent(void *f, int64_t n, int64_t doubles, const odead_argument *a) { ODEAD_TAKE(void) }

/* What a call is told, in words: */
enum {
    ODEAD_ADDRESS,      /* of the function */
    ODEAD_RETURNS,      /* 1: a double; 0: nothing */
    ODEAD_ARGUMENTS,    /* their number n */
    ODEAD_DOUBLES,      /* bit k: argument k is a double */
    ODEAD_TIMES,        /* so often is it called, once per element */
    ODEAD_COPIES,       /* number m of the arrays that it writes */
    ODEAD_PLAN          /* then n times (source, where, step), and m times (where in out, where in row, elements) */
};
enum { ODEAD_CONSTANT, ODEAD_NUMBER, ODEAD_INTEGER, ODEAD_ROW, ODEAD_OUT };   /* sources of an argument */

/* Call a function on a row of operands; `out` is what it returns, once per element, then the arrays that it writes. */
static void odead_call_pointer(const int64_t *plan, double *out, double *row)
{
    odead_argument a[ODEAD_MOST_ARGUMENTS];
    const int64_t n = plan[ODEAD_ARGUMENTS];
    const int64_t *copy = plan + ODEAD_PLAN + 3 * n;
    void *f = (void *) (intptr_t) plan[ODEAD_ADDRESS];
    int64_t k, time;
    for (k = 0; k < plan[ODEAD_COPIES]; k++, copy += 3)
        memcpy(out + copy[0], row + copy[1], (size_t) copy[2] * sizeof(double));
    for (time = 0; time < plan[ODEAD_TIMES]; time++) {
        const int64_t *from = plan + ODEAD_PLAN;
        for (k = 0; k < n; k++, from += 3) {
            const int64_t where = from[1] + time * from[2];
            switch (from[0]) {
                case ODEAD_CONSTANT: a[k].word = from[1]; break;
                case ODEAD_NUMBER: a[k].number = row[where]; break;
                case ODEAD_INTEGER: a[k].word = (int64_t) row[where]; break;
                case ODEAD_ROW: a[k].word = (int64_t) (intptr_t) (row + where); break;
                default: a[k].word = (int64_t) (intptr_t) (out + where);
            }
        }
        if (plan[ODEAD_RETURNS])
            out[time] = odead_returning(f, n, plan[ODEAD_DOUBLES], a);
        else
            odead_silent(f, n, plan[ODEAD_DOUBLES], a);
    }
}

#endif
