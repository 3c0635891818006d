/* GPT-2's pattern for pieces that BPE never merges across. Source: openai/gpt-2, encoder.py. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/bpe_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include <pcre2.h>

/* White space is Unicode's White_Space property: PCRE2's \s with UCP also takes U+180E. */
#define SPACE                                                                                      \
    "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"       \
    "\\x{3000}"

/* Letters and numbers of Unicode 15 and 16, which tiktoken 0.14 knows and PCRE2 10.42 (Unicode 14)
 * does not. With them the pieces depend on no library's version. */
#define LETTER                                                                                     \
    "\\p{L}\\x{1C89}\\x{1C8A}\\x{A7CB}-\\x{A7CD}\\x{A7DA}-\\x{A7DC}\\x{105C0}-\\x{105F3}"          \
    "\\x{10D4A}-\\x{10D65}\\x{10D6F}-\\x{10D85}\\x{10EC2}-\\x{10EC4}\\x{1123F}\\x{11240}"          \
    "\\x{11380}-\\x{11389}\\x{1138B}\\x{1138E}\\x{11390}-\\x{113B5}\\x{113B7}\\x{113D1}"           \
    "\\x{113D3}\\x{11BC0}-\\x{11BE0}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}"          \
    "\\x{1342F}\\x{13441}-\\x{13446}\\x{13460}-\\x{143FA}\\x{16100}-\\x{1611D}"                    \
    "\\x{16D40}-\\x{16D6C}\\x{18CFF}\\x{1B132}\\x{1B155}\\x{1DF25}-\\x{1DF2A}"                     \
    "\\x{1E030}-\\x{1E06D}\\x{1E4D0}-\\x{1E4EB}\\x{1E5D0}-\\x{1E5ED}\\x{1E5F0}\\x{2B739}"          \
    "\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}"
#define NUMBER                                                                                     \
    "\\p{N}\\x{10D40}-\\x{10D49}\\x{116D0}-\\x{116E3}\\x{11BF0}-\\x{11BF9}\\x{11F50}-\\x{11F59}"   \
    "\\x{16130}-\\x{16139}\\x{16D70}-\\x{16D79}\\x{1CCF0}-\\x{1CCF9}\\x{1D2C0}-\\x{1D2D3}"         \
    "\\x{1E4F0}-\\x{1E4F9}\\x{1E5F1}-\\x{1E5FA}"
static const char pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTER "]+| ?[" NUMBER "]+| ?[^" SPACE LETTER NUMBER "]+|[" SPACE
    "]+(?![^" SPACE "])|[" SPACE "]+";

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
