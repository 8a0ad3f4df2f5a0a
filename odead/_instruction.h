/* An instruction of a lowered program: what the sweep reads. */
#ifndef ODEAD_INSTRUCTION_H
#define ODEAD_INSTRUCTION_H

#include <stdint.h>

typedef struct {
    int32_t opcode;   /* of _kernels.h, or ODEAD_STRUCTURED + 4 * operation + dtype of _structured.pyx */
    int32_t position; /* in the Program: what a guard reports */
    int64_t n;        /* elements of a row, the innermost loop */
    char *out;        /* absolute addresses of the first elements; unused ones are NULL */
    char *x;
    char *y;
    char *z;
    /* Strides in bytes of out, x, y, z within a row; number of outer axes; for each (extent, strides of out, x, y, z); then
       what the operation asks for. NULL: one row, and the opcode knows the strides. */
    const int64_t *extra;
} odead_instruction;

#endif
