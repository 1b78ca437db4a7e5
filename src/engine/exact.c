#include "engine/exact.h"

#include <math.h>

static const double ln_2 = 0.693147180559945309417, half_pi_inverse = 0.636619772367581343076;
/* log(2) in two parts of which the first leaves room for an exact product with a count. */
static const double ln_2_high = 0x1.62e42feep-1, ln_2_low = 0x1.a39ef35793c76p-33;
/* pi/2 in three parts of which the first two leave room for an exact product with a count below 2^20 (Cody, Waite:
 * "Software Manual for the Elementary Functions", 1980). */
static const double half_pi_high = 0x1.921fb544p+0, half_pi_middle = 0x1.0b4611a6p-34,
                    half_pi_low = 0x1.3198a2e037073p-69;

/* The series of atanh: log(m) = 2 atanh((m - 1) / (m + 1)) with m around 1. */
double exact_log(double x) {
    int exponent;
    double mantissa = frexp(x, &exponent); /* exact */
    if (mantissa < 0.70710678118654752) mantissa *= 2, exponent--;
    double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s, sum = 0.0;
    for (int k = 21; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
    return 2.0 * s * sum + exponent * ln_2;
}

/* 2^n times the Taylor series on what is left, at most half a bit. */
double exact_exp(double x) {
    double count = floor(x / ln_2 + 0.5), rest = x - count * ln_2_high - count * ln_2_low;
    double sum = 1.0;
    for (int k = 13; k >= 1; k--) sum = 1.0 + sum * rest / k;
    return ldexp(sum, (int)count); /* exact */
}

double exact_softplus(double x) {
    if (x > 20 || !(x >= -100)) return x > 20 ? x : 0;
    return exact_log(1.0 + exact_exp(x));
}

/* Taylor series on [-pi/4, pi/4], turned by the number of quarter circles taken off. */
void exact_sincos(double x, double *sine, double *cosine) {
    double count = floor(x * half_pi_inverse + 0.5);
    double rest = x - count * half_pi_high - count * half_pi_middle - count * half_pi_low;
    double square = rest * rest, s = 1.0, c = 1.0;
    for (int k = 18; k >= 2; k -= 2) {
        s = 1.0 - s * square / (k * (k + 1));
        c = 1.0 - c * square / (k * (k - 1));
    }
    s *= rest;
    switch ((long)count & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}
