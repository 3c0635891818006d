#include "base/error.h"
#include "base/str.h"
#include "lib/test.h"

/* However long the text and wherever it is cut, a message is valid UTF-8 and terminated. */
static void cut(const char *character) {
    char text[600];
    for (size_t shift = 0; shift < 4; shift++) {
        size_t n = shift;
        memset(text, 'x', shift);
        while (n + strlen(character) < sizeof(text)) {
            memcpy(text + n, character, strlen(character));
            n += strlen(character);
        }
        text[n] = '\0';
        struct berth_error err;
        CHECK_INT(bth_error(&err, BERTH_EIO, "%s", text), BERTH_EIO);
        size_t have = strlen(err.message);
        CHECK(have + strlen(character) >= sizeof(err.message) && bth_utf8_valid(err.message, have));
        bth_error_prefix(&err, "%.50s: ", text + shift);
        CHECK_INT(err.code, BERTH_EIO);
        CHECK(strncmp(err.message, text + shift, 40) == 0);
    }
}

int main(void) {
    struct berth_error err = {0}, copy = {0};
    CHECK_INT(bth_error(&err, BERTH_EFORMAT, "tensor %s: %d", "a", 7), BERTH_EFORMAT);
    CHECK_STR(err.message, "tensor a: 7");
    bth_error_prefix(&err, "%s: ", "file");
    bth_error_prefix(NULL, "%s: ", "nobody listens");
    CHECK_STR(err.message, "file: tensor a: 7");
    CHECK_INT(bth_error_copy(&copy, &err), BERTH_EFORMAT);
    CHECK_STR(copy.message, "file: tensor a: 7");
    CHECK_INT(bth_error_copy(NULL, &err), BERTH_EFORMAT);
    CHECK_INT(bth_error_nomem(&err), BERTH_ENOMEM);
    CHECK(err.message[0]);
    bth_error(&err, BERTH_EINVAL, "not '%s'", "caf\xE9 \xE6\x97z \xEF\xBF\xBD"); /* quoted bytes */
    CHECK_STR(err.message, "not 'caf? ??z \xEF\xBF\xBD'");
    bth_error_prefix(&err, "%s: ", "\xFF");
    CHECK_STR(err.message, "?: not 'caf? ??z \xEF\xBF\xBD'");
    CHECK_INT(bth_error(NULL, BERTH_EBUSY, "nobody listens"), BERTH_EBUSY);
    CHECK_INT(bth_error_nomem(NULL), BERTH_ENOMEM);
    cut("a");
    cut("\xC3\xA9");
    cut("\xE6\x97\xA5");
    cut("\xF0\x9F\x98\x80");

#define X(name, number, text)                                                                      \
    CHECK_INT(BERTH_##name, -(number));                                                            \
    CHECK_STR(berth_error_name(BERTH_##name), #name);                                              \
    CHECK_STR(berth_strerror(BERTH_##name), text);
    BERTH_ERROR_MAP(X)
#undef X
    CHECK_STR(berth_error_name(0), "OK");
    CHECK_STR(berth_error_name(-9999), "EUNKNOWN");
    CHECK(berth_strerror(12345)[0]);
    CHECK(berth_error_retryable(BERTH_ETIMEDOUT) && !berth_error_retryable(BERTH_EINVAL));
    CHECK(!berth_error_retryable(0));
    return 0;
}
