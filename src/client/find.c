/* Which daemon, if any. */
#include "base/alloc.h"
#include "base/error.h"
#include "client/client.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOLD_MS = 5000, FOUND_MS = 100 };

/* The daemon behind a usual socket. NULL: there is none, or it does not answer at once. */
static struct bth_client *try_socket(const char *folder) {
    char *address = bth_printf("unix:%s/berth/berthd.sock", folder);
    struct stat st;
    struct bth_client *c = NULL;
    if (address && stat(address + strlen("unix:"), &st) == 0 && S_ISSOCK(st.st_mode)) {
        bth_client_open(address, FOUND_MS, &c, NULL);
    }
    bth_free(address);
    return c;
}

int bth_client_find(const char *server, bool settled, struct bth_client **out,
                    struct berth_error *err) {
    const char *named = server ? server : settled ? "none" : getenv("BERTH_SERVER");
    struct bth_client *c = NULL;
    int rc = 0;
    bool search = named && strcmp(named, "auto") == 0;
    if (named && *named && !search) {
        if (strcmp(named, "none") != 0) {
            rc = bth_client_open(named, TOLD_MS, &c, err);
        }
    } else if (server && !search) {
        rc = bth_error(err, BERTH_EINVAL, "server: an empty address");
    } else {
        const char *run = getenv("XDG_RUNTIME_DIR");
        c = run && *run == '/' ? try_socket(run) : NULL;
        c = c ? c : try_socket("/run");
    }
    if (rc == 0) {
        *out = c;
    }
    return rc;
}
