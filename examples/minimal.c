/* minimal.c - a sound file to text: example_minimal MODEL FILE */
#include <berth/berth.h>
#include <stdio.h>

int main(int argc, char **argv) {
    struct berth *b;
    struct berth_lease *lease;
    struct berth_item *item;
    struct berth_error err;
    struct berth_request request = BERTH_REQUEST_INIT;
    if (argc != 3 || berth_open(NULL, &b, &err) < 0) {
        fprintf(stderr, "%s\n", argc != 3 ? "Usage: example_minimal MODEL FILE" : err.message);
        return 1;
    }
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = argv[2]};
    int rc = berth_acquire(b, argv[1], NULL, &lease, &err);
    if (rc == 0) {
        rc = berth_run(lease, &request, &item, &err);
        berth_release(lease);
    }
    if (rc == 0) {
        puts(item->transcript->text);
        berth_item_free(item);
    } else {
        fprintf(stderr, "%s\n", err.message);
    }
    berth_close(b, 1000, NULL);
    return rc < 0;
}
