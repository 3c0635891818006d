/* Runs a fuzz target over every file of the folders and files named: the corpus as a plain test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_files;

static void replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t capacity = 1 << 16, n = 0;
    uint8_t *buf = malloc(capacity);
    for (size_t got; buf && (got = fread(buf + n, 1, capacity - n, f)) > 0;) {
        n += got;
        if (n == capacity) {
            buf = realloc(buf, capacity *= 2);
        }
    }
    fclose(f);
    if (!buf) {
        exit(1);
    }
    uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees one byte too many */
    for (size_t i = 0; exact && i < n; i++) {
        exact[i] = buf[i];
    }
    free(buf);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    n_files++;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) {
            replay_file(argv[i]);
            continue;
        }
        for (struct dirent *e; (e = readdir(d));) {
            char path[4096];
            struct stat st;
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
                replay_file(path);
            }
        }
        closedir(d);
    }
    printf("%d inputs replayed\n", n_files);
    return n_files > 0 ? 0 : 1;
}
