/* Errors as HTTP and as OpenAI's clients know them. */
#include "base/clock.h"
#include "base/error.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include <stdio.h>
#include <string.h>

int bth_error_status(int code) {
    switch (code) {
    case BERTH_EINVAL:
    case BERTH_EUNSUPPORTED:
    case BERTH_EAUDIO:
        return 400;
    case BERTH_ENOTFOUND:
        return 404;
    case BERTH_EBUSY:
    case BERTH_ESTATE:
    case BERTH_EUPGRADE:
    case BERTH_EDEADLOCK:
        return 409;
    case BERTH_ELOST: /* a session or a lease that was */
        return 410;
    case BERTH_ETOOLARGE:
        return 413;
    case BERTH_EOVERLOADED:
        return 429;
    case BERTH_ENOMEM:
    case BERTH_EBUDGET:
    case BERTH_ESHUTDOWN:
    case BERTH_ECANCELLED:
    case BERTH_EREVOKED:
    case BERTH_EDISABLED:
    case BERTH_EDEVICE:
        return 503;
    case BERTH_ETIMEDOUT:
        return 504;
    default:
        return 500;
    }
}

/* OpenAI's words where it has one for the case. */
static const char *openai_code(int status, const char *code) {
    switch (status) {
    case 401:
        return "invalid_api_key";
    case 404:
        return strcmp(code, "ENOTFOUND") == 0 ? "model_not_found" : code;
    case 429:
        return "rate_limit_exceeded";
    default:
        return code;
    }
}

static const char *error_type(int status) {
    if (status == 401) {
        return "authentication_error";
    }
    if (status == 429) {
        return "rate_limit_error";
    }
    return status < 500 ? "invalid_request_error" : "server_error";
}

static void put_error(struct bth_str *out, int status, const char *message, const char *code,
                      const char *param) {
    bth_str_puts(out, "{\"error\":{");
    bth_json_put_string(out, "message", message);
    bth_json_put_string(out, "type", error_type(status));
    bth_json_put_string(out, "param", param);
    bth_json_put_string(out, "code", code);
    bth_str_puts(out, "}}");
}

void bth_error_json(struct bth_str *out, const struct berth_error *err, const char *code,
                    const char *param) {
    put_error(out, bth_error_status(err->code), err->message, code, param);
}

/* When a place may be free: the queue at the speed of late. */
static int retry_after(struct bth_exchange *x) {
    struct bth_server *s = x->server;
    server_lock(s);
    double queue = (double)s->n_busy;
    server_unlock(s);
    double seconds = bth_histogram_mean(&s->metrics.duration) * queue / 8;
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int)seconds;
}

static void answer_with(struct bth_exchange *x, int status, const char *message, const char *code,
                        const char *param) {
    struct bth_str text = {0};
    if (!x->route || !x->route->native) {
        code = openai_code(status, code);
    }
    if (status == 429 || status == 503) {
        x->retry_after_s = retry_after(x);
    }
    if (x->route && x->route->libre) {
        bth_str_putc(&text, '{');
        bth_json_put_string(&text, "error", message);
        bth_str_putc(&text, '}');
    } else {
        put_error(&text, status, message, code, param);
    }
    bth_str_putc(&text, '\n');
    if (text.failed) { /* the status says enough */
        bth_str_finish(&text);
        bth_answer(x, status, "application/json", NULL);
        return;
    }
    bth_answer(x, status, "application/json", &text);
}

void bth_answer_error(struct bth_exchange *x, const struct berth_error *err, const char *param) {
    int status = bth_error_status(err->code);
    /* clients would repeat what cannot succeed */
    x->never_retry = status >= 500 && !berth_error_retryable(err->code) &&
                     err->code != BERTH_ESHUTDOWN && err->code != BERTH_ENOMEM;
    if (status == 404 && !param) {
        param = "model";
    }
    answer_with(x, status, err->message, berth_error_name(err->code), param);
}

void bth_answer_refusal(struct bth_exchange *x, int status, const char *code, const char *message) {
    answer_with(x, status, message, code, NULL);
}

void bth_answer_untrusted(struct bth_exchange *x, const char *code, const char *what) {
    char message[192];
    snprintf(message, sizeof(message),
             "only the server's own user on its Unix socket, or the holder of an API key, may %s",
             what);
    bth_answer_refusal(x, 403, code, message);
}

void bth_answer_json(struct bth_exchange *x, struct bth_str *text) {
    bth_str_putc(text, '\n');
    if (text->failed) {
        struct berth_error err;
        bth_error_nomem(&err);
        bth_str_finish(text);
        bth_answer_error(x, &err, NULL);
        return;
    }
    bth_answer(x, 200, "application/json", text);
}
