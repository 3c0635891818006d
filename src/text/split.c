/* GPT-2's pattern for pieces that BPE never merges across. Source: openai/gpt-2, encoder.py. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/bpe_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include <pcre2.h>

/* White space is Unicode's White_Space property: PCRE2's \s with UCP also takes U+180E. */
#define SPACE "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
static const char pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE
                              "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";

struct bth_split {
    pcre2_code *code;
};

int bth_split_create(struct bth_split **out, struct berth_error *err) {
    struct bth_split *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    int code;
    PCRE2_SIZE at;
    s->code = pcre2_compile((PCRE2_SPTR)pattern, sizeof(pattern) - 1,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &code, &at, NULL);
    if (!s->code) {
        bth_free(s);
        return bth_error_nomem(err);
    }
    *out = s;
    return 0;
}

void bth_split_destroy(struct bth_split *s) {
    if (s) {
        pcre2_code_free(s->code);
        bth_free(s);
    }
}

int64_t bth_split_next(const struct bth_split *s, const char *text, size_t n, size_t at,
                       struct berth_error *err) {
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (!match) {
        return bth_error_nomem(err);
    }
    int rc = pcre2_match(s->code, (PCRE2_SPTR)text, n, at, PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK,
                         match, NULL);
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
    int64_t length = rc > 0 && span[1] > at ? (int64_t)(span[1] - at) : 0;
    pcre2_match_data_free(match);
    if (length > 0) {
        return length;
    }
    return bth_error(err, BERTH_ETOOLARGE, "the text cannot be split into words (code %d)", rc);
}
