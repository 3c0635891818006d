/* berth translate with toys, which say what they hear: texts, files, standard input, a way by a
 * third language, and what is wrong with a command. */
#include "base/compiler.h"
#include "lib/files.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include <sys/wait.h>

static struct test_dir dir;
static char config[512];

/* Runs the command with `input` as its standard input; both outputs in `out`. The exit status. */
static int berth(const char *arguments, const char *input, char out[4096]) {
    char command[2048], path[512];
    test_dir_write(&dir, "input", input, strlen(input));
    snprintf(command, sizeof(command), "'%s' translate --local --config '%s' %s <'%s' 2>&1",
             BTH_TEST_BERTHD, config, arguments, test_dir_path(&dir, "input", path));
    FILE *p = popen(command, "r");
    CHECK(p);
    size_t n = fread(out, 1, 4095, p);
    out[n] = '\0';
    int status = pclose(p);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void says(const char *arguments, const char *input, const char *expected) {
    char out[4096];
    int status = berth(arguments, input, out);
    if (status != 0 || strcmp(out, expected) != 0) {
        TEST_FAIL("%s: %d \"%s\"", arguments, status, out);
    }
}

static void fails(const char *arguments, int expected, const char *part) {
    char out[4096];
    int status = berth(arguments, "x", out);
    if (status != expected || !strstr(out, part)) {
        TEST_FAIL("%s: %d \"%s\"", arguments, status, out);
    }
}

/* Two models that talk nonsense, one behind the other: the first keeps the terms, the second has
 * their translations, whatever else they say. */
static void test_glossary(void) {
    static const char yaml[] = "models:\n"
                               "  marian/nl-en: {path: %s}\n"
                               "  marian/en-pt: {path: %s}\n";
    static const char terms[] = "# Dutch to Portuguese\none\tUM\r\nTwo\tDOIS\n\nhttp://two.nl\tX\n";
    char *model = tiny_marian_dir(), out[4096], path[512], arguments[1024], text[1200];
    tiny_marian_hf(tiny_marian_shape(0), model);
    snprintf(text, sizeof(text), yaml, model, model);
    test_dir_write(&dir, "berth.yaml", text, strlen(text));
    test_dir_write(&dir, "terms", terms, sizeof(terms) - 1);
    test_dir_path(&dir, "terms", path);
    static const char *const ways[] = {"--from en --to pt", "--from nl --to pt --pivot en",
                                       "--from nl --to pt --pivot en --alternatives 1",
                                       "--from nl --to pt --pivot en --html"};
    for (size_t i = 0; i < BTH_COUNT(ways); i++) {
        snprintf(arguments, sizeof(arguments),
                 "%s --max_length 12 --glossary '%s' 'three one four, Two.'", ways[i], path);
        CHECK_INT(berth(arguments, "", out), 0);
        if (!strstr(out, "UM") || !strstr(out, "DOIS") || strstr(out, "X")) {
            TEST_FAIL("%s: \"%s\"", arguments, out);
        }
    }
    snprintf(arguments, sizeof(arguments),
             "--from nl --to pt --pivot en --json --max_length 12 --glossary '%s' 'one one'", path);
    CHECK_INT(berth(arguments, "", out), 0);
    CHECK(strstr(out, "\"pivot\":\"en\"") && strstr(out, "\"translation\":\"UM\",\"found\":2"));
    test_dir_write(&dir, "terms", "one\n", 4);
    fails(arguments, 1, "line 1 of the glossary");
    test_dir_write(&dir, "terms", "one\ttwo\n\xff\ttwo\n", 14);
    fails(arguments, 1, "line 2 of the glossary is not valid UTF-8");
    test_dir_write(&dir, "terms", " one\ttwo\n", 9);
    fails(arguments, 1, "without blanks around the term");
    fails("--from en --to pt --glossary /nowhere/terms x", 1, "/nowhere/terms");
    tiny_marian_remove(model);
}

int main(void) {
    static const char toy[] = "berth-toy 1\n";
    static const char yaml[] = "models:\n"
                               "  marian/en-pt: {path: toy, engine: toy}\n"
                               "  marian/nl-en: {path: toy, engine: toy, alias: dutch}\n"
                               "  marian/x: {path: toy, engine: toy, alias: marian/fr-nl}\n";
    char file[512], arguments[1200];
    test_dir_open(&dir);
    test_dir_write(&dir, "toy", toy, sizeof(toy) - 1);
    test_dir_write(&dir, "berth.yaml", yaml, sizeof(yaml) - 1);
    test_dir_write(&dir, "a.txt", "one\r\n\ttwo", 9);
    test_dir_path(&dir, "berth.yaml", config);
    test_dir_path(&dir, "a.txt", file);

    says("--from en --to pt one 'two three'", "", "one\ntwo three\n");
    says("--from en --to pt", " in\n\nput\t", " in\n\nput\t");
    says("--from en --to pt", "", "");
    snprintf(arguments, sizeof(arguments), "--from en --to pt -F '%s' -F '%s' last", file, file);
    says(arguments, "", "one\r\n\ttwoone\r\n\ttwolast\n");
    says("--to pt 'The quick brown fox jumps over the lazy dog'", "",
         "The quick brown fox jumps over the lazy dog\n");
    says("--from nl --to pt --pivot en een", "",
         "berth: translate: from nl to pt by way of English\neen\n");
    says("--from fr --to en --pivot auto un", "",
         "berth: translate: from fr to en by way of Dutch\nun\n");
    says("--model dutch een", "", "een\n");
    says("--from en --to pt --json one", "",
         "{\"source\":\"en\",\"target\":\"pt\",\"translation\":{\"text\":\"one\",\"alternatives\":["
         "],"
         "\"sentences\":[]}}\n");
    snprintf(arguments, sizeof(arguments), "--from en --to pt -F '%s' -o '%s/out'", file, dir.path);
    says(arguments, "", "");
    snprintf(arguments, sizeof(arguments), "--from en --to pt -F '%s/out/a.txt'", dir.path);
    says(arguments, "", "one\r\n\ttwo");

    fails("", 2, "say --to LANG");
    fails("--model dutch --to pt", 2, "--model takes no");
    fails("--from nl --to pt een", 1, "there are: en-pt, nl-en");
    fails("--from nl --to pt --pivot fr een", 1, "by way of fr");
    fails("--to pt 12", 1, "say --from LANG");
    fails("--from en --to pt -F /nowhere/file", 1, "/nowhere/file");
    fails("--from en --to pt --threads x a", 1, "1 to 1024");
    fails("--from en --to pt --beams 4 a", 1, "toy does not know the option");
    fails("--nonsense", 2, "nonsense");
    snprintf(arguments, sizeof(arguments), "%s/out/a.txt", dir.path);
    CHECK(remove(arguments) == 0);
    snprintf(arguments, sizeof(arguments), "%s/out", dir.path);
    CHECK(remove(arguments) == 0);
    test_glossary();
    test_dir_close(&dir);
    return 0;
}
