/* berth translate --glossary: lines of a term, a tab and its translation, as JSON. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/translate.h"
#include <jansson.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 };

/* One line of n bytes. Which line it is goes into an error. */
static int add_line(json_t *all, const char *line, size_t n, size_t number,
                    struct berth_error *err) {
    const char *tab = memchr(line, '\t', n);
    n -= n > 0 && line[n - 1] == '\r';
    if (n == 0 || line[0] == '#') {
        return 0;
    }
    if (!tab || tab == line || tab + 1 >= line + n ||
        memchr(tab + 1, '\t', (size_t)(line + n - tab) - 1)) {
        return bth_error(err, BERTH_EINVAL,
                         "line %zu of the glossary is no term, tab and translation", number);
    }
    char *term = bth_strndup(line, (size_t)(tab - line));
    json_t *text = json_stringn(tab + 1, (size_t)(line + n - tab) - 1);
    int rc = 0;
    if (!term || !text || json_object_set(all, term, text) < 0) {
        rc = bth_error(err, BERTH_EINVAL, "line %zu of the glossary is not valid UTF-8", number);
    }
    json_decref(text);
    bth_free(term);
    return rc;
}

int bth_cli_glossary(const char *path, char **out, struct berth_error *err) {
    char *text;
    size_t size, number = 1;
    int rc = bth_read_file(path, MAX_BYTES, &text, &size, err);
    if (rc < 0) {
        return rc;
    }
    json_t *all = json_object();
    for (const char *at = text, *end; rc == 0 && at < text + size; at = end + 1, number++) {
        end = memchr(at, '\n', (size_t)(text + size - at));
        end = end ? end : text + size;
        rc = add_line(all, at, (size_t)(end - at), number, err);
    }
    if (rc == 0) {
        *out = json_dumps(all, JSON_COMPACT);
        rc = *out ? 0 : bth_error_nomem(err);
    }
    json_decref(all);
    bth_free(text);
    return rc;
}
