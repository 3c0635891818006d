#include "base/compiler.h"
#include "cli/args.h"
#include "cli/cli.h"
#include <stdio.h>

enum { MOST = 64 };

static void print_device(const struct berth_device_info *d) {
    char total[32] = "-", used[32] = "-";
    if (d->total_bytes) {
        snprintf(total, sizeof(total), "%.1f GiB", (double)d->total_bytes / (1 << 30));
    }
    if (d->used_bytes) {
        snprintf(used, sizeof(used), "%.1f GiB", (double)d->used_bytes / (1 << 30));
    }
    printf("%-8s %10s %10s  %s%s%s%s%s\n", d->name, total, used, d->description,
           d->uuid[0] ? ", " : "", d->uuid, d->problem[0] ? d->description[0] ? ": " : "" : "",
           d->problem);
}

int bth_cmd_devices(int argc, char **argv) {
    struct bth_args args;
    const int rc = bth_args_parse(NULL, 0, argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts("Usage: berth devices\n\nLists the devices of this machine: name for --device, memory "
             "in all and in use by all programs,\nkind, UUID, and why one cannot be used.");
    } else {
        struct berth_device_info devices[MOST];
        const size_t n = berth_device_list(devices, MOST);
        printf("%-8s %10s %10s  %s\n", "DEVICE", "MEMORY", "USED", "WHAT");
        for (size_t i = 0; i < BTH_MIN(n, (size_t)MOST); i++) {
            print_device(&devices[i]);
        }
    }
    bth_args_finish(&args);
    return CLI_OK;
}
