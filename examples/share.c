/*
 * share.c - threads that know nothing of each other share one model: example_share MODEL FILE...
 *
 * Each thread takes a lease of its own. The first one's acquire loads the model, the others wait
 * for the same load; their requests step through the network together.
 */
#include <berth/berth.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct task {
    struct berth *berth;
    const char *model, *file;
    pthread_t thread;
    bool failed;
};

static void *work(void *arg) {
    struct task *t = arg;
    struct berth_lease *lease;
    struct berth_item *item;
    struct berth_error err;
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = t->file};
    request.caller = t->file;
    int rc = berth_acquire(t->berth, t->model, NULL, &lease, &err);
    if (rc == 0) {
        rc = berth_run(lease, &request, &item, &err);
        berth_release(lease);
    }
    if (rc == 0) {
        printf("%s:%s\n", t->file, item->transcript->text);
        berth_item_free(item);
    } else {
        fprintf(stderr, "%s: %s\n", t->file, err.message);
    }
    t->failed = rc < 0;
    return NULL;
}

int main(int argc, char **argv) {
    struct berth *b;
    struct berth_error err;
    if (argc < 3 || berth_open(NULL, &b, &err) < 0) {
        fprintf(stderr, "%s\n", argc < 3 ? "Usage: example_share MODEL FILE..." : err.message);
        return 1;
    }
    int n = argc - 2;
    struct task *tasks = calloc((size_t)n, sizeof(*tasks));
    int failed = tasks ? 0 : 1;
    for (int i = 0; tasks && i < n; i++) {
        tasks[i] = (struct task){.berth = b, .model = argv[1], .file = argv[2 + i]};
        if (pthread_create(&tasks[i].thread, NULL, work, &tasks[i]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            return 1;
        }
    }
    for (int i = 0; tasks && i < n; i++) {
        pthread_join(tasks[i].thread, NULL);
        failed += tasks[i].failed;
    }
    free(tasks);
    berth_close(b, 1000, NULL);
    return failed > 0;
}
