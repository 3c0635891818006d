#include "base/alloc.h"
#include "base/compiler.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/input.h"
#include <stdio.h>
#include <unistd.h>

static const struct bth_arg table[] = {
    {"raw", 0, NULL,
     "samples without a header: signed 16 bit, little-endian, mono, 16 kHz (required)"},
    {"input_format", 0, "s16|f32", "FILE holds raw samples of this kind"},
    {"rate", 0, "HZ", "of raw samples (16000)"},
    {"channels", 0, "N", "of raw samples (1)"},
};

static int write_samples(void *arg, const int16_t *samples, size_t n) {
    return fwrite(samples, sizeof(*samples), n, arg) == n ? 0 : -1;
}

static int decode(const struct bth_args *args) {
    struct berth_error err = {0};
    struct berth_input input;
    char *memory = NULL;
    const char *path = args->rest[0];
    int rc = bth_input_open(path, args->values[1], args->values[2], args->values[3], &input,
                            &memory, &err);
    if (rc == 0) {
        rc = berth_decode(&input, write_samples, stdout, &err);
    }
    bth_free(memory);
    if (rc == 0 && fflush(stdout) == 0) {
        return CLI_OK;
    }
    if (rc == 0 || ferror(stdout)) {
        perror("berth: standard output");
        return CLI_FAILED;
    }
    return bth_cli_fail(path, &err);
}

int bth_cmd_decode(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts("Usage: berth decode --raw FILE >PCM\n\n"
             "Writes the sound of FILE (wav, flac, ogg, opus, mp3) as the models hear it.\n");
        bth_args_help(table, BTH_COUNT(table));
    } else if (args.n_rest != 1 || !args.values[0]) {
        fputs("berth decode: give --raw and one FILE\nTry 'berth decode --help'.\n", stderr);
        rc = CLI_USAGE;
    } else if (isatty(STDOUT_FILENO)) {
        fputs("berth decode: raw samples would garble the terminal; send them to a file\n", stderr);
        rc = CLI_USAGE;
    } else {
        rc = decode(&args);
    }
    bth_args_finish(&args);
    return rc;
}
