#include "server/multipart.h"

#include "base/alloc.h"
#include "base/error.h"
#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70, MAX_NAME = 128 };

enum state {
    BODY,     /* of a part, or the preamble: up to the next delimiter */
    BOUNDARY, /* behind a delimiter: "\r\n" or "--" */
    HEAD,     /* of a part, up to its empty line */
    EPILOGUE
};

struct bth_multipart {
    struct bth_multipart_sink sink;
    char delimiter[MAX_BOUNDARY + 5]; /* "\r\n--boundary" */
    size_t n_delimiter, matched;      /* of it, at the end of what has been fed */
    enum state state;
    bool in_part; /* else the preamble */
    int parts;
    char after[2]; /* behind a boundary */
    size_t n_after;
    char head[BTH_MULTIPART_HEAD + 1];
    size_t n_head;
};

/* ---- header values ---------------------------------------------------------------------------*/

static const char *skip_space(const char *p) {
    return p + strspn(p, " \t");
}

/* One `name=value` or `name="value"` at *text, which moves behind it; false: ill-formed. A quoted
 * value may hold \" and \\; other backslashes stand for themselves, as browsers send them. */
static bool parameter(const char **text, char *name, size_t name_size, char *value,
                      size_t value_size) {
    const char *p = skip_space(*text);
    size_t n = strcspn(p, "=; \t\"");
    if (n == 0 || n >= name_size || p[n] != '=') {
        return false;
    }
    memcpy(name, p, n);
    name[n] = '\0';
    p += n + 1;
    size_t used = 0;
    bool quoted = *p == '"';
    p += quoted;
    for (; quoted ? *p != '"' : *p && !strchr("; \t", *p); p++) {
        if (!*p || used + 1 >= value_size) {
            return false;
        }
        if (quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\')) {
            p++;
        }
        value[used++] = *p;
    }
    value[used] = '\0';
    p = skip_space(p + quoted);
    if (*p && *p != ';') {
        return false;
    }
    *text = *p ? p + 1 : p;
    return true;
}

/* Moves behind "word" and a following ";" or the end; NULL: something else is there. */
static const char *expect_word(const char *text, const char *word) {
    size_t n = strlen(word);
    if (strncasecmp(text, word, n) != 0) {
        return NULL;
    }
    text = skip_space(text + n);
    return *text == ';' ? text + 1 : *text ? NULL : text;
}

static bool good_boundary(const char *b) {
    size_t n = strlen(b);
    for (size_t i = 0; i < n; i++) {
        if (b[i] < ' ' || b[i] > '~') {
            return false;
        }
    }
    return n > 0 && b[n - 1] != ' ';
}

static bool find_boundary(const char *content_type, char out[MAX_BOUNDARY + 1]) {
    const char *p = expect_word(skip_space(content_type), "multipart/form-data");
    char name[32], value[MAX_BOUNDARY + 1];
    bool found = false;
    while (p && *skip_space(p)) {
        if (!parameter(&p, name, sizeof(name), value, sizeof(value))) {
            return false;
        }
        if (strcasecmp(name, "boundary") == 0) {
            if (found || !good_boundary(value)) {
                return false;
            }
            found = true;
            strcpy(out, value);
        }
    }
    return found;
}

/* ---- the head of a part ----------------------------------------------------------------------*/

static int disposition(const char *value, char name[MAX_NAME + 1], bool *out_file,
                       struct berth_error *err) {
    const char *p = expect_word(value, "form-data");
    char key[32], text[1024];
    bool named = false;
    while (p && *skip_space(p)) {
        if (!parameter(&p, key, sizeof(key), text, sizeof(text))) {
            p = NULL;
        } else if (strcasecmp(key, "name") == 0) {
            if (named || strlen(text) > MAX_NAME) {
                return bth_error(err, BERTH_EINVAL,
                                 "a form field's name is given twice or is longer "
                                 "than %d bytes",
                                 MAX_NAME);
            }
            named = true;
            strcpy(name, text);
        } else if (strcasecmp(key, "filename") == 0 || strcasecmp(key, "filename*") == 0) {
            *out_file = true;
        }
    }
    return p && named ? 0
                      : bth_error(err, BERTH_EINVAL,
                                  "a part of the form has no sound Content-Disposition");
}

/* The head is complete and ends with an empty line; its lines are cut at their ends. */
static int begin_part(struct bth_multipart *m, struct berth_error *err) {
    char name[MAX_NAME + 1] = "";
    bool is_file = false, seen = false;
    char *line = m->head;
    for (char *end; (end = strstr(line, "\r\n")) && end != line; line = end + 2) {
        static const char wanted[] = "content-disposition:";
        *end = '\0';
        if (strncasecmp(line, wanted, sizeof(wanted) - 1) != 0) {
            continue;
        }
        if (seen) {
            return bth_error(err, BERTH_EINVAL, "a part of the form has two Content-Dispositions");
        }
        seen = true;
        int rc = disposition(skip_space(line + sizeof(wanted) - 1), name, &is_file, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (!seen) {
        return bth_error(err, BERTH_EINVAL, "a part of the form has no Content-Disposition");
    }
    m->in_part = true;
    m->state = BODY;
    m->n_head = 0;
    return m->sink.begin(m->sink.arg, name, is_file, err);
}

static int feed_head(struct bth_multipart *m, char c, struct berth_error *err) {
    if (m->n_head == BTH_MULTIPART_HEAD) {
        return bth_error(err, BERTH_ETOOLARGE,
                         "a part of the form has more than %d bytes of headers",
                         BTH_MULTIPART_HEAD);
    }
    if (!c) {
        return bth_error(err, BERTH_EINVAL, "a header of the form holds a NUL");
    }
    m->head[m->n_head++] = c;
    m->head[m->n_head] = '\0';
    bool empty_line = m->n_head >= 4 && memcmp(m->head + m->n_head - 4, "\r\n\r\n", 4) == 0;
    return empty_line || strcmp(m->head, "\r\n") == 0 ? begin_part(m, err) : 0;
}

/* ---- bodies and boundaries -------------------------------------------------------------------*/

static int give(struct bth_multipart *m, const char *data, size_t n, struct berth_error *err) {
    return m->in_part && n ? m->sink.data(m->sink.arg, data, n, err) : 0;
}

/* Hands on what is before the next delimiter and sets *used to what was looked at. A delimiter
 * begins with \r and has no other, so what was matched in vain can only begin again at the present
 * byte. */
static int feed_body(struct bth_multipart *m, const char *p, size_t n, size_t *used,
                     struct berth_error *err) {
    size_t i = 0;
    int rc = 0;
    while (rc == 0 && i < n && m->matched < m->n_delimiter) {
        if (m->matched == 0) {
            const char *cr = memchr(p + i, '\r', n - i);
            size_t run = cr ? (size_t)(cr - p) - i : n - i;
            rc = give(m, p + i, run, err);
            i += run + (cr != NULL);
            m->matched = cr != NULL;
        } else if (p[i] == m->delimiter[m->matched]) {
            m->matched++;
            i++;
        } else {
            rc = give(m, m->delimiter, m->matched, err);
            m->matched = 0;
        }
    }
    *used = i;
    if (rc == 0 && m->matched == m->n_delimiter) {
        m->matched = 0;
        m->state = BOUNDARY;
        m->n_after = 0;
        rc = m->in_part ? m->sink.end(m->sink.arg, err) : 0;
        m->in_part = false;
    }
    return rc;
}

static int feed_boundary(struct bth_multipart *m, char c, struct berth_error *err) {
    m->after[m->n_after++] = c;
    if (m->n_after < 2) {
        return 0;
    }
    if (memcmp(m->after, "--", 2) == 0) {
        m->state = EPILOGUE;
        return 0;
    }
    if (memcmp(m->after, "\r\n", 2) != 0) {
        return bth_error(err, BERTH_EINVAL,
                         "a boundary of the form ends neither in a line nor in --");
    }
    if (m->parts == BTH_MULTIPART_PARTS) {
        return bth_error(err, BERTH_ETOOLARGE, "the form has more than %d parts",
                         BTH_MULTIPART_PARTS);
    }
    m->parts++;
    m->state = HEAD;
    return 0;
}

int bth_multipart_feed(struct bth_multipart *m, const char *data, size_t n,
                       struct berth_error *err) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n && m->state != EPILOGUE;) {
        size_t used = 1;
        if (m->state == BODY) {
            rc = feed_body(m, data + i, n - i, &used, err);
        } else if (m->state == BOUNDARY) {
            rc = feed_boundary(m, data[i], err);
        } else {
            rc = feed_head(m, data[i], err);
        }
        i += used;
    }
    return rc;
}

int bth_multipart_finish(const struct bth_multipart *m, struct berth_error *err) {
    return m->state == EPILOGUE
               ? 0
               : bth_error(err, BERTH_EINVAL, "the form ends before its last boundary");
}

int bth_multipart_create(const char *content_type, const struct bth_multipart_sink *sink,
                         struct bth_multipart **out, struct berth_error *err) {
    char boundary[MAX_BOUNDARY + 1];
    if (!content_type || !find_boundary(content_type, boundary)) {
        return bth_error(err, BERTH_EINVAL, "the body must be multipart/form-data with a boundary");
    }
    struct bth_multipart *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        return bth_error_nomem(err);
    }
    m->sink = *sink;
    m->n_delimiter = 4 + strlen(boundary);
    memcpy(m->delimiter, "\r\n--", 4);
    strcpy(m->delimiter + 4, boundary);
    m->matched = 2; /* the first line may be a boundary */
    *out = m;
    return 0;
}

void bth_multipart_destroy(struct bth_multipart *m) {
    bth_free(m);
}
