/*
 * A .spm file: a protocol buffer, ModelProto. Fields read: 1 piece {1 text, 2 score, 3 kind}; 2
 * trainer {3 algorithm, 24 blank as suffix, 35 bytes for what is unknown, 40..43 ids, 44 text of
 * unk, 45..48 special pieces}; 3 normaliser and 5 denormaliser {2 table, 3 blank in front, 4 blanks
 * once, 5 blanks spelled}. What else there is is of training.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "text/spm_internal.h"
#include <math.h>
#include <string.h>

enum { MAX_PIECES = 1 << 20, MAX_PIECE = 512, MAX_SPECIAL = 256 };

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct message {
    const unsigned char *p, *end;
};

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t value; /* VARINT, FIXED32 */
    struct message bytes;
};

static bool take_varint(struct message *m, uint64_t *out) {
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && m->p < m->end; shift += 7) {
        unsigned char c = *m->p++;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct message *m, int bytes, uint64_t *out) {
    if (m->end - m->p < bytes) {
        return false;
    }
    *out = 0;
    for (int i = 0; i < bytes; i++) {
        *out |= (uint64_t)*m->p++ << (8 * i);
    }
    return true;
}

static int damaged(struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "no SentencePiece model, or cut short");
}

/* 1: the next field; 0: the message ends. */
static int next_field(struct message *m, struct field *f, struct berth_error *err) {
    uint64_t key;
    if (m->p == m->end) {
        return 0;
    }
    if (!take_varint(m, &key)) {
        return damaged(err);
    }
    *f = (struct field){.number = key >> 3, .wire = (enum wire)(key & 7)};
    bool ok = false;
    if (f->wire == VARINT) {
        ok = take_varint(m, &f->value);
    } else if (f->wire == BYTES) {
        uint64_t n;
        ok = take_varint(m, &n) && n <= (uint64_t)(m->end - m->p);
        if (ok) {
            f->bytes = (struct message){m->p, m->p + n};
            m->p += n;
        }
    } else if (f->wire == FIXED32 || f->wire == FIXED64) {
        ok = take_fixed(m, f->wire == FIXED32 ? 4 : 8, &f->value);
    }
    return ok ? 1 : damaged(err);
}

/* ---- writing --------------------------------------------------------------------------------*/

static void put_varint(struct bth_str *s, uint64_t v) {
    for (; v >= 0x80; v >>= 7) {
        bth_str_putc(s, (char)(v | 0x80));
    }
    bth_str_putc(s, (char)v);
}

static void put_bytes(struct bth_str *s, unsigned number, const void *bytes, size_t n) {
    put_varint(s, number << 3 | BYTES);
    put_varint(s, n);
    bth_str_append(s, bytes, n);
}

static void put_number(struct bth_str *s, unsigned number, uint64_t v) {
    put_varint(s, number << 3 | VARINT);
    put_varint(s, v);
}

static void put_float(struct bth_str *s, unsigned number, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_varint(s, number << 3 | FIXED32);
    for (int i = 0; i < 4; i++) {
        bth_str_putc(s, (char)(bits >> (8 * i)));
    }
}

/* A message within the model; its own bytes are gone afterwards. */
static int put_message(struct bth_spm_model *m, unsigned number, struct bth_str *inner,
                       struct berth_error *err) {
    put_bytes(&m->proto, number, bth_str_text(inner), inner->size);
    int rc = inner->failed || m->proto.failed ? bth_error_nomem(err) : 0;
    bth_str_finish(inner);
    return rc;
}

/* ---- pieces ---------------------------------------------------------------------------------*/

static int check_piece(const struct bth_spm_entry *e, struct berth_error *err) {
    if (e->size == 0 || e->size > MAX_PIECE || memchr(e->text, 0, e->size) ||
        !bth_utf8_valid(e->text, e->size)) {
        return bth_error(err, BERTH_EFORMAT, "a piece is empty, too long or no UTF-8");
    }
    if (!isfinite(e->score) || fabsf(e->score) > 1e9F || e->kind < BTH_SPM_NORMAL ||
        e->kind > BTH_SPM_BYTE) {
        return bth_error(err, BERTH_EFORMAT, "piece %.60s has an impossible score or kind",
                         e->text);
    }
    return 0;
}

static int add_piece(struct bth_spm_model *m, struct message body, struct berth_error *err) {
    struct bth_spm_entry e = {.text = "", .kind = BTH_SPM_NORMAL};
    struct field f;
    int rc;
    while ((rc = next_field(&body, &f, err)) == 1) {
        if (f.number == 1 && f.wire == BYTES) {
            e.text = (const char *)f.bytes.p;
            e.size = (size_t)(f.bytes.end - f.bytes.p);
        } else if (f.number == 2 && f.wire == FIXED32) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&e.score, &bits, sizeof(bits));
        } else if (f.number == 3 && f.wire == VARINT) {
            e.kind = f.value > BTH_SPM_BYTE ? 0 : (int)f.value;
        }
    }
    e.text = rc == 0 ? bth_arena_strndup(&m->arena, e.text, e.size) : NULL;
    if (rc < 0 || !e.text) {
        return rc < 0 ? rc : bth_error_nomem(err);
    }
    rc = check_piece(&e, err);
    if (rc == 0 && m->n == MAX_PIECES) {
        rc = bth_error(err, BERTH_EFORMAT, "more than %d pieces", MAX_PIECES);
    }
    if (rc == 0 && m->n == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 256;
        struct bth_spm_entry *p = bth_realloc_array(m->pieces, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(err);
        }
        m->pieces = p;
        m->capacity = capacity;
    }
    if (rc < 0) {
        return rc;
    }
    if (e.kind == BTH_SPM_UNKNOWN) {
        m->unk = (int32_t)m->n;
    }
    m->pieces[m->n++] = e;
    struct bth_str out = {0};
    put_bytes(&out, 1, e.text, e.size);
    put_float(&out, 2, e.score);
    put_number(&out, 3, (uint64_t)e.kind);
    return put_message(m, 1, &out, err);
}

/* ---- the rest -------------------------------------------------------------------------------*/

static int add_trainer(struct bth_spm_model *m, struct message body, struct berth_error *err) {
    struct bth_str out = {0};
    struct field f;
    uint64_t algorithm = 1;
    int rc;
    while ((rc = next_field(&body, &f, err)) == 1) {
        bool special = f.number >= 44 && f.number <= 48 && f.wire == BYTES;
        bool number = (f.number == 24 || f.number == 35 || (f.number >= 40 && f.number <= 43)) &&
                      f.wire == VARINT;
        if (f.number == 3 && f.wire == VARINT) {
            algorithm = f.value;
        } else if (number) {
            m->bytes = f.number == 35 ? f.value != 0 : m->bytes;
            put_number(&out, (unsigned)f.number, f.value);
        } else if (special) {
            size_t n = (size_t)(f.bytes.end - f.bytes.p);
            if (n > MAX_SPECIAL || !bth_utf8_valid((const char *)f.bytes.p, n)) {
                rc = bth_error(err, BERTH_EFORMAT, "a special piece is too long or no UTF-8");
                break;
            }
            put_bytes(&out, (unsigned)f.number, f.bytes.p, n);
        }
    }
    if (rc == 0 && algorithm != 1 && algorithm != 2) {
        rc = bth_error(err, BERTH_EFORMAT, "neither a unigram nor a BPE model");
    }
    m->unigram = algorithm == 1;
    put_number(&out, 3, algorithm);
    if (rc < 0) {
        bth_str_finish(&out);
        return rc;
    }
    return put_message(m, 2, &out, err);
}

static int add_normalizer(struct bth_spm_model *m, unsigned number, struct message body,
                          struct berth_error *err) {
    struct bth_str out = {0};
    struct field f;
    int rc;
    while ((rc = next_field(&body, &f, err)) == 1) {
        size_t n = f.wire == BYTES ? (size_t)(f.bytes.end - f.bytes.p) : 0;
        if (f.number == 2 && n > 0) {
            rc = bth_spm_check_charsmap(f.bytes.p, n, err);
            if (rc < 0) {
                break;
            }
            put_bytes(&out, 2, f.bytes.p, n);
        } else if (f.number >= 3 && f.number <= 5 && f.wire == VARINT) {
            put_number(&out, (unsigned)f.number, f.value != 0);
        }
    }
    if (rc < 0) {
        bth_str_finish(&out);
        return rc;
    }
    return put_message(m, number, &out, err);
}

/* Messages that are there once are merged by protocol buffers if there twice: not here. */
static int add_field(struct bth_spm_model *m, const struct field *f, bool seen[6],
                     struct berth_error *err) {
    if (f->wire != BYTES ||
        (f->number != 1 && f->number != 2 && f->number != 3 && f->number != 5)) {
        return 0;
    }
    if (f->number == 1) {
        return add_piece(m, f->bytes, err);
    }
    if (seen[f->number]) {
        return bth_error(err, BERTH_EFORMAT, "a part of the SentencePiece model is there twice");
    }
    seen[f->number] = true;
    return f->number == 2 ? add_trainer(m, f->bytes, err)
                          : add_normalizer(m, (unsigned)f->number, f->bytes, err);
}

int bth_spm_model_parse(struct bth_spm_model *m, const unsigned char *data, size_t size,
                        struct berth_error *err) {
    *m = (struct bth_spm_model){.unk = -1};
    struct message all = {data, data + size};
    struct field f;
    bool seen[6] = {false};
    int rc;
    while ((rc = next_field(&all, &f, err)) == 1) {
        rc = add_field(m, &f, seen, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (rc == 0 && (m->n == 0 || m->unk < 0 || !seen[2])) {
        rc = damaged(err);
    }
    return rc;
}

void bth_spm_model_finish(struct bth_spm_model *m) {
    bth_arena_finish(&m->arena);
    bth_free(m->pieces);
    bth_str_finish(&m->proto);
    *m = (struct bth_spm_model){0};
}
