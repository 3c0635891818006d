#include "render/output.h"

#include "base/pystr.h"
#include <math.h>
#include <string.h>

static const char *const names[BTH_N_OUTPUT_FORMATS] = {
    [BTH_OUTPUT_TXT] = "txt", [BTH_OUTPUT_VTT] = "vtt",   [BTH_OUTPUT_SRT] = "srt",
    [BTH_OUTPUT_TSV] = "tsv", [BTH_OUTPUT_JSON] = "json",
};

const char *bth_output_name(enum bth_output_format format) {
    return names[format];
}

bool bth_output_parse(const char *name, enum bth_output_format *out) {
    for (int i = 0; i < BTH_N_OUTPUT_FORMATS; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum bth_output_format)i;
            return true;
        }
    }
    return false;
}

/* Appends the stripped text with every `from` replaced by `to`, and a newline. */
static void put_line(struct bth_str *out, const char *text, const char *from, const char *to) {
    size_t n, step = strlen(from);
    const char *p = bth_py_strip(text, strlen(text), &n), *end = p + n;
    while (p < end) {
        if (step && (size_t)(end - p) >= step && memcmp(p, from, step) == 0) {
            bth_str_puts(out, to);
            p += step;
        } else {
            bth_str_putc(out, *p++);
        }
    }
    bth_str_putc(out, '\n');
}

/* Python's round(): ties to even. */
static long long milliseconds(double seconds) {
    return (long long)nearbyint(seconds * 1000.0);
}

static void put_time(struct bth_str *out, double seconds, bool always_hours, char point) {
    long long ms = milliseconds(seconds), hours = ms / 3600000;
    if (always_hours || hours > 0) {
        bth_str_printf(out, "%02lld:", hours);
    }
    bth_str_printf(out, "%02lld:%02lld%c%03lld", ms / 60000 % 60, ms / 1000 % 60, point, ms % 1000);
}

static void write_txt(struct bth_str *out, const struct berth_transcript *t) {
    for (size_t i = 0; i < t->n_segments; i++) {
        put_line(out, t->segments[i].text, "", "");
    }
}

static void put_cue(struct bth_str *out, const struct berth_segment *s, bool always_hours,
                    char point) {
    put_time(out, s->start_s, always_hours, point);
    bth_str_puts(out, " --> ");
    put_time(out, s->end_s, always_hours, point);
    bth_str_putc(out, '\n');
    put_line(out, s->text, "-->", "->"); /* the arrow belongs to the cue's head */
    bth_str_putc(out, '\n');
}

static void write_vtt(struct bth_str *out, const struct berth_transcript *t) {
    bth_str_puts(out, "WEBVTT\n\n");
    for (size_t i = 0; i < t->n_segments; i++) {
        put_cue(out, &t->segments[i], false, '.');
    }
}

static void write_srt(struct bth_str *out, const struct berth_transcript *t) {
    for (size_t i = 0; i < t->n_segments; i++) {
        bth_str_printf(out, "%zu\n", i + 1);
        put_cue(out, &t->segments[i], true, ',');
    }
}

static void write_tsv(struct bth_str *out, const struct berth_transcript *t) {
    bth_str_puts(out, "start\tend\ttext\n");
    for (size_t i = 0; i < t->n_segments; i++) {
        const struct berth_segment *s = &t->segments[i];
        bth_str_printf(out, "%lld\t%lld\t", milliseconds(s->start_s), milliseconds(s->end_s));
        put_line(out, s->text, "\t", " ");
    }
}

/* ---- json: Python's json.dump with its defaults -----------------------------------------------*/

static void put_string(struct bth_str *out, const char *text) {
    bth_py_json_string(out, text, strlen(text));
}

static void put_number(struct bth_str *out, const char *key, double x) {
    bth_str_printf(out, ", \"%s\": ", key);
    if (isnan(x)) {
        bth_str_puts(out, "NaN");
    } else if (isinf(x)) {
        bth_str_puts(out, x < 0 ? "-Infinity" : "Infinity");
    } else {
        bth_py_repr_float(out, x);
    }
}

static void put_segment(struct bth_str *out, const struct berth_segment *s) {
    bth_str_printf(out, "{\"id\": %u, \"seek\": %lld", (unsigned)s->id, (long long)s->seek);
    put_number(out, "start", s->start_s);
    put_number(out, "end", s->end_s);
    bth_str_puts(out, ", \"text\": ");
    put_string(out, s->text);
    bth_str_puts(out, ", \"tokens\": [");
    for (size_t i = 0; i < s->n_tokens; i++) {
        bth_str_printf(out, "%s%d", i ? ", " : "", (int)s->tokens[i]);
    }
    bth_str_putc(out, ']');
    put_number(out, "temperature", s->temperature);
    put_number(out, "avg_logprob", s->avg_logprob);
    put_number(out, "compression_ratio", s->compression_ratio);
    put_number(out, "no_speech_prob", s->no_speech_prob);
    bth_str_putc(out, '}');
}

static void write_json(struct bth_str *out, const struct berth_transcript *t) {
    bth_str_puts(out, "{\"text\": ");
    put_string(out, t->text);
    bth_str_puts(out, ", \"segments\": [");
    for (size_t i = 0; i < t->n_segments; i++) {
        bth_str_puts(out, i ? ", " : "");
        put_segment(out, &t->segments[i]);
    }
    bth_str_puts(out, "], \"language\": ");
    put_string(out, t->language);
    bth_str_putc(out, '}');
}

void bth_output_write(struct bth_str *out, const struct berth_transcript *t,
                      enum bth_output_format format) {
    static void (*const writers[])(struct bth_str *, const struct berth_transcript *) = {
        [BTH_OUTPUT_TXT] = write_txt, [BTH_OUTPUT_VTT] = write_vtt,   [BTH_OUTPUT_SRT] = write_srt,
        [BTH_OUTPUT_TSV] = write_tsv, [BTH_OUTPUT_JSON] = write_json,
    };
    writers[format](out, t);
}
