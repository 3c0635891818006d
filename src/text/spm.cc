/* libsentencepiece behind C functions: nothing is thrown through them. */
#include "text/spm_internal.h"

#include <cstdio>
#include <new>
#include <sentencepiece_processor.h>
#include <string>
#include <string_view>
#include <vector>

struct bth_spm_library {
    sentencepiece::SentencePieceProcessor processor;
};

/* Runs `body`, which gives an error code, and turns what it throws into one. */
template <typename F> static int guarded(F body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return BERTH_ENOMEM;
    } catch (...) {
        return BERTH_EFORMAT;
    }
}

int bth_spm_library_load(const char *proto, size_t n, struct bth_spm_library **out, char *why,
                         size_t size) {
    bth_spm_library *l = nullptr;
    snprintf(why, size, "%s", "the library failed");
    int rc = guarded([&] {
        l = new bth_spm_library;
        auto status = l->processor.LoadFromSerializedProto(std::string_view(proto, n));
        if (!status.ok()) {
            snprintf(why, size, "%s", status.error_message());
        }
        return status.ok() ? 0 : static_cast<int>(BERTH_EFORMAT);
    });
    if (rc < 0) {
        bth_spm_library_unload(l);
        return rc;
    }
    *out = l;
    return 0;
}

void bth_spm_library_unload(struct bth_spm_library *l) {
    delete l;
}

int bth_spm_library_encode(const struct bth_spm_library *l, const char *text, size_t n,
                           bth_spm_piece_fn *each, void *user) {
    return guarded([&] {
        sentencepiece::ImmutableSentencePieceText result;
        auto status = l->processor.Encode(std::string_view(text, n), result.mutable_proto());
        int rc = status.ok() ? 0 : static_cast<int>(BERTH_EFORMAT);
        for (size_t i = 0; rc == 0 && i < result.pieces_size(); i++) {
            auto p = result.pieces(static_cast<int>(i));
            rc = each(user, static_cast<int32_t>(p.id()), p.piece().data(), p.piece().size(),
                      p.begin(), p.end());
        }
        return rc;
    });
}

template <typename T>
static int decode(const bth_spm_library *l, const std::vector<T> &pieces,
                  const bth_spm_decoded_ops *ops, void *user) {
    sentencepiece::ImmutableSentencePieceText result;
    auto status = l->processor.Decode(pieces, result.mutable_proto());
    if (!status.ok()) {
        return BERTH_EFORMAT;
    }
    int rc = ops->text(user, result.text().data(), result.text().size());
    for (size_t i = 0; rc == 0 && i < result.pieces_size(); i++) {
        rc = ops->end(user, result.pieces(static_cast<int>(i)).end());
    }
    return rc;
}

int bth_spm_library_decode(const struct bth_spm_library *l, const struct bth_spm_piece *pieces,
                           size_t n, const struct bth_spm_decoded_ops *ops, void *user) {
    return guarded([&] {
        std::vector<std::string_view> views;
        views.reserve(n);
        for (size_t i = 0; i < n; i++) {
            views.emplace_back(pieces[i].text, pieces[i].size);
        }
        return decode(l, views, ops, user);
    });
}

int bth_spm_library_decode_ids(const struct bth_spm_library *l, const int32_t *ids, size_t n,
                               const struct bth_spm_decoded_ops *ops, void *user) {
    return guarded([&] { return decode(l, std::vector<int>(ids, ids + n), ops, user); });
}
