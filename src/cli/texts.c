#include "cli/texts.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 };

static int add(struct bth_texts *t, const char *name, const char *data, size_t size,
               struct berth_error *err) {
    if (t->n == t->capacity) {
        size_t n = t->capacity ? t->capacity * 2 : 16;
        struct bth_text *list = bth_realloc_array(t->list, n, sizeof(*list));
        if (!list) {
            return bth_error_nomem(err);
        }
        t->list = list;
        t->capacity = n;
    }
    const char *copy = bth_arena_strndup(&t->arena, name, strlen(name));
    if (!copy) {
        return bth_error_nomem(err);
    }
    t->list[t->n++] = (struct bth_text){copy, data ? data : "", size};
    return 0;
}

static int add_lines(struct bth_texts *t, const char *name, const char *data, size_t size,
                     struct berth_error *err) {
    const char *end = data + size;
    int rc = 0;
    for (size_t line = 1; rc == 0 && data < end; line++) {
        const char *stop = memchr(data, '\n', (size_t)(end - data));
        size_t n = (size_t)((stop ? stop : end) - data);
        char *own = bth_printf("%s:%zu", name, line);
        rc =
            own ? add(t, own, data, n - (n > 0 && data[n - 1] == '\r'), err) : bth_error_nomem(err);
        bth_free(own);
        data += n + (stop != NULL);
    }
    return rc;
}

/* Takes the memory over. */
static int add_file(struct bth_texts *t, const char *name, char *data, size_t size, bool lines,
                    struct berth_error *err) {
    char **files = bth_realloc_array(t->files, t->n_files + 1, sizeof(*files));
    if (!files) {
        bth_free(data);
        return bth_error_nomem(err);
    }
    t->files = files;
    t->files[t->n_files++] = data;
    return lines ? add_lines(t, name, data, size, err) : add(t, name, data, size, err);
}

static int read_stdin(char **out, size_t *out_size, struct berth_error *err) {
    struct bth_str all = {0};
    char block[65536];
    size_t n;
    int rc = 0;
    while (rc == 0 && (n = fread(block, 1, sizeof(block), stdin)) > 0) {
        bth_str_append(&all, block, n);
        if (all.failed) {
            rc = bth_error_nomem(err);
        } else if (all.size > MOST_BYTES) {
            rc = bth_error(err, BERTH_ETOOLARGE, "standard input is larger than %d bytes",
                           (int)MOST_BYTES);
        }
    }
    if (rc == 0 && ferror(stdin)) {
        rc = bth_error(err, BERTH_EIO, "standard input: %s", strerror(errno));
    }
    if (rc < 0) {
        bth_str_finish(&all);
        return rc;
    }
    *out = all.data; /* NULL for nothing */
    *out_size = all.size;
    return 0;
}

static int add_files(struct bth_texts *t, const struct bth_args *args, size_t which, bool lines,
                     struct berth_error *err) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < args->n_given; i++) {
        const char *path = args->given[i].value;
        char *data;
        size_t size;
        if (args->given[i].which != which) {
            continue;
        }
        rc = bth_read_file(path, MOST_BYTES, &data, &size, err);
        rc = rc < 0 ? rc : add_file(t, path, data, size, lines, err);
    }
    return rc;
}

int bth_texts_read(struct bth_texts *t, const struct bth_args *args, size_t files, bool lines,
                   struct berth_error *err) {
    int rc = 0;
    for (int i = 0; rc == 0 && i < args->n_rest; i++) {
        char name[32];
        snprintf(name, sizeof(name), "text %d", i + 1);
        rc = add(t, name, args->rest[i], strlen(args->rest[i]), err);
    }
    if (rc == 0 && args->n_rest == 0 && !args->values[files]) {
        char *data = NULL;
        size_t size = 0;
        rc = read_stdin(&data, &size, err);
        return rc < 0 ? rc : add_file(t, "standard input", data, size, lines, err);
    }
    return rc < 0 ? rc : add_files(t, args, files, lines, err);
}

void bth_texts_finish(struct bth_texts *t) {
    for (size_t i = 0; i < t->n_files; i++) {
        bth_free(t->files[i]);
    }
    bth_free(t->files);
    bth_free(t->list);
    bth_arena_finish(&t->arena);
    *t = (struct bth_texts){0};
}
