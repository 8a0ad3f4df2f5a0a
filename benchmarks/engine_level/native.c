/* What a person would write by hand. ctypes calls it, which takes about 0.3 us. */
#include <math.h>

void stencil_primal(long n, double *dx, const double *x, const double *p) {
    for (long i = 1; i < n - 1; i++) dx[i] = p[0] * (x[i - 1] - 2 * x[i] + x[i + 1]);
    dx[0] = 2 * p[0] * (x[1] - x[0]) + p[1];
    dx[n - 1] = 2 * p[0] * (x[n - 2] - x[n - 1]);
}

/* Value and tangent in one pass. */
void stencil_jvp(long n, double *dx, double *ddx, const double *x, const double *gx, const double *p, const double *gp) {
    for (long i = 1; i < n - 1; i++) {
        double s = x[i - 1] - 2 * x[i] + x[i + 1];
        dx[i] = p[0] * s;
        ddx[i] = gp[0] * s + p[0] * (gx[i - 1] - 2 * gx[i] + gx[i + 1]);
    }
    dx[0] = 2 * p[0] * (x[1] - x[0]) + p[1];
    dx[n - 1] = 2 * p[0] * (x[n - 2] - x[n - 1]);
    ddx[0] = 2 * gp[0] * (x[1] - x[0]) + 2 * p[0] * (gx[1] - gx[0]) + gp[1];
    ddx[n - 1] = 2 * gp[0] * (x[n - 2] - x[n - 1]) + 2 * p[0] * (gx[n - 2] - gx[n - 1]);
}

/* Value, then the cotangents by the law that odead keeps: ddx is consumed, gx and gp are added to. */
void stencil_vjp(long n, double *dx, double *ddx, const double *x, double *gx, const double *p, double *gp) {
    double s = 0;
    stencil_primal(n, dx, x, p);
    for (long i = 1; i < n - 1; i++) s += ddx[i] * (x[i - 1] - 2 * x[i] + x[i + 1]);
    gp[0] += s + 2 * ddx[0] * (x[1] - x[0]) + 2 * ddx[n - 1] * (x[n - 2] - x[n - 1]);
    gp[1] += ddx[0];
    for (long i = 2; i < n - 2; i++) gx[i] += p[0] * (ddx[i - 1] - 2 * ddx[i] + ddx[i + 1]);
    gx[0] += p[0] * (ddx[1] - 2 * ddx[0]);
    gx[1] += p[0] * (2 * ddx[0] - 2 * ddx[1] + ddx[2]);
    gx[n - 2] += p[0] * (ddx[n - 3] - 2 * ddx[n - 2] + 2 * ddx[n - 1]);
    gx[n - 1] += p[0] * (ddx[n - 2] - 2 * ddx[n - 1]);
    for (long i = 0; i < n; i++) ddx[i] = 0;
}

/* The cotangents alone, of a diffusivity that is known. */
void stencil_cotangents(long n, double *ddx, double *gx, double *gp) {
    const double k = 3.0;
    gp[0] += ddx[0];
    for (long i = 2; i < n - 2; i++) gx[i] += k * (ddx[i - 1] - 2 * ddx[i] + ddx[i + 1]);
    gx[0] += k * (ddx[1] - 2 * ddx[0]);
    gx[1] += k * (2 * ddx[0] - 2 * ddx[1] + ddx[2]);
    gx[n - 2] += k * (ddx[n - 3] - 2 * ddx[n - 2] + 2 * ddx[n - 1]);
    gx[n - 1] += k * (ddx[n - 2] - 2 * ddx[n - 1]);
    for (long i = 0; i < n; i++) ddx[i] = 0;
}

/* y = tanh(W x + b) of n inputs and outputs. */
void layer_primal(long n, double *y, const double *w, const double *x, const double *b) {
    for (long i = 0; i < n; i++) {
        double s = b[i];
        for (long j = 0; j < n; j++) s += w[i * n + j] * x[j];
        y[i] = s;
    }
    for (long i = 0; i < n; i++) y[i] = tanh(y[i]);
}

void layer_vjp(long n, double *y, double *dy, const double *w, double *gw, const double *x, double *gx, const double *b,
               double *gb) {
    layer_primal(n, y, w, x, b);
    for (long i = 0; i < n; i++) {
        double d = dy[i] * (1 - y[i] * y[i]);
        gb[i] += d;
        for (long j = 0; j < n; j++) gx[j] += d * w[i * n + j];
        for (long j = 0; j < n; j++) gw[i * n + j] += d * x[j];
        dy[i] = 0;
    }
}

/* 1000 dependent products and sums. */
double chain_primal(const double *x) {
    double s = x[0];
    for (long k = 0; k < 1000; k++) s = s * x[k % 7] + x[(k + 3) % 7];
    return s;
}
