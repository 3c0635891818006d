#include "server/json_body.h"

#include "base/error.h"
#include <string.h>

int bth_json_field(struct bth_form *f, const char *key, const json_t *value,
                   struct berth_error *err) {
    char number[64];
    switch (json_typeof(value)) {
    case JSON_STRING:
        return bth_form_add(f, key, json_string_value(value), json_string_length(value), err);
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        return bth_form_add(f, key, number, strlen(number), err);
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        return bth_form_add(f, key, number, strlen(number), err);
    case JSON_TRUE:
        return bth_form_add(f, key, "true", 4, err);
    case JSON_FALSE:
        return bth_form_add(f, key, "false", 5, err);
    case JSON_NULL:
        return 0;
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return bth_error(err, BERTH_EINVAL, "%.60s is to be a text, a number or true or false", key);
}

int bth_json_body(struct bth_form *f, const char *text, size_t n, struct berth_error *err) {
    if (n == 0) {
        return 0;
    }
    json_error_t why;
    json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!object) {
        return bth_error(err, BERTH_EINVAL, "the body is not JSON: line %d, column %d: %.100s",
                         why.line, why.column, why.text);
    }
    int rc = json_is_object(object)
                 ? 0
                 : bth_error(err, BERTH_EINVAL, "the body is to be a JSON object");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        rc = rc < 0 ? rc : bth_json_field(f, key, value, err);
    }
    json_decref(object);
    return rc;
}
