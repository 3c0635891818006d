/* LibreTranslate's own client, as PyPI has it, is content with what the server answers. Skips where
 * it cannot be installed. */
#include "lib/http.h"

#define ROOT BTH_TEST_DATA "/.."
#define VENV ROOT "/build-python/libretranslatepy"

int main(void) {
    static struct test_server t;
    char url[200];
    char *install[] = {"python_env", VENV, "libretranslatepy==2.1.4", NULL};
    int rc = http_program(ROOT "/tools/python_env", install);
    if (rc == 77) {
        SKIP("libretranslatepy 2.1.4 could not be installed");
    }
    CHECK_INT(rc, 0);
    http_prepare(&t);
    t.pairs[0] = "marian/en-pt";
    t.pairs[1] = "marian/nl-en";
    http_start(&t, NULL);
    snprintf(url, sizeof(url), "http://%s", t.address);
    char *client[] = {VENV "/bin/python",
                      /* it finds its packages by this */ BTH_TEST_DATA "/http/libretranslate.py",
                      url, NULL};
    rc = http_program(VENV "/bin/python", client);
    http_stop(&t);
    return rc;
}
