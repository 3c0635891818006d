/* What /openapi.json promises is what the server does: schemathesis makes requests of it, good and
 * bad, and judges the answers. Skips where schemathesis cannot be installed. */
#include "lib/http.h"
#include "lib/tiny_whisper.h"

#define ROOT BTH_TEST_DATA "/.."
#define VENV ROOT "/build-python/schemathesis"

static int install(void) {
    char *argv[] = {"python_env", VENV, "schemathesis==4.32.5", NULL};
    return http_program(ROOT "/tools/python_env", argv);
}

/* Some options exclude each other, which a schema of a form cannot say: so valid ones may be
 * refused. "load" is a model's name to GET and a path of its own to POST. */
static int judge(const struct test_server *t) {
    char url[200];
    snprintf(url, sizeof(url), "http://%s/openapi.json", t->address);
    char *argv[] = {"schemathesis",
                    "run",
                    url,
                    "--exclude-path",
                    "/v1/sessions", /* have no end */
                    "--exclude-path",
                    "/v1/events",
                    "--phases",
                    "examples,coverage,fuzzing",
                    "--max-examples",
                    "15",
                    "--seed",
                    "1",
                    "--no-shrink",
                    "--request-timeout",
                    "20",
                    "--suppress-health-check",
                    "all",
                    "--exclude-checks",
                    "positive_data_acceptance,allow_header_conformance",
                    "--no-color",
                    NULL};
    return http_program(VENV "/bin/schemathesis", argv);
}

/* Names that schemathesis cannot guess, so that it gets past 404. */
static void name_models(void) {
    FILE *f = fopen("schemathesis.toml", "we");
    CHECK(f && fputs("[parameters]\nmodel = \"echo\"\nname = \"toy/echo\"\n", f) > 0);
    CHECK(fclose(f) == 0);
}

int main(void) {
    struct test_server t;
    char folder[] = "/tmp/berth-openapi-XXXXXX";
    char *remove_all[] = {"rm", "-rf", folder, NULL};
    int rc = install();
    if (rc == 77) {
        return 77;
    }
    CHECK_INT(rc, 0);
    char *dir = tiny_dir();
    tiny_whisper_ct2(&(struct tiny_whisper)TINY_WHISPER, dir);
    tiny_whisper_tokenizer(&(struct tiny_whisper)TINY_WHISPER, dir);
    CHECK(mkdtemp(folder) && chdir(folder) == 0); /* schemathesis leaves files */
    name_models();
    http_prepare(&t);
    http_start(&t, dir);
    rc = judge(&t);
    http_stop(&t);
    CHECK(chdir("/") == 0);
    CHECK_INT(http_program("/bin/rm", remove_all), 0);
    tiny_dir_remove(dir);
    return rc;
}
