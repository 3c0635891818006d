/* tests/lib/golden.h - what tests/golden/whisper/ holds, as JSON. */
#ifndef BTH_TEST_GOLDEN_H
#define BTH_TEST_GOLDEN_H

#include "lib/test.h"
#include <jansson.h>

/* A number, NaN where the original had none. */
static inline double golden_number(json_t *v) {
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static inline const char *golden_text(json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

static inline json_t *golden_read(const char *name) {
    char path[512];
    json_error_t why;
    snprintf(path, sizeof(path), BTH_TEST_DATA "/golden/whisper/%s.json", name);
    json_t *v = json_load_file(path, 0, &why);
    if (!v) {
        TEST_FAIL("%s: %s", path, why.text);
    }
    return v;
}

/* The sound of a case, checked to be the very file that the original heard; `out` is 4096 bytes. */
static inline void golden_sound(json_t *c, const char *material, char *out) {
    char digest[65] = "";
    snprintf(out, 4096, "%s/%s.wav", material, golden_text(c, "audio"));
    setenv("BERTH_SOUND", out, 1); /* quoted by the shell, whatever it holds */
    FILE *f = popen("sha256sum < \"$BERTH_SOUND\"", "r");
    CHECK(f && fgets(digest, sizeof(digest), f));
    pclose(f);
    if (strcmp(digest, golden_text(c, "sha256")) != 0) {
        TEST_FAIL("%s is not the file that the original heard", out);
    }
}

#endif
