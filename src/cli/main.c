#include "base/compiler.h"
#include "base/fs.h"
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static const struct bth_verb verbs[] = {
    {"transcribe", "speech to text, or to English text", bth_cmd_transcribe},
    {"translate", "texts, files or standard input into another language", bth_cmd_translate},
    {"nlp", "words, syntax and entities of texts, by spaCy's pipelines", bth_cmd_nlp},
    {"serve", "the daemon berthd: the models over HTTP for all programs", bth_cmd_serve},
    {"ps", "the requests that the daemon has, or the leases", bth_cmd_ps},
    {"stats", "the daemon's models and devices in numbers", bth_cmd_stats},
    {"load", "has the daemon load a model", bth_cmd_load},
    {"unload", "has the daemon unload a model", bth_cmd_unload},
    {"disable", "has the daemon refuse a model, and unload it", bth_cmd_disable},
    {"enable", "has the daemon give it out again", bth_cmd_enable},
    {"plan", "what a load would come to now", bth_cmd_plan},
    {"lease", "runs a command while a model is leased", bth_cmd_lease},
    {"config", "checks a configuration, or has the daemon read its own again", bth_cmd_config},
    {"stop", "stops the daemon", bth_cmd_stop},
    {"models", "the models that could be used, and their state", bth_cmd_models},
    {"devices", "the CPU and GPUs of this machine, and what is wrong with them", bth_cmd_devices},
    {"decode", "the sound of a file as the models hear it", bth_cmd_decode},
    {"version", "the version of this program", bth_cmd_version},
};

int bth_cli_fail(const char *what, const struct berth_error *err) {
    fprintf(stderr, "berth: %s: %s\n", what, err->message);
    return CLI_FAILED;
}

const char *bth_cli_state(enum berth_model_state state) {
    switch (state) {
    case BERTH_MODEL_ABSENT:
        return "not loaded";
    case BERTH_MODEL_LOADING:
        return "loading";
    case BERTH_MODEL_READY:
        return "ready";
    case BERTH_MODEL_DRAINING:
        return "draining";
    case BERTH_MODEL_DISABLED:
        return "disabled";
    }
    return "unknown";
}

const char *bth_cli_server(const char *server, const char *local, const char *model) {
    bool path = model && (*model == '/' || strncmp(model, "./", 2) == 0 ||
                          strncmp(model, "../", 3) == 0 || bth_is_dir(model));
    return local || (path && !server) ? "none" : server;
}

static void help(FILE *to) {
    fputs("Usage: berth VERB [OPTION]... [OPERAND]...\n\n"
          "Speech, translation and language models, shared by all who need them.\n\n",
          to);
    for (size_t i = 0; i < BTH_COUNT(verbs); i++) {
        fprintf(to, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
    }
    fputs(
        "\n'berth VERB --help' explains one. Models are named in a YAML file: --config FILE, else\n"
        "BERTH_CONFIG, else berth/berth.yaml in the user's configuration folder, else\n"
        "/etc/berth/berth.yaml; a model can also be given as a path.\n\n"
        "The models are those of a daemon if there is one: --server ADDRESS, else BERTH_SERVER,\n"
        "else the usual socket. Without one, with --local, with --config and its like, or with a\n"
        "path, the work is done in this process.\n",
        to);
}

/* Whether the program was called by its second name. */
static bool is_berthd(const char *program) {
    const char *slash = strrchr(program, '/');
    return strcmp(slash ? slash + 1 : program, "berthd") == 0;
}

int main(int argc, char **argv) {
    if (argc > 0 && is_berthd(argv[0])) {
        argv[0] = (char[]){"serve"};
        return bth_cmd_serve(argc, argv);
    }
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return CLI_OK;
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; i < BTH_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "berth: there is no verb '%s'\nTry 'berth --help'.\n", argv[1]);
    return CLI_USAGE;
}
