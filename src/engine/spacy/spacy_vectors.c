#include "spacy/spacy_vectors.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "format/npy.h"
#include "spacy/spacy_murmur.h"
#include <string.h>

enum {
    MAX_HASHES = 4,
    MAX_NGRAM = 32,
    MAX_MARK = 16,
    MOST_WORK = 1 << 28, /* numbers added up for one word */
    REACH = 4096         /* slots from its place on that an id may lie in: ids are hashes */
};

struct slot {
    uint64_t id;
    int32_t row; /* -1: free */
};

struct spacy_vectors {
    float *data; /* [rows, width], a copy: a file that shrinks later must not kill its readers */
    size_t rows, width;
    struct slot *slots; /* [capacity], a power of two */
    size_t capacity;
    bool floret;
    int64_t minn, maxn, hash_count, hash_seed;
    char bow[MAX_MARK], eow[MAX_MARK];
};

static struct slot *find_slot(const struct spacy_vectors *v, uint64_t id) {
    size_t at = (size_t)id & (v->capacity - 1);
    while (v->slots[at].row >= 0 && v->slots[at].id != id) {
        at = (at + 1) & (v->capacity - 1);
    }
    return &v->slots[at];
}

static int copy_table(struct spacy_vectors *v, const struct spacy_file *f,
                      struct berth_error *err) {
    struct bth_npy a;
    int rc = bth_npy_parse(f->data, f->size, &a, err);
    if (rc < 0) {
        return rc;
    }
    if (a.dtype != BERTH_F32 || a.rank != 2 || a.dims[0] > INT32_MAX || a.dims[1] > INT32_MAX) {
        return bth_error(err, BERTH_EFORMAT, "not [rows, width] f32");
    }
    v->rows = (size_t)a.dims[0];
    v->width = (size_t)a.dims[1];
    v->data = bth_memdup(a.data, a.bytes);
    return v->data ? 0 : bth_error_nomem(err);
}

static int load_table(struct spacy_vectors *v, struct spacy_package *p, struct berth_error *err) {
    struct spacy_file f = {0};
    int rc = spacy_package_read(p, "vocab/vectors", &f, err);
    if (rc == 0 && (rc = copy_table(v, &f, err)) < 0) {
        bth_error_prefix(err, "vocab/vectors: ");
    }
    spacy_file_close(&f);
    return rc;
}

static int read_mark(const json_t *config, const char *key, const char *otherwise,
                     char out[MAX_MARK], struct berth_error *err) {
    const char *text = json_string_value(json_object_get(config, key));
    text = text ? text : otherwise;
    if (strlen(text) >= MAX_MARK) {
        return bth_error(err, BERTH_EFORMAT, "vocab/vectors.cfg: %s is too long", key);
    }
    strcpy(out, text);
    return 0;
}

static int64_t read_int(const json_t *config, const char *key) {
    const json_t *value = json_object_get(config, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static int read_config(struct spacy_vectors *v, const json_t *config, struct berth_error *err) {
    const char *mode = json_string_value(json_object_get(config, "mode"));
    if (!mode || strcmp(mode, "floret") != 0) {
        return mode && strcmp(mode, "default") != 0
                   ? bth_error(err, BERTH_EUNSUPPORTED, "vectors of mode %.30s", mode)
                   : 0;
    }
    v->floret = true;
    v->minn = read_int(config, "minn");
    v->maxn = read_int(config, "maxn");
    v->hash_count = read_int(config, "hash_count");
    v->hash_seed = read_int(config, "hash_seed");
    if (v->minn < 0 || v->maxn > MAX_NGRAM || v->maxn < v->minn || v->hash_count < 1 ||
        v->hash_count > MAX_HASHES || v->hash_seed < 0 || v->hash_seed > UINT32_MAX) {
        return bth_error(err, BERTH_EFORMAT, "vocab/vectors.cfg: n-grams or hashes out of range");
    }
    int rc = read_mark(config, "bow", "<", v->bow, err);
    return rc < 0 ? rc : read_mark(config, "eow", ">", v->eow, err);
}

/* {id: row} */
static int build_rows(struct spacy_vectors *v, const msgpack_object *map, struct berth_error *err) {
    if (map->type != MSGPACK_OBJECT_MAP) {
        return bth_error(err, BERTH_EFORMAT, "vocab/key2row: no map");
    }
    v->capacity = 8;
    while (3 * v->capacity < 4 * ((size_t)map->via.map.size + 1)) {
        v->capacity *= 2;
    }
    v->slots = bth_alloc(v->capacity * sizeof(*v->slots));
    if (!v->slots) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < v->capacity; i++) {
        v->slots[i] = (struct slot){.row = -1};
    }
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];
        int64_t row;
        if (kv->key.type != MSGPACK_OBJECT_POSITIVE_INTEGER || !bth_packed_int(&kv->val, &row) ||
            row < 0 || (uint64_t)row >= v->rows) {
            return bth_error(err, BERTH_EFORMAT, "vocab/key2row: entry %u names no row", i);
        }
        const uint64_t id = kv->key.via.u64;
        struct slot *slot = find_slot(v, id);
        if ((((size_t)(slot - v->slots) - (size_t)id) & (v->capacity - 1)) > REACH) {
            return bth_error(err, BERTH_EFORMAT, "vocab/key2row: its ids are no hashes");
        }
        *slot = (struct slot){.id = id, .row = (int32_t)row};
    }
    return 0;
}

static int load_rows(struct spacy_vectors *v, struct spacy_package *p, struct berth_error *err) {
    struct spacy_file f = {0};
    struct bth_packed packed = {0};
    int rc = spacy_package_read(p, "vocab/key2row", &f, err);
    if (rc == 0) {
        rc = bth_packed_open(&packed, f.data, f.size, err);
    }
    if (rc == 0) {
        rc = build_rows(v, &packed.root, err);
    }
    bth_packed_close(&packed);
    spacy_file_close(&f);
    return rc;
}

static int load(struct spacy_vectors *v, struct spacy_package *p, struct berth_error *err) {
    json_t *config = NULL;
    int rc = load_table(v, p, err);
    if (rc < 0 || v->rows == 0 || v->width == 0) {
        return rc;
    }
    rc = spacy_package_read_json(p, "vocab/vectors.cfg", &config, err);
    if (rc == 0 || rc == BERTH_ENOTFOUND) {
        rc = read_config(v, config, err);
    }
    json_decref(config);
    return rc < 0 || v->floret ? rc : load_rows(v, p, err);
}

int spacy_vectors_load(struct spacy_package *p, struct spacy_vectors **out,
                       struct berth_error *err) {
    struct spacy_vectors *v = bth_calloc(1, sizeof(*v));
    int rc = v ? load(v, p, err) : bth_error_nomem(err);
    if (rc == BERTH_ENOTFOUND && !v->data) { /* a model without vectors */
        rc = 0;
    }
    if (rc < 0 || v->rows == 0 || v->width == 0) {
        spacy_vectors_destroy(v);
        v = NULL;
    }
    if (rc == 0) {
        *out = v;
    }
    return rc;
}

void spacy_vectors_destroy(struct spacy_vectors *v) {
    if (v) {
        bth_free(v->data);
        bth_free(v->slots);
        bth_free(v);
    }
}

size_t spacy_vectors_rows(const struct spacy_vectors *v) {
    return v->rows;
}

size_t spacy_vectors_width(const struct spacy_vectors *v) {
    return v->width;
}

bool spacy_vectors_floret(const struct spacy_vectors *v) {
    return v->floret;
}

const float *spacy_vectors_data(const struct spacy_vectors *v) {
    return v->data;
}

int32_t spacy_vectors_row(const struct spacy_vectors *v, uint64_t orth) {
    return v && v->capacity ? find_slot(v, orth)->row : -1;
}

/* ---- floret ---------------------------------------------------------------------------------*/

struct sum {
    const struct spacy_vectors *v;
    float *out; /* [width] */
    size_t n;   /* rows added */
};

static void add_ngram(struct sum *s, const char *text, size_t n) {
    uint32_t words[4];
    spacy_murmur(text, n, (uint32_t)s->v->hash_seed, words);
    for (int64_t k = 0; k < s->v->hash_count; k++) {
        const float *row = s->v->data + (size_t)(words[k] % s->v->rows) * s->v->width;
        for (size_t i = 0; i < s->v->width; i++) {
            s->out[i] += row[i];
        }
        s->n++;
    }
}

/* The whole padded word, then every substring of minn to maxn code points: of 0, the empty one at
 * each of its places, as spaCy has it. */
static void add_ngrams(struct sum *s, const char *padded, size_t size) {
    add_ngram(s, padded, size);
    for (int64_t length = s->v->minn; length <= s->v->maxn; length++) {
        size_t begin = 0, end = 0;
        for (int64_t have = 0; end < size; have++) {
            uint32_t c;
            end += bth_utf8_decode(padded + end, size - end, &c);
            if (have >= length) {
                begin += bth_utf8_decode(padded + begin, size - begin, &c);
            }
            if (have + 1 >= length) {
                add_ngram(s, padded + begin, length == 0 ? 0 : end - begin);
            }
        }
        if (length == 0) { /* behind the last one */
            add_ngram(s, padded, 0);
        }
    }
}

static int add_floret(const struct spacy_vectors *v, const char *text, size_t n, float *out) {
    struct bth_str padded = {0};
    bth_str_puts(&padded, v->bow);
    bth_str_append(&padded, text, n);
    bth_str_puts(&padded, v->eow);
    if (!padded.failed) {
        struct sum s = {.v = v, .out = out};
        add_ngrams(&s, padded.data, padded.size);
        for (size_t i = 0; i < v->width; i++) {
            out[i] /= (float)s.n;
        }
    }
    const int rc = padded.failed ? BERTH_ENOMEM : 0;
    bth_str_finish(&padded);
    return rc;
}

bool spacy_vectors_fits(const struct spacy_vectors *v, size_t length) {
    if (!v || !v->floret) {
        return true;
    }
    const size_t sizes = (size_t)(v->maxn - v->minn) + 2; /* and the whole word */
    size_t work;
    return bth_mul(sizes * (size_t)v->hash_count, v->width, &work) &&
           bth_mul(work, length, &work) && work <= MOST_WORK;
}

int spacy_vectors_word(const struct spacy_vectors *v, uint64_t orth, const char *text, size_t n,
                       float *out) {
    memset(out, 0, v->width * sizeof(*out));
    if (v->floret) {
        return add_floret(v, text, n, out);
    }
    int32_t row = spacy_vectors_row(v, orth);
    if (row >= 0) {
        memcpy(out, v->data + (size_t)row * v->width, v->width * sizeof(*out));
    }
    return 0;
}
