/* number.h by way of strtod and snprintf, which round correctly. What a locale could change about them is the
 * decimal point alone, so strtod gets digits and an exponent but no point, and what snprintf puts between
 * the first digit and the others is skipped, whatever it is. */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIGITS_MAX = 800,      /* a double is decided by at most 767 digits and whether anything follows them */
    EXPONENT_MAX = 1000000 /* beyond it everything is zero or infinite, unless there are as many digits */
};

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t digits(const char *p, size_t n) {
    size_t i = 0;
    while (i < n && digit(p[i])) i++;
    return i;
}

size_t number_scan(const char *p, size_t n, bool strict, bool *integer) {
    size_t i = n > 0 && *p == '-', whole = digits(p + i, n - i);
    *integer = true;
    if (!whole || (strict && whole > 1 && p[i] == '0')) return 0;
    i += whole;
    if (i < n && p[i] == '.') {
        size_t fraction = digits(p + i + 1, n - i - 1);
        if (!fraction) return strict ? 0 : i;
        *integer = false;
        i += 1 + fraction;
    }
    if (i < n && (p[i] == 'e' || p[i] == 'E')) {
        size_t sign = i + 1 < n && (p[i + 1] == '+' || p[i + 1] == '-');
        size_t exponent = digits(p + i + 1 + sign, n - i - 1 - sign);
        if (!exponent) return strict ? 0 : i;
        *integer = false;
        i += 1 + sign + exponent;
    }
    return i;
}

double number_double(const char *p, size_t n) {
    char text[DIGITS_MAX + 40];
    size_t i = 0, used = 0;
    long long exponent = 0;
    bool point = false, more = false;
    if (n > 0 && *p == '-') text[used++] = p[i++];
    size_t start = used;
    for (; i < n && (digit(p[i]) || p[i] == '.'); i++) {
        if (p[i] == '.') {
            point = true;
        } else if (used == start && p[i] == '0') {
            exponent -= point;
        } else if (used - start < DIGITS_MAX) {
            text[used++] = p[i];
            exponent -= point;
        } else {
            more = more || p[i] != '0';
            exponent += !point;
        }
    }
    if (more) text[used - 1] = (char)(text[used - 1] | 1); /* not exactly half way: an odd digit says so */
    if (used == start) text[used++] = '0';
    if (i < n) {
        bool negative = p[i + 1] == '-';
        long long e = 0;
        for (i += 1 + (p[i + 1] == '-' || p[i + 1] == '+'); i < n; i++)
            if (e < EXPONENT_MAX) e = e * 10 + (p[i] - '0');
        exponent += negative ? -e : e;
    }
    if (exponent > EXPONENT_MAX) exponent = EXPONENT_MAX;
    if (exponent < -EXPONENT_MAX) exponent = -EXPONENT_MAX;
    snprintf(text + used, sizeof text - used, "e%lld", exponent);
    return strtod(text, NULL);
}

bool number_int(const char *p, size_t n, int64_t *out) {
    bool negative = n > 0 && *p == '-';
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
    for (size_t i = negative; i < n; i++) {
        unsigned d = (unsigned)(p[i] - '0');
        if (v > (limit - d) / 10) return false;
        v = v * 10 + d;
    }
    *out = negative ? (v == limit ? INT64_MIN : -(int64_t)v) : (int64_t)v;
    return true;
}

/* "d.ddde+xx" at a precision, without what stands for the point: digits[], how many, and the exponent. */
static int split(double v, int precision, char text[64], int *exponent) {
    char printed[64];
    snprintf(printed, sizeof printed, "%.*e", precision, v);
    int n = 0;
    char *p = printed;
    for (; *p && *p != 'e'; p++)
        if (digit(*p)) text[n++] = *p;
    *exponent = *p ? atoi(p + 1) : 0;
    return n;
}

size_t number_repr(double v, char out[NUMBER_BYTES]) {
    char text[64];
    int exponent = 0, n = 0;
    size_t used = 0;
    if (isnan(v)) return (size_t)snprintf(out, NUMBER_BYTES, "nan");
    if (signbit(v)) {
        out[used++] = '-';
        v = -v;
    }
    if (isinf(v)) return used + (size_t)snprintf(out + used, NUMBER_BYTES - used, "inf");
    for (int precision = 0; precision < 17; precision++) {
        char again[80];
        n = split(v, precision, text, &exponent);
        snprintf(again, sizeof again, "%.*se%d", n, text, exponent - (n - 1));
        if (strtod(again, NULL) == v) break;
    }
    while (n > 1 && text[n - 1] == '0') n--;
    if (exponent < -4 || exponent >= 16) {
        out[used++] = text[0];
        if (n > 1) {
            out[used++] = '.';
            memcpy(out + used, text + 1, (size_t)n - 1);
            used += (size_t)n - 1;
        }
        used += (size_t)snprintf(out + used, NUMBER_BYTES - used, "e%c%02d", exponent < 0 ? '-' : '+',
                                 abs(exponent));
        return used;
    }
    for (int i = exponent < 0 ? exponent : 0; i < n || i <= exponent; i++) {
        out[used++] = i >= 0 && i < n ? text[i] : '0';
        if (i == exponent) out[used++] = '.';
    }
    if (out[used - 1] == '.') out[used++] = '0';
    out[used] = '\0';
    return used;
}
