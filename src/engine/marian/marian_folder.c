#include "marian/marian_native.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 10000, MAX_YML = 1 << 20 };

static bool ends(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool begins(const char *name, const char *begin) {
    return strncmp(name, begin, strlen(begin)) == 0;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_names(struct marian_folder *folder, DIR *d, struct berth_error *err) {
    size_t capacity = 0;
    for (struct dirent *e; (e = readdir(d)) && folder->n < MAX_NAMES;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        if (folder->n == capacity) {
            capacity = capacity ? 2 * capacity : 32;
            const char **names = bth_realloc_array(folder->names, capacity, sizeof(*names));
            if (!names) {
                return bth_error_nomem(err);
            }
            folder->names = names;
        }
        char *copy = bth_arena_strndup(&folder->arena, e->d_name, strlen(e->d_name));
        if (!copy) {
            return bth_error_nomem(err);
        }
        folder->names[folder->n++] = copy;
    }
    if (folder->n) {
        qsort(folder->names, folder->n, sizeof(*folder->names), by_text);
    }
    return 0;
}

/* The last part of a path in a .yml. */
static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has(const struct marian_folder *folder, const char *name) {
    return folder->n && bsearch(&name, folder->names, folder->n, sizeof(*folder->names), by_text);
}

static int read_yml(struct marian_yaml *y, const char *dir, const char *name,
                    struct berth_error *err) {
    char *path = bth_path_join(dir, name);
    char *text = NULL;
    size_t n;
    int rc = path ? bth_read_file(path, MAX_YML, &text, &n, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = marian_yaml_parse(y, text, n, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", path);
        }
    }
    bth_free(text);
    bth_free(path);
    return rc;
}

/* A .yml of a search names models; of several, that which names `weights` (NULL: any). */
static int find_yml(struct marian_folder *folder, const char *dir, const char *weights,
                    struct berth_error *err) {
    for (size_t i = 0; i < folder->n; i++) {
        const char *name = folder->names[i];
        if ((!ends(name, ".yml") && !ends(name, ".yaml")) || ends(name, "vocab.yml")) {
            continue;
        }
        struct marian_yaml y;
        struct berth_error why;
        int rc = read_yml(&y, dir, name, &why);
        if (rc == BERTH_EFORMAT || rc == BERTH_ETOOLARGE) {
            continue; /* something else that is called .yml */
        }
        if (rc < 0) {
            return bth_error_copy(err, &why);
        }
        const char *model = marian_yaml_at(&y, "models", 0);
        if (model &&
            (weights ? strcmp(base_name(model), weights) == 0 : has(folder, base_name(model)))) {
            folder->yml = y;
            return 0;
        }
        marian_yaml_finish(&y);
    }
    return 0;
}

int marian_folder_open(struct marian_folder *folder, const char *dir, const char *weights,
                       struct berth_error *err) {
    *folder = (struct marian_folder){0};
    DIR *d = opendir(dir);
    if (!d) {
        return bth_error(err, errno == ENOENT || errno == ENOTDIR ? BERTH_ENOTFOUND : BERTH_EIO,
                         "%s: %s", dir, strerror(errno));
    }
    int rc = read_names(folder, d, err);
    closedir(d);
    if (rc == 0) {
        rc = find_yml(folder, dir, weights, err);
    }
    if (rc < 0) {
        marian_folder_close(folder);
    }
    return rc;
}

void marian_folder_close(struct marian_folder *folder) {
    marian_yaml_finish(&folder->yml);
    bth_arena_finish(&folder->arena);
    bth_free(folder->names);
    *folder = (struct marian_folder){0};
}

const char *marian_folder_weights(const struct marian_folder *folder) {
    const char *model = marian_yaml_at(&folder->yml, "models", 0), *only = NULL;
    if (model) {
        return has(folder, base_name(model)) ? base_name(model) : NULL;
    }
    for (size_t i = 0; i < folder->n; i++) {
        const char *name = folder->names[i];
        bool weights = ends(name, ".npz") || (ends(name, ".bin") && begins(name, "model.")) ||
                       ends(name, ".best-perplexity");
        if (weights && strcmp(name, "model.bin") != 0) {
            if (only) {
                return NULL;
            }
            only = name;
        }
    }
    return only;
}

/* The first file whose name begins and ends so. */
static const char *match(const struct marian_folder *folder, const char *begin, const char *end) {
    for (size_t i = 0; i < folder->n; i++) {
        const char *name = folder->names[i];
        if (strlen(name) >= strlen(begin) + strlen(end) && begins(name, begin) && ends(name, end)) {
            return name;
        }
    }
    return NULL;
}

static const char *first_match(const struct marian_folder *folder, const char *const (*patterns)[2],
                               size_t n) {
    const char *name = NULL;
    for (size_t i = 0; !name && i < n; i++) {
        name = match(folder, patterns[i][0], patterns[i][1]);
    }
    return name;
}

/* patterns: begin and end of the names that it has where the .yml is silent */
static int find_path(const struct marian_folder *folder, struct marian_files *f, const char *said,
                     const char *const (*patterns)[2], size_t n_patterns, char **out,
                     struct berth_error *err) {
    const char *name = said ? base_name(said) : first_match(folder, patterns, n_patterns);
    if (!name || !*name) {
        return 0;
    }
    if (!has(folder, name)) {
        return bth_error(err, BERTH_EFORMAT, "%s: %.100s, which the .yml names, is not there",
                         f->dir, name);
    }
    *out = bth_path_join(f->dir, name);
    return *out ? 0 : bth_error_nomem(err);
}

int marian_folder_paths(const struct marian_folder *folder, struct marian_files *f,
                        struct berth_error *err) {
    static const char *const source[][2] = {
        {"srcvocab.", ".spm"}, {"vocab.", ".spm"}, {"", "vocab.yml"}, {"", ".spm"}};
    static const char *const target[][2] = {
        {"trgvocab.", ".spm"}, {"vocab.", ".spm"}, {"", "vocab.yml"}, {"", ".spm"}};
    static const char *const lists[][2] = {{"lex.", ".bin"}, {"", ".s2t.bin"}};
    const struct marian_yaml *y = &folder->yml;
    int rc = find_path(folder, f, marian_yaml_at(y, "vocabs", 0), source, BTH_COUNT(source),
                       &f->paths[0], err);
    if (rc == 0) {
        rc = find_path(folder, f, marian_yaml_at(y, "vocabs", 1), target, BTH_COUNT(target),
                       &f->paths[1], err);
    }
    return rc < 0 ? rc
                  : find_path(folder, f, marian_yaml_at(y, "shortlist", 0), lists,
                              f->format == MARIAN_BIN ? BTH_COUNT(lists) : 0, &f->paths[2], err);
}
