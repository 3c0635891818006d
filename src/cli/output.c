#include "cli/output.h"

#include "base/compiler.h"
#include "base/pystr.h"
#include <berth/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[BTH_N_OUTPUTS] = {
    [BTH_OUTPUT_TXT] = "txt", [BTH_OUTPUT_VTT] = "vtt",   [BTH_OUTPUT_SRT] = "srt",
    [BTH_OUTPUT_TSV] = "tsv", [BTH_OUTPUT_JSON] = "json",
};

const char *bth_output_name(enum bth_output_format format) {
    return names[format];
}

bool bth_output_parse(const char *name, enum bth_output_format *out) {
    for (int i = 0; i < BTH_N_OUTPUTS; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum bth_output_format)i;
            return true;
        }
    }
    return false;
}

/* Text without white space at its ends, `from` (NULL: nothing) replaced by `to`. */
static void put_stripped(struct bth_str *out, const char *text, const char *from, const char *to) {
    size_t start, n, skip = from ? strlen(from) : 0;
    bth_strip(text, strlen(text), &start, &n);
    const char *p = text + start, *end = p + n;
    while (p < end) {
        bool match = from && (size_t)(end - p) >= skip && memcmp(p, from, skip) == 0;
        if (match) {
            bth_str_puts(out, to);
        } else {
            bth_str_putc(out, *p);
        }
        p += match ? skip : 1;
    }
}

/* Half a millisecond goes to the even one, as Python's round does. */
static long long milliseconds(double seconds) {
    return (long long)nearbyint(seconds * 1000.0);
}

static void put_time(struct bth_str *out, double seconds, bool hours, char point) {
    long long ms = milliseconds(seconds);
    long long h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60;
    if (hours || h > 0) {
        bth_str_printf(out, "%02lld:", h);
    }
    bth_str_printf(out, "%02lld:%02lld%c%03lld", m, s, point, ms % 1000);
}

static void put_cue(struct bth_str *out, const struct berth_segment *s, bool hours, char point) {
    put_time(out, s->start_s, hours, point);
    bth_str_puts(out, " --> ");
    put_time(out, s->end_s, hours, point);
    bth_str_putc(out, '\n');
    put_stripped(out, s->text, "-->", "->");
    bth_str_puts(out, "\n\n");
}

static void write_txt(const struct berth_transcript *t, struct bth_str *out) {
    for (size_t i = 0; i < t->n_segments; i++) {
        put_stripped(out, t->segments[i].text, NULL, NULL);
        bth_str_putc(out, '\n');
    }
}

static void write_vtt(const struct berth_transcript *t, struct bth_str *out) {
    bth_str_puts(out, "WEBVTT\n\n");
    for (size_t i = 0; i < t->n_segments; i++) {
        put_cue(out, &t->segments[i], false, '.');
    }
}

static void write_srt(const struct berth_transcript *t, struct bth_str *out) {
    for (size_t i = 0; i < t->n_segments; i++) {
        bth_str_printf(out, "%zu\n", i + 1);
        put_cue(out, &t->segments[i], true, ',');
    }
}

static void write_tsv(const struct berth_transcript *t, struct bth_str *out) {
    bth_str_puts(out, "start\tend\ttext\n");
    for (size_t i = 0; i < t->n_segments; i++) {
        const struct berth_segment *s = &t->segments[i];
        bth_str_printf(out, "%lld\t%lld\t", milliseconds(s->start_s), milliseconds(s->end_s));
        put_stripped(out, s->text, "\t", " ");
        bth_str_putc(out, '\n');
    }
}

/* ---- JSON as Python's json.dump writes it ---- */

void bth_output_float(struct bth_str *out, double v) {
    char text[40];
    if (!isfinite(v)) {
        bth_str_puts(out, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
        return;
    }
    int digits = 1;
    do {
        snprintf(text, sizeof(text), "%.*e", digits - 1, v);
    } while (strtod(text, NULL) != v && ++digits <= 17);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        int decimals = digits - 1 - exponent;
        snprintf(text, sizeof(text), "%.*f", decimals > 1 ? decimals : 1, v);
        bth_str_puts(out, text);
        return;
    }
    *strchr(text, 'e') = '\0';
    bth_str_printf(out, "%se%c%02d", text, exponent < 0 ? '-' : '+', abs(exponent));
}

/* ASCII only; what lies beyond U+FFFF as two surrogates. */
static void put_string(struct bth_str *out, const char *text) {
    static const char plain[] = "\"\\\n\r\t\f\b", escaped[] = "\"\\nrtfb";
    bth_str_putc(out, '"');
    for (size_t n = strlen(text), i = 0; i < n;) {
        uint32_t c;
        i += bth_utf8_decode(text + i, n - i, &c);
        const char *special = c < 128 && c ? strchr(plain, (int)c) : NULL;
        if (special) {
            bth_str_printf(out, "\\%c", escaped[special - plain]);
        } else if (c >= 0x10000) {
            c -= 0x10000;
            bth_str_printf(out, "\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
        } else if (c < 32 || c >= 127) {
            bth_str_printf(out, "\\u%04x", c);
        } else {
            bth_str_putc(out, (char)c);
        }
    }
    bth_str_putc(out, '"');
}

static void put_number(struct bth_str *out, const char *name, double v) {
    bth_str_printf(out, ", \"%s\": ", name);
    bth_output_float(out, v);
}

static void put_segment(struct bth_str *out, const struct berth_segment *s) {
    bth_str_printf(out, "{\"id\": %u, \"seek\": %lld", s->id, (long long)s->seek);
    put_number(out, "start", s->start_s);
    put_number(out, "end", s->end_s);
    bth_str_puts(out, ", \"text\": ");
    put_string(out, s->text);
    bth_str_puts(out, ", \"tokens\": [");
    for (size_t i = 0; i < s->n_tokens; i++) {
        bth_str_printf(out, "%s%d", i ? ", " : "", s->tokens[i]);
    }
    bth_str_putc(out, ']');
    put_number(out, "temperature", s->temperature);
    put_number(out, "avg_logprob", s->avg_logprob);
    put_number(out, "compression_ratio", s->compression_ratio);
    put_number(out, "no_speech_prob", s->no_speech_prob);
    bth_str_putc(out, '}');
}

static void write_json(const struct berth_transcript *t, struct bth_str *out) {
    bth_str_puts(out, "{\"text\": ");
    put_string(out, t->text ? t->text : "");
    bth_str_puts(out, ", \"segments\": [");
    for (size_t i = 0; i < t->n_segments; i++) {
        bth_str_puts(out, i ? ", " : "");
        put_segment(out, &t->segments[i]);
    }
    bth_str_puts(out, "], \"language\": ");
    put_string(out, t->language);
    bth_str_puts(out, "}");
}

int bth_output_write(enum bth_output_format format, const struct berth_transcript *t,
                     struct bth_str *out) {
    static void (*const writers[BTH_N_OUTPUTS])(const struct berth_transcript *,
                                                struct bth_str *) = {
        [BTH_OUTPUT_TXT] = write_txt, [BTH_OUTPUT_VTT] = write_vtt, [BTH_OUTPUT_SRT] = write_srt,
        [BTH_OUTPUT_TSV] = write_tsv, [BTH_OUTPUT_JSON] = write_json};
    writers[format](t, out);
    return out->failed ? BERTH_ENOMEM : 0;
}
