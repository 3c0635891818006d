#include "base/compiler.h"
#include "cli/args.h"
#include "cli/cli.h"
#include <stdio.h>

int bth_cmd_version(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(NULL, 0, argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts("Usage: berth version\n\nPrints the version of the command and of the library.");
    } else {
        printf("berth %s (library %s)\n", BERTH_VERSION_STRING, berth_version());
    }
    bth_args_finish(&args);
    return CLI_OK;
}
