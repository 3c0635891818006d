/* Any bytes as a wheel. */
#include "spacy/spacy_package.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[] = "/tmp/berth-fuzz-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
        abort();
    }
    struct spacy_package *p;
    if (spacy_package_open(path, &p, NULL) == 0) {
        struct spacy_file file;
        if (spacy_package_read(p, "config.cfg", &file, NULL) == 0) {
            spacy_file_close(&file);
        }
        spacy_package_close(p);
    }
    unlink(path);
    return 0;
}
