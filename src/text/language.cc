#include "text/language.h"

#include <cstdio> /* which cld2 forgets */
#include <cstring>
#include <exception>

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

namespace {

/* The whole characters of the first bytes that count. */
size_t head(const char *text, size_t n, bool html) {
    const size_t most = html ? BTH_LANGUAGE_HTML : BTH_LANGUAGE_TEXT;
    if (n <= most) {
        return n;
    }
    n = most;
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) {
        n--;
    }
    return n;
}

/* cld2's own names where they are not BCP 47's of today. */
const char *modern(const char *code) {
    static const char *const names[][2] = {
        {"iw", "he"}, {"jw", "jv"}, {"no", "nb"}, {"sr-ME", "sr"}};
    for (const auto &name : names) {
        if (std::strcmp(code, name[0]) == 0) {
            return name[1];
        }
    }
    return code;
}

/* One run of cld2. *out_reliable: it would bet on the first. */
int run(const char *text, size_t n, bool html, int flags, bth_language_guess *out,
        bool *out_reliable) {
    CLD2::Language languages[BTH_MAX_GUESSES];
    const CLD2::CLDHints hints = {nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
    double scores[BTH_MAX_GUESSES];
    int percents[BTH_MAX_GUESSES], bytes = 0, valid = 0, found = 0;
    const int size = static_cast<int>(n);
    CLD2::ExtDetectLanguageSummaryCheckUTF8(text, size, !html, &hints, flags, languages, percents,
                                            scores, nullptr, &bytes, out_reliable, &valid);
    for (int i = 0; i < BTH_MAX_GUESSES && valid == size; i++) {
        if (languages[i] == CLD2::UNKNOWN_LANGUAGE || percents[i] <= 0) {
            continue;
        }
        bth_language_guess *g = &out[found++];
        std::snprintf(g->code, sizeof(g->code), "%s", modern(CLD2::LanguageCode(languages[i])));
        g->confidence = percents[i];
    }
    return found;
}

int guess(const char *text, size_t n, bool html, bth_language_guess *out) {
    bool reliable = false;
    int found = run(text, n, html, 0, out, &reliable);
    const bool forced = found == 0;
    if (forced) { /* a few words: an answer all the same */
        found = run(text, n, html, CLD2::kCLDFlagBestEffort, out, &reliable);
    }
    for (int i = 0; i < found; i++) {
        out[i].confidence /= forced ? 4 : reliable ? 1 : 2;
    }
    return found;
}

} // namespace

extern "C" int bth_language_detect(const char *text, size_t n, bool html,
                                   bth_language_guess out[BTH_MAX_GUESSES],
                                   struct berth_error *err) {
    try {
        return guess(text, head(text, n, html), html, out);
    } catch (const std::exception &) { /* it allocates, and nothing else can fail */
        if (err) {
            err->code = BERTH_ENOMEM;
            std::snprintf(err->message, sizeof(err->message), "%s", berth_strerror(BERTH_ENOMEM));
        }
        return BERTH_ENOMEM;
    }
}
