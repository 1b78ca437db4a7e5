/* Elementary functions in plain double arithmetic: additions, multiplications and divisions in a written order, so they
 * give the same bits on every machine, which the C library does not promise. Good to about 1e-15. Pure, any thread. */
#pragma once

double exact_log(double x);                                /* x > 0 and normal */
double exact_exp(double x);                                /* |x| <= 700 */
double exact_softplus(double x);                           /* log(1 + e^x) */
void exact_sincos(double x, double *sine, double *cosine); /* |x| <= 1e6 radians */
