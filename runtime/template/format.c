/* Formatting of text: Python's % operator and str.format with what templates use of their small languages,
 * and strftime with English names, in no locale. Called by math.c, the filters and the methods. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/text/number.h"
#include "impl.h"
#include "runtime/text/utf8.h"

enum { WIDTH_MAX = 10000, PRECISION_MAX = 300 };

typedef struct spec { /* of one placeholder */
    char fill[4];
    size_t n_fill;
    char align; /* < > = ^ */
    bool plus, space, alternate, zero, comma;
    int width, precision; /* precision -1: none */
    char type;            /* 0: by the value */
} spec;

static bool bad_format(run *r, const char *what) {
    return run_error(r, LEAT_E_TEMPLATE, "%s in a format", what);
}

static bool put_fill(run *r, const spec *f, int n) {
    for (int i = 0; i < n; i++)
        if (!put_bytes(r, f->fill, f->n_fill, false)) return false;
    return true;
}

/* Puts sign, then body, padded to the width. */
static bool put_padded(run *r, const spec *f, const char *sign, const text *body, char default_align) {
    char align = f->align ? f->align : default_align;
    int n = (int)strlen(sign) + (int)text_length(body), pad = f->width > n ? f->width - n : 0;
    int left = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
    if (align == '=')
        return put_bytes(r, sign, strlen(sign), false) && put_fill(r, f, pad) && put_text(r, body);
    return put_fill(r, f, left) && put_bytes(r, sign, strlen(sign), false) && put_text(r, body) &&
           put_fill(r, f, pad - left);
}

/* Digits of |v| in a base, with commas between thousands if asked for. */
static size_t int_digits(uint64_t v, unsigned base, bool upper, bool comma, char out[96]) {
    const char *symbols = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char reversed[96];
    size_t n = 0, digits = 0;
    do {
        if (comma && digits && digits % 3 == 0) reversed[n++] = ',';
        reversed[n++] = symbols[v % base];
        digits++;
        v /= base;
    } while (v);
    for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
    return n;
}

static bool format_int(run *r, const spec *f, int64_t v) {
    char digits[96], sign[8] = "";
    unsigned base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    snprintf(sign, sizeof sign, "%s%s",
             v < 0      ? "-"
             : f->plus  ? "+"
             : f->space ? " "
                        : "",
             f->alternate && base == 16  ? (f->type == 'X' ? "0X" : "0x")
             : f->alternate && base == 8 ? "0o"
             : f->alternate && base == 2 ? "0b"
                                         : "");
    text body = {.p = digits, .n = int_digits(magnitude, base, f->type == 'X', f->comma, digits)};
    return put_padded(r, f, sign, &body, '>');
}

/* The digits of a finite number with the point as a point in every locale, thousands with commas if asked
 * for. */
static size_t float_digits(const spec *f, double v, char *out, size_t capacity) {
    char printed[400], form[12], type = f->type == '%' || f->type == 'F' ? 'f' : f->type ? f->type : 'g';
    size_t n = 0, whole = 0;
    if (type == 'n') type = 'g';
    snprintf(form, sizeof form, "%%%s.*%c", f->alternate ? "#" : "", type);
    int length = snprintf(printed, sizeof printed, form, f->precision < 0 ? 6 : f->precision, v);
    while (whole < (size_t)length && printed[whole] >= '0' && printed[whole] <= '9') whole++;
    for (size_t i = 0; i < (size_t)length && n + 2 < capacity; i++) {
        if (f->comma && i > 0 && i < whole && (whole - i) % 3 == 0) out[n++] = ',';
        char c = printed[i];
        bool plain = (c >= '0' && c <= '9') || c == '+' || c == '-' || (c | 32) == 'e';
        if (plain || out[n - 1] != '.') out[n++] = plain ? c : '.';
    }
    if (f->type == '%') out[n++] = '%';
    return n;
}

static bool format_float(run *r, const spec *f, double v) {
    char digits[600], repr[NUMBER_BYTES];
    const char *sign = signbit(v) ? "-" : f->plus ? "+" : f->space ? " " : "";
    text body = {.p = digits};
    v = fabs(v);
    if (isnan(v) || isinf(v)) {
        body.p = isnan(v) ? "nan" : "inf";
        body.n = 3;
    } else if (!f->type && f->precision < 0) {
        body.p = repr;
        body.n = number_repr(v, repr);
    } else {
        body.n = float_digits(f, f->type == '%' ? v * 100 : v, digits, sizeof digits);
    }
    return put_padded(r, f, sign, &body, '>');
}

static bool format_text(run *r, const spec *f, const text *s) {
    text cut = *s;
    if (f->precision >= 0) cut.n = text_offset(s, (size_t)f->precision);
    return put_padded(r, f, "", &cut, '<');
}

static bool digits(const char *p, size_t n, size_t *i, int max, int *out) {
    *out = 0;
    for (; *i < n && p[*i] >= '0' && p[*i] <= '9'; ++*i) {
        *out = *out * 10 + (p[*i] - '0');
        if (*out > max) return false;
    }
    return true;
}

/* ---- % ---- */

static bool percent_value(run *r, spec *f, value v) {
    const text *s;
    value made;
    size_t from = r->n_out;
    double d;
    int64_t i;
    if (!f->align) f->align = '>';
    switch (f->type) {
    case 's': return value_text(r, v, &s) && format_text(r, f, s);
    case 'r':
    case 'a': return put_repr(r, v, 0) && take_text(r, from, &made) && format_text(r, f, made.s);
    case 'c':
        if (v.type == V_STRING && text_length(v.s) == 1) return format_text(r, f, v.s);
        if (!value_int(v, &i) || i < 0 || i > 0x10FFFF || (i >= 0xD800 && i < 0xE000))
            return bad_format(r, "%c needs a character");
        return put_code_point(r, (uint32_t)i, false) && take_text(r, from, &made) &&
               format_text(r, f, made.s);
    default: break;
    }
    if (!value_number(v, &d))
        return run_error(r, LEAT_E_TEMPLATE, "%%%c format: a real number is required, not %s", f->type,
                         value_type_name(v));
    if (f->zero && f->align == '>') {
        f->fill[0] = '0';
        f->align = '=';
    }
    if (strchr("di", f->type) || strchr("xXo", f->type)) {
        if (!value_int(v, &i)) {
            if (!(d > -9.2e18 && d < 9.2e18)) return bad_format(r, "a number too large");
            i = (int64_t)d;
        }
        return format_int(r, f, i);
    }
    return format_float(r, f, d);
}

bool format_percent(run *r, const text *format, value args, const call *keywords, value *out) {
    size_t from = r->n_out, next = 0, n = format->n;
    const char *p = format->p;
    bool tuple = args.type == V_LIST && args.l->kind == TUPLE;
    for (size_t i = 0; i < n;) {
        const char *hit = memchr(p + i, '%', n - i);
        size_t end = hit ? (size_t)(hit - p) : n;
        if (!put_range(r, format, i, end - i)) return false;
        if (end == n) break;
        i = end + 1;
        if (i < n && p[i] == '%') {
            if (!put_range(r, format, i++, 1)) return false;
            continue;
        }
        spec f = {.fill = " ", .n_fill = 1, .precision = -1};
        value v = args;
        bool named = i < n && p[i] == '(';
        if (named) {
            const char *close = memchr(p + i, ')', n - i);
            if (!close) return bad_format(r, "a parenthesis that does not close");
            str key = {p + i + 1, (size_t)(close - p) - i - 1};
            const value *found = args.type == V_DICT ? dict_get_str(args.o, key.p, key.n) : NULL;
            for (size_t k = 0; keywords && k < keywords->n_kw; k++) {
                str given = keywords->kw[k].name->text;
                if (given.n == key.n && !memcmp(given.p, key.p, key.n)) found = &keywords->kw[k].v;
            }
            if (!found) return bad_format(r, "a name that is not given");
            v = *found;
            i = (size_t)(close - p) + 1;
        }
        for (; i < n && strchr("-+ #0", p[i]) && p[i]; i++) {
            f.align = p[i] == '-' ? '<' : f.align;
            f.plus |= p[i] == '+';
            f.space |= p[i] == ' ';
            f.alternate |= p[i] == '#';
            f.zero |= p[i] == '0';
        }
        if (!digits(p, n, &i, WIDTH_MAX, &f.width)) return bad_format(r, "too large a width");
        if (i < n && p[i] == '.') {
            i++;
            if (!digits(p, n, &i, PRECISION_MAX, &f.precision)) return bad_format(r, "too large a precision");
        }
        if (i >= n || !p[i] || !strchr("srdixXofFeEgGca", p[i]))
            return bad_format(r, "an unknown placeholder");
        f.type = p[i++];
        if (f.type == 'i' || f.type == 'u') f.type = 'd';
        if (!named && tuple) {
            if (next >= args.l->n)
                return run_error(r, LEAT_E_TEMPLATE, "not enough arguments for format string");
            v = args.l->v[next];
        }
        next += !named;
        if (!tuple && !named && next > 1)
            return run_error(r, LEAT_E_TEMPLATE, "not enough arguments for format string");
        if (!percent_value(r, &f, v)) return false;
    }
    if (!keywords && (tuple ? next < args.l->n : args.type != V_DICT && next == 0))
        return run_error(r, LEAT_E_TEMPLATE, "not all arguments converted during string formatting");
    return take_text(r, from, out);
}

/* ---- str.format ---- */

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static bool parse_spec(run *r, const char *p, size_t n, spec *f) {
    size_t i = 0;
    uint32_t cp;
    *f = (spec){.fill = " ", .n_fill = 1, .precision = -1};
    size_t first = n ? utf8_decode(p, n, &cp) : 0;
    if (n > first && first && strchr("<>=^", p[first]) && p[first]) {
        memcpy(f->fill, p, first);
        f->n_fill = first;
        f->align = p[first];
        i = first + 1;
    } else if (n && *p && strchr("<>=^", *p)) {
        f->align = *p;
        i = 1;
    }
    for (; i < n && p[i] && strchr("+- #", p[i]); i++) {
        f->plus |= p[i] == '+';
        f->space |= p[i] == ' ';
        f->alternate |= p[i] == '#';
    }
    if (i < n && p[i] == '0' && !f->align) {
        f->fill[0] = '0';
        f->align = '=';
        f->zero = true;
    }
    if (!digits(p, n, &i, WIDTH_MAX, &f->width)) return bad_format(r, "too large a width");
    if (i < n && (p[i] == ',' || p[i] == '_')) {
        f->comma = true;
        i++;
    }
    if (i < n && p[i] == '.') {
        i++;
        if (!digits(p, n, &i, PRECISION_MAX, &f->precision)) return bad_format(r, "too large a precision");
    }
    if (i < n) f->type = p[i++];
    if (i < n || (f->type && !strchr("sdboxXnfFeEgG%c", f->type)))
        return bad_format(r, "an unknown specification");
    return true;
}

static bool format_value(run *r, spec *f, value v) {
    const text *s;
    double d;
    int64_t i;
    if (v.type == V_STRING || !value_number(v, &d) || (v.type == V_BOOL && !f->type)) {
        if (f->type && f->type != 's') return bad_format(r, "a number is needed for such a specification");
        if (f->align == '=' && f->zero) f->align = '<';
        return value_text(r, v, &s) && format_text(r, f, s);
    }
    if (value_int(v, &i) && (!f->type || strchr("dboxXn", f->type))) return format_int(r, f, i);
    if (f->type && strchr("dboxXsc", f->type))
        return bad_format(r, "a specification that does not fit a number");
    return format_float(r, f, d);
}

/* The value of a field: a number, a name, or nothing for the next one; then .name and [index]. */
static bool field_value(run *r, const char *p, size_t n, const call *c, size_t *next, value *out) {
    size_t i = 0, end = 0;
    int index;
    while (end < n && p[end] != '.' && p[end] != '[') end++;
    if (end == 0) {
        index = (int)(*next)++;
    } else if (*p >= '0' && *p <= '9') {
        if (!digits(p, end, &i, 1000000, &index) || i != end) return bad_format(r, "a bad field");
    } else {
        const value *found = NULL;
        for (size_t k = 0; k < c->n_kw; k++)
            if (c->kw[k].name->text.n == end && !memcmp(c->kw[k].name->text.p, p, end)) found = &c->kw[k].v;
        if (!found) return bad_format(r, "a name that is not given");
        *out = *found;
        index = -1;
    }
    if (index >= 0) {
        if ((size_t)index >= c->n)
            return run_error(r, LEAT_E_TEMPLATE, "Replacement index %d out of range", index);
        *out = c->v[index];
    }
    for (i = end; i < n;) {
        bool item = p[i] == '[';
        size_t from = i + 1, to = from, number = 0;
        while (to < n && p[to] != (item ? ']' : '.') && (item || p[to] != '[')) to++;
        if (item && to == n) return bad_format(r, "a bracket that does not close");
        value key = v_int(0);
        int v;
        number = from;
        bool is_number = item && to > from && digits(p, to, &number, 1000000, &v) && number == to;
        if (is_number) key = v_int(v);
        if (item && !is_number && !v_copy(r, p + from, to - from, false, &key)) return false;
        if (!(item ? eval_item(r, *out, key, out) : eval_attribute(r, *out, (str){p + from, to - from}, out)))
            return false;
        i = to + item;
    }
    return true;
}

bool format_braces(run *r, const text *format, const call *c, value *out) {
    size_t from = r->n_out, next = 0, n = format->n;
    const char *p = format->p;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '{' && p[i] != '}') {
            if (!put_range(r, format, i, 1)) return false;
            continue;
        }
        if (i + 1 < n && p[i + 1] == p[i]) {
            if (!put_range(r, format, ++i, 1)) return false;
            continue;
        }
        const char *close = p[i] == '{' ? memchr(p + i, '}', n - i) : NULL;
        if (!close) return run_error(r, LEAT_E_TEMPLATE, "Single '%c' encountered in format string", p[i]);
        size_t start = i + 1, end = (size_t)(close - p), colon = start;
        while (colon < end && p[colon] != ':') colon++;
        size_t name_end = colon;
        char conversion = '\0';
        if (colon >= start + 2 && p[colon - 2] == '!') {
            conversion = p[colon - 1];
            name_end = colon - 2;
        }
        spec f;
        value v, made;
        const text *s;
        if (memchr(p + start, '{', end - start)) return bad_format(r, "nested braces");
        if (!field_value(r, p + start, name_end - start, c, &next, &v) ||
            !parse_spec(r, colon < end ? p + colon + 1 : p, colon < end ? end - colon - 1 : 0, &f))
            return false;
        if (conversion == 'r') {
            size_t mark = r->n_out;
            if (!put_repr(r, v, 0) || !take_text(r, mark, &made)) return false;
            v = made;
        } else if (conversion) {
            if (!value_text(r, v, &s)) return false;
            v = (value){.type = V_STRING, .s = s};
        }
        if (!format_value(r, &f, v)) return false;
        i = end;
    }
    return take_text(r, from, out);
}

/* ---- strftime ---- */

static int day_of_year(const leat_template_time *t) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (t->year % 4 == 0 && t->year % 100 != 0) || t->year % 400 == 0;
    return before[t->month - 1] + t->day + (leap && t->month > 2);
}

static int day_of_week(const leat_template_time *t) { /* 0: Sunday; Sakamoto's method */
    static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
    int y = t->year - (t->month < 3);
    return (y + y / 4 - y / 100 + y / 400 + shift[t->month - 1] + t->day) % 7;
}

static int weeks_in_year(
    int year) { /* ISO 8601: 53 if the year starts on a Thursday, or is leap and starts on a Wednesday */
    leat_template_time t = {.year = year, .month = 1, .day = 1};
    int first = day_of_week(&t);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return 52 + (first == 4 || (leap && first == 3));
}

/* ISO 8601: the week, and the year it belongs to. */
static int iso_week(const leat_template_time *t, int *year) {
    int week = (day_of_year(t) - (day_of_week(t) + 6) % 7 + 9) / 7;
    *year = t->year;
    if (week < 1) return weeks_in_year(--*year);
    if (week > weeks_in_year(t->year)) {
        ++*year;
        return 1;
    }
    return week;
}

/* The number a letter stands for, with its width and what fills it; false if it stands for none. */
static bool time_number(const leat_template_time *t, char letter, int *v, int *width, char *fill) {
    int hour12 = t->hour % 12 ? t->hour % 12 : 12, week_day = day_of_week(t), year;
    *width = 2;
    *fill = '0';
    switch (letter) {
    case 'Y':
        *v = t->year;
        *width = 4;
        return true;
    case 'C': *v = t->year / 100; return true;
    case 'y': *v = t->year % 100; return true;
    case 'm': *v = t->month; return true;
    case 'd': *v = t->day; return true;
    case 'e':
        *v = t->day;
        *fill = ' ';
        return true;
    case 'H': *v = t->hour; return true;
    case 'k':
        *v = t->hour;
        *fill = ' ';
        return true;
    case 'I': *v = hour12; return true;
    case 'l':
        *v = hour12;
        *fill = ' ';
        return true;
    case 'M': *v = t->minute; return true;
    case 'S': *v = t->second; return true;
    case 'f':
        *v = 0;
        *width = 6;
        return true;
    case 'j':
        *v = day_of_year(t);
        *width = 3;
        return true;
    case 'u':
        *v = week_day ? week_day : 7;
        *width = 1;
        return true;
    case 'w':
        *v = week_day;
        *width = 1;
        return true;
    case 'U': *v = (day_of_year(t) + 6 - week_day) / 7; return true;
    case 'W': *v = (day_of_year(t) + 6 - (week_day + 6) % 7) / 7; return true;
    case 'V': *v = iso_week(t, &year); return true;
    case 'G':
        iso_week(t, v);
        *width = 4;
        return true;
    case 'g':
        iso_week(t, &year);
        *v = year % 100;
        return true;
    default: return false;
    }
}

bool put_time(run *r, const text *format, const leat_template_time *t) {
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    static const struct {
        char letter;
        const char *means;
    } compound[] = {{'D', "%m/%d/%y"}, {'F', "%Y-%m-%d"},    {'T', "%H:%M:%S"},
                    {'R', "%H:%M"},    {'r', "%I:%M:%S %p"}, {'c', "%a %b %e %H:%M:%S %Y"},
                    {'x', "%m/%d/%y"}, {'X', "%H:%M:%S"}};
    for (size_t i = 0; i < format->n; i++) {
        int v, width;
        char fill, flag = '\0';
        bool ok = true;
        if (format->p[i] != '%' || i + 1 == format->n) {
            if (!put_range(r, format, i, 1)) return false;
            continue;
        }
        i++;
        if (strchr("-_0^#", format->p[i]) && format->p[i] && i + 1 < format->n) flag = format->p[i++];
        char letter = format->p[i];
        bool known = true;
        if (time_number(t, letter, &v, &width, &fill)) {
            if (flag == '_') fill = ' ';
            if (flag == '0') fill = '0';
            ok = put_format(r, fill == ' ' ? "%*d" : "%0*d", flag == '-' ? 1 : width, v);
        } else if (letter == 'A' || letter == 'a') {
            ok = put_bytes(r, days[day_of_week(t)], letter == 'A' ? strlen(days[day_of_week(t)]) : 3, false);
        } else if (letter == 'B' || letter == 'b' || letter == 'h') {
            ok = put_bytes(r, months[t->month - 1], letter == 'B' ? strlen(months[t->month - 1]) : 3, false);
        } else if (letter == 'p' || letter == 'P') {
            ok = put_bytes(r,
                           letter == 'p'  ? (t->hour < 12 ? "AM" : "PM")
                           : t->hour < 12 ? "am"
                                          : "pm",
                           2, false);
        } else if (letter == '%' || letter == 'n' || letter == 't') {
            ok = put_bytes(r, letter == '%' ? "%" : letter == 'n' ? "\n" : "\t", 1, false);
        } else if (letter != 'Z' && letter != 'z') { /* a time without a zone has none to name */
            known = false;
        }
        for (size_t k = 0; ok && !known && k < sizeof compound / sizeof *compound; k++)
            if (compound[k].letter == letter) {
                text means = {.p = compound[k].means, .n = strlen(compound[k].means)};
                ok = put_time(r, &means, t); /* one level deep: none of them holds another */
                known = true;
            }
        if (!ok || (!known && (!put_bytes(r, "%", 1, false) || !put_range(r, format, i, 1)))) return false;
    }
    return true;
}
