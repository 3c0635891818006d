#include "spacy/spacy_package.h"

#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_config.h"
#include <string.h>
#include <zip.h>

/* Small files that are read at once: meta.json, config.cfg and the like. */
enum { MAX_JSON = 64 << 20 };
/* What a zip file may unpack to: a file, and how often its packed size at most (deflate reaches
 * about 1032), beyond a size that does not matter. */
static const uint64_t max_unpacked = UINT64_C(4) << 30;
enum { MAX_RATIO = 1100, FREE_BYTES = 1 << 20 };

struct spacy_package {
    char *dir;    /* the pipeline's folder, or its path inside the zip with a / behind it */
    zip_t *zip;   /* NULL: a folder */
    json_t *meta; /* may be NULL */
};

void spacy_file_close(struct spacy_file *f) {
    bth_map_close(&f->map);
    bth_free(f->heap);
    *f = (struct spacy_file){0};
}

static int read_mapped(const char *path, struct spacy_file *out, struct berth_error *err) {
    struct spacy_file f = {0};
    int rc = bth_map_open(&f.map, path, err);
    if (rc < 0) {
        return rc;
    }
    f.data = f.map.data;
    f.size = f.map.size;
    *out = f;
    return 0;
}

static int check_entry(const char *path, const zip_stat_t *st, struct berth_error *err) {
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
    if ((st->valid & needed) != needed) {
        return bth_error(err, BERTH_EFORMAT, "%s: the zip file does not say its size", path);
    }
    if (st->size > max_unpacked ||
        (st->size > FREE_BYTES && st->size / MAX_RATIO > st->comp_size)) {
        return bth_error(err, BERTH_ETOOLARGE, "%s: claims %llu bytes from %llu packed ones", path,
                         (unsigned long long)st->size, (unsigned long long)st->comp_size);
    }
    return 0;
}

/* The size is a claim: the buffer grows with what comes, and comes to no more than was claimed. */
static int unpack(zip_file_t *file, const char *path, size_t size, char **out,
                  struct berth_error *err) {
    size_t have = 0, room = BTH_MIN(size, (size_t)FREE_BYTES);
    char *buf = bth_alloc(room + 1);
    while (buf) {
        zip_int64_t got = zip_fread(file, buf + have, room - have);
        if (got < 0 || (got == 0 && have < size)) {
            bth_free(buf);
            return bth_error(err, BERTH_EFORMAT, "%s: the zip file is damaged", path);
        }
        have += (size_t)got;
        if (have == size) {
            buf[size] = '\0';
            *out = buf;
            return 0;
        }
        if (have == room) {
            room = room > size / 2 ? size : 2 * room;
            char *larger = bth_realloc(buf, room + 1);
            if (!larger) {
                bth_free(buf);
            }
            buf = larger;
        }
    }
    return bth_error_nomem(err);
}

static int read_zipped(zip_t *zip, const char *path, struct spacy_file *out,
                       struct berth_error *err) {
    zip_stat_t st;
    if (zip_stat(zip, path, 0, &st) < 0) {
        return bth_error(err, BERTH_ENOTFOUND, "%s: not in the package", path);
    }
    int rc = check_entry(path, &st, err);
    if (rc < 0) {
        return rc;
    }
    zip_file_t *file = zip_fopen(zip, path, 0);
    if (!file) {
        return bth_error(err, BERTH_EFORMAT, "%s: %s", path, zip_strerror(zip));
    }
    char *data = NULL;
    rc = unpack(file, path, (size_t)st.size, &data, err);
    /* closing tells whether the check sum was right */
    if (zip_fclose(file) != 0 && rc == 0) {
        bth_free(data);
        return bth_error(err, BERTH_EFORMAT, "%s: the zip file is damaged", path);
    }
    if (rc == 0) {
        *out = (struct spacy_file){
            .data = (unsigned char *)data, .size = (size_t)st.size, .heap = data};
    }
    return rc;
}

/* Where a file lies. Names are the loaders' own; a component's comes from a config, so nothing may
 * lead out of the folder. */
static char *place(const struct spacy_package *p, const char *name) {
    for (const char *at = name; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0')) {
            return bth_strdup("");
        }
    }
    return p->zip ? bth_printf("%s%s", p->dir, name) : bth_path_join(p->dir, name);
}

int spacy_package_read(struct spacy_package *p, const char *name, struct spacy_file *out,
                       struct berth_error *err) {
    char *path = place(p, name);
    if (!path) {
        return bth_error_nomem(err);
    }
    int rc = !*path   ? bth_error(err, BERTH_ENOTFOUND, "%.100s: leads out of the package", name)
             : p->zip ? read_zipped(p->zip, path, out, err)
                      : read_mapped(path, out, err);
    bth_free(path);
    return rc;
}

/* 1 or 0, or ENOMEM. */
static int has_file(const struct spacy_package *p, const char *name) {
    char *path = place(p, name);
    if (!path) {
        return BERTH_ENOMEM;
    }
    const int has = *path && (p->zip ? zip_name_locate(p->zip, path, 0) >= 0 : bth_is_file(path));
    bth_free(path);
    return has;
}

bool spacy_package_has(const struct spacy_package *p, const char *name) {
    return has_file(p, name) == 1;
}

static int parse_json(const struct spacy_file *f, const char *name, json_t **out,
                      struct berth_error *err) {
    json_error_t why;
    if (f->size > MAX_JSON) {
        return bth_error(err, BERTH_ETOOLARGE, "%s: %zu bytes, at most %d are read", name, f->size,
                         MAX_JSON);
    }
    json_t *root = json_loadb((const char *)f->data, f->size, JSON_DECODE_ANY, &why);
    if (!root) {
        return bth_error(err, BERTH_EFORMAT, "%s: %.100s", name, why.text);
    }
    *out = root;
    return 0;
}

int spacy_package_read_json(struct spacy_package *p, const char *name, json_t **out,
                            struct berth_error *err) {
    struct spacy_file f = {0};
    int rc = spacy_package_read(p, name, &f, err);
    if (rc == 0) {
        rc = parse_json(&f, name, out, err);
    }
    spacy_file_close(&f);
    return rc;
}

const json_t *spacy_package_meta(const struct spacy_package *p) {
    return p->meta;
}

/* <lang>_<name>-<version> of a package's meta.json; NULL: it does not say. */
static char *folder_of(const json_t *meta) {
    const char *lang = json_string_value(json_object_get(meta, "lang"));
    const char *name = json_string_value(json_object_get(meta, "name"));
    const char *version = json_string_value(json_object_get(meta, "version"));
    if (!lang || !name || !version || strchr(lang, '/') || strchr(name, '/') ||
        strchr(version, '/')) {
        return NULL;
    }
    return bth_printf("%s_%s-%s", lang, name, version);
}

static int no_pipeline(const char *path, struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT,
                     "%s: no spaCy pipeline (a folder with config.cfg, an installed package or its "
                     "wheel)",
                     path);
}

/* A package's folder: goes down into the pipeline's. p->dir is the package's so far. */
static int enter_package(struct spacy_package *p, const char *path, struct berth_error *err) {
    json_t *meta = NULL;
    int rc = spacy_package_read_json(p, "meta.json", &meta, err);
    if (rc < 0) {
        return rc == BERTH_ENOTFOUND ? no_pipeline(path, err) : rc;
    }
    char *folder = folder_of(meta);
    json_decref(meta);
    char *dir = folder
                    ? bth_printf("%s%s%s%s", p->dir, p->zip ? "" : "/", folder, p->zip ? "/" : "")
                    : NULL;
    bth_free(folder);
    if (!dir) {
        return no_pipeline(path, err);
    }
    bth_free(p->dir);
    p->dir = dir;
    const int has = has_file(p, "config.cfg");
    return has > 0 ? 0 : has < 0 ? bth_error_nomem(err) : no_pipeline(path, err);
}

/* The folder of a wheel that holds the package: the one whose meta.json is the shortest path. */
static int find_in_wheel(struct spacy_package *p, const char *path, struct berth_error *err) {
    const char tail[] = "/meta.json";
    const char *best = NULL;
    zip_int64_t n = zip_get_num_entries(p->zip, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(p->zip, (zip_uint64_t)i, 0);
        size_t size = name ? strlen(name) : 0;
        if (size >= sizeof(tail) && strcmp(name + size - (sizeof(tail) - 1), tail) == 0 &&
            (!best || size < strlen(best))) {
            best = name;
        }
    }
    if (!best) {
        return no_pipeline(path, err);
    }
    bth_free(p->dir);
    p->dir = bth_strndup(best, strlen(best) - (sizeof(tail) - 1) + 1);
    return p->dir ? 0 : bth_error_nomem(err);
}

static int open_wheel(struct spacy_package *p, const char *path, struct berth_error *err) {
    int why = 0;
    p->zip = zip_open(path, ZIP_RDONLY, &why);
    if (!p->zip) {
        zip_error_t text;
        zip_error_init_with_code(&text, why);
        int code = why == ZIP_ER_NOENT    ? BERTH_ENOTFOUND
                   : why == ZIP_ER_MEMORY ? BERTH_ENOMEM
                   : why == ZIP_ER_OPEN   ? BERTH_EIO
                                          : BERTH_EFORMAT;
        int rc = bth_error(err, code, "%s: %.100s", path, zip_error_strerror(&text));
        zip_error_fini(&text);
        return rc;
    }
    return find_in_wheel(p, path, err);
}

static int open_any(struct spacy_package *p, const char *path, struct berth_error *err) {
    p->dir = bth_strdup(path);
    if (!p->dir) {
        return bth_error_nomem(err);
    }
    int rc = bth_is_dir(path) ? 0 : open_wheel(p, path, err);
    const int has = rc == 0 ? has_file(p, "config.cfg") : rc;
    if (has < 0) {
        return rc < 0 ? rc : bth_error_nomem(err);
    }
    if (!has) {
        rc = enter_package(p, path, err);
    }
    if (rc == 0) {
        rc = spacy_package_read_json(p, "meta.json", &p->meta, err);
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    return rc;
}

int spacy_package_open(const char *path, struct spacy_package **out, struct berth_error *err) {
    struct spacy_package *p = bth_calloc(1, sizeof(*p));
    int rc = p ? open_any(p, path, err) : bth_error_nomem(err);
    if (rc < 0) {
        spacy_package_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void spacy_package_close(struct spacy_package *p) {
    if (!p) {
        return;
    }
    if (p->zip) {
        zip_discard(p->zip);
    }
    json_decref(p->meta);
    bth_free(p->dir);
    bth_free(p);
}

bool spacy_package_is(const char *path) {
    const size_t n = strlen(path);
    if (!bth_is_dir(path)) {
        return n > 4 && strcmp(path + n - 4, ".whl") == 0 && bth_is_file(path);
    }
    struct spacy_package *p = NULL;
    bool is = spacy_package_open(path, &p, NULL) == 0;
    spacy_package_close(p);
    return is;
}

int spacy_package_config(struct spacy_package *p, json_t **out, struct berth_error *err) {
    struct spacy_file file = {0};
    int rc = spacy_package_read(p, "config.cfg", &file, err);
    if (rc == 0) {
        rc = spacy_config_parse((const char *)file.data, file.size, out, err);
    }
    spacy_file_close(&file);
    return rc;
}
