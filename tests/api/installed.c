/* Knows only the installed headers and library: runs one request on a toy model it writes to
 * FOLDER. */
#include <berth/berth.h>
#include <stdio.h>
#include <string.h>

static int fail(const struct berth_error *err) {
    fprintf(stderr, "%s: %s\n", berth_error_name(err->code), err->message);
    return 1;
}

int main(int argc, char **argv) {
    struct berth *b;
    struct berth_lease *lease;
    struct berth_item *item;
    struct berth_error err;
    char path[4096];
    if (argc != 2 || strcmp(berth_version(), BERTH_VERSION_STRING) != 0) {
        return 2;
    }
    snprintf(path, sizeof(path), "%s/toy-model", argv[1]);
    FILE *f = fopen(path, "w");
    if (!f) {
        return 2;
    }
    fputs("berth-toy 1\n", f);
    fclose(f);
    struct berth_config config = BERTH_CONFIG_INIT;
    const struct berth_model_spec spec = {.name = "toy/parrot", .path = path};
    config.file = "";
    config.models = &spec;
    config.n_models = 1;
    if (berth_open(&config, &b, &err) < 0 ||
        berth_acquire(b, "toy/parrot", NULL, &lease, &err) < 0) {
        return fail(&err);
    }
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "ahoy", .size = 4};
    if (berth_run(lease, &request, &item, &err) < 0) {
        return fail(&err);
    }
    puts(item->text);
    int wrong = strcmp(item->text, "ahoy") != 0;
    berth_item_free(item);
    berth_release(lease);
    return berth_close(b, 1000, &err) < 0 ? fail(&err) : wrong;
}
