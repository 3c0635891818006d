#include "spacy/spacy_unicode.h"

#include "base/pystr.h"
#include <utf8proc.h>

struct range {
    uint32_t first, last;
};

/* Numeric_Type=Digit outside of category Nd. */
static const struct range digits[] = {
    {0x00B2, 0x00B3},   {0x00B9, 0x00B9},   {0x1369, 0x1371},   {0x19DA, 0x19DA},
    {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
    {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
    {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
    {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
/* Other_Uppercase. */
static const struct range upper[] = {
    {0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
/* Other_Lowercase. */
static const struct range lower[] = {
    {0x00AA, 0x00AA},   {0x00BA, 0x00BA},   {0x02B0, 0x02B8},   {0x02C0, 0x02C1},  {0x02E0, 0x02E4},
    {0x0345, 0x0345},   {0x037A, 0x037A},   {0x1D2C, 0x1D6A},   {0x1D78, 0x1D78},  {0x1D9B, 0x1DBF},
    {0x2071, 0x2071},   {0x207F, 0x207F},   {0x2090, 0x209C},   {0x2170, 0x217F},  {0x24D0, 0x24E9},
    {0x2C7C, 0x2C7D},   {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},  {0xAB5C, 0xAB5F},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}};
/* Case_Ignorable beyond Mn, Me, Cf, Lm and Sk. */
static const struct range ignorable[] = {
    {0x0027, 0x0027}, {0x002E, 0x002E}, {0x003A, 0x003A}, {0x00B7, 0x00B7},
    {0x0387, 0x0387}, {0x055F, 0x055F}, {0x05F4, 0x05F4}, {0x2018, 0x2019},
    {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52},
    {0xFE55, 0xFE55}, {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A}};

/* Assigned in Unicode 15: not yet characters here, as for Python 3.11 and PCRE2 10.42, so that
 * words do not depend on which libraries meet. */
static const struct range newer[] = {
    {0x0CF3, 0x0CF3},   {0x0ECE, 0x0ECE},   {0x10EFD, 0x10EFF}, {0x1123F, 0x11241},
    {0x11B00, 0x11B09}, {0x11F00, 0x11F10}, {0x11F12, 0x11F3A}, {0x11F3E, 0x11F59},
    {0x1342F, 0x1342F}, {0x13439, 0x13455}, {0x1B132, 0x1B132}, {0x1B155, 0x1B155},
    {0x1D2C0, 0x1D2D3}, {0x1DF25, 0x1DF2A}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F},
    {0x1E4D0, 0x1E4F9}, {0x1F6DC, 0x1F6DC}, {0x1F774, 0x1F776}, {0x1F77B, 0x1F77F},
    {0x1F7D9, 0x1F7D9}, {0x1FA75, 0x1FA77}, {0x1FA87, 0x1FA88}, {0x1FAAD, 0x1FAAF},
    {0x1FABB, 0x1FABD}, {0x1FABF, 0x1FABF}, {0x1FACE, 0x1FACF}, {0x1FADA, 0x1FADB},
    {0x1FAE8, 0x1FAE8}, {0x1FAF7, 0x1FAF8}, {0x2B739, 0x2B739}, {0x31350, 0x323AF}};

/* c is not beyond the last range. */
static bool inside(const struct range *ranges, size_t n, uint32_t c) {
    size_t low = 0;
    while (low < n) {
        size_t mid = low + (n - low) / 2;
        if (c > ranges[mid].last) {
            low = mid + 1;
        } else {
            n = mid;
        }
    }
    return ranges[low].first <= c;
}
#define INSIDE(ranges, c)                                                                          \
    ((c) <= (ranges)[BTH_COUNT(ranges) - 1].last && inside(ranges, BTH_COUNT(ranges), c))

static unsigned category_bits(utf8proc_category_t category) {
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
        return SPACY_CHAR_ALPHA | SPACY_CHAR_UPPER | SPACY_CHAR_LU;
    case UTF8PROC_CATEGORY_LL:
        return SPACY_CHAR_ALPHA | SPACY_CHAR_LOWER;
    case UTF8PROC_CATEGORY_LT:
        return SPACY_CHAR_ALPHA | SPACY_CHAR_TITLE;
    case UTF8PROC_CATEGORY_LM:
        return SPACY_CHAR_ALPHA | SPACY_CHAR_IGNORABLE;
    case UTF8PROC_CATEGORY_LO:
        return SPACY_CHAR_ALPHA;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_SK:
        return SPACY_CHAR_IGNORABLE;
    case UTF8PROC_CATEGORY_ND:
        return SPACY_CHAR_DIGIT;
    case UTF8PROC_CATEGORY_SC:
        return SPACY_CHAR_CURRENCY;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return SPACY_CHAR_PUNCT;
    default:
        return 0;
    }
}

unsigned spacy_char_kind(uint32_t c) {
    unsigned kind = category_bits(utf8proc_category((utf8proc_int32_t)c));
    kind |= bth_py_isspace(c) ? SPACY_CHAR_SPACE : 0;
    kind |= INSIDE(ignorable, c) ? SPACY_CHAR_IGNORABLE : 0;
    if (c >= 0x80) {
        if (INSIDE(newer, c)) {
            return 0;
        }
        kind |= INSIDE(digits, c) ? SPACY_CHAR_DIGIT : 0;
        kind |= INSIDE(upper, c) ? SPACY_CHAR_UPPER : 0;
        kind |= INSIDE(lower, c) ? SPACY_CHAR_LOWER : 0;
    }
    return kind;
}

static bool cased(unsigned kind) {
    return (kind & (SPACY_CHAR_UPPER | SPACY_CHAR_LOWER | SPACY_CHAR_TITLE)) != 0;
}

/* A capital sigma at s[at, next) is a final one: behind a letter that has case, and before none. */
static bool is_final_sigma(const char *s, size_t n, size_t at, size_t next) {
    uint32_t c;
    unsigned kind = 0;
    do {
        if (at == 0) {
            return false;
        }
        at = bth_utf8_before(s, at);
        bth_utf8_decode(s + at, n - at, &c);
        kind = spacy_char_kind(c);
    } while (kind & SPACY_CHAR_IGNORABLE);
    if (!cased(kind)) {
        return false;
    }
    while (next < n) {
        next += bth_utf8_decode(s + next, n - next, &c);
        kind = spacy_char_kind(c);
        if (!(kind & SPACY_CHAR_IGNORABLE)) {
            return !cased(kind);
        }
    }
    return true;
}

void spacy_lower(struct bth_str *out, const char *s, size_t n) {
    for (size_t at = 0; at < n;) {
        const unsigned char first = (unsigned char)s[at];
        if (first < 0x80) {
            bth_str_putc(out, (char)(first >= 'A' && first <= 'Z' ? first + ('a' - 'A') : first));
            at++;
            continue;
        }
        uint32_t c;
        size_t next = at + bth_utf8_decode(s + at, n - at, &c);
        char bytes[4];
        if (c == 0x130) {
            bth_str_puts(out, "i\xCC\x87"); /* i and a dot above it: two code points */
        } else {
            uint32_t small = c == 0x3A3 && is_final_sigma(s, n, at, next)
                                 ? 0x3C2
                                 : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
            bth_str_append(out, bytes, bth_utf8_encode(small, bytes));
        }
        at = next;
    }
}
