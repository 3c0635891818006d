/* The command's verbs against a daemon, as a person types them: what they print and how they exit.
 */
#include "lib/daemon.h"
#include <fcntl.h>
#include <stdarg.h>

static struct test_daemon d;
static char said[65536]; /* by the last command, on both outputs */

/* Runs `berth` with these words; its exit status. */
static int run(const char *first, ...) {
    const char *words[16] = {"berth", first};
    int pipe_fds[2], status;
    size_t n = 0;
    va_list args;
    va_start(args, first);
    for (int i = 2; i < 15 && (words[i] = va_arg(args, const char *)); i++) {
    }
    va_end(args);
    CHECK(pipe(pipe_fds) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(pipe_fds[1], 1);
        dup2(pipe_fds[1], 2);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        execv(BTH_TEST_BERTHD, (char *const *)words);
        _exit(99);
    }
    close(pipe_fds[1]);
    for (ssize_t got; (got = read(pipe_fds[0], said + n, sizeof(said) - 1 - n)) > 0;) {
        n += (size_t)got;
    }
    said[n] = '\0';
    close(pipe_fds[0]);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(int status, int wanted, const char *text) {
    if (status != wanted || !strstr(said, text)) {
        TEST_FAIL("exit %d, expected %d; no '%s' in: %s", status, wanted, text, said);
    }
}

static void test_running(void) {
    expect(run("load", "echo", NULL), 0, "toy/echo is loaded");
    expect(run("models", NULL), 0, "ready");
    expect(run("models", "--local", NULL), 0, "No models");
    expect(run("stats", NULL), 0, "toy/echo");
    CHECK(strstr(said, "ready") && strstr(said, "committed"));
    expect(run("stats", "--json", NULL), 0, "\"queue_limit\"");
    expect(run("ps", NULL), 0, "REQUEST");
    expect(run("unload", "toy/echo", NULL), 0, "is not loaded");
    expect(run("models", "--server", d.socket, NULL), 0, "not loaded");
    expect(run("load", "toy/none", NULL), 1, "no such model");
    expect(run("load", NULL), 2, "give one MODEL");
    expect(run("load", "echo", "--timeout", "x", NULL), 1, "seconds");
    expect(run("ps", "echo", NULL), 2, "takes no operand");
    expect(run("transcribe", "/dev/null", "--server", d.socket, "--threads", "2", NULL), 1,
           "are the daemon's");
    expect(run("transcribe", "/dev/null", "--model", "toy/echo", NULL), 1, "toy takes text");
}

/* A lease lasts as long as its command, whose exit status it has. */
static void test_lease(void) {
    expect(run("lease", "toy", "--exclusive", "--", "sh", "-c", "$BERTH ps -l; exit 7", NULL), 7,
           "toy                      held     exclusive");
    CHECK(strstr(said, "sh") && strstr(said, "pid"));
    expect(run("lease", "toy", "-x", "--", "sh", "-c", "$BERTH lease -t 0 echo -- true", NULL), 125,
           "held by toy (sh, exclusive)");
    expect(run("lease", "echo", "--", "sh", "-c", "$BERTH models", NULL), 0, "ready");
    expect(run("lease", "echo", "--", "sh", "-c", "kill -9 $$", NULL), 137, "");
    expect(run("lease", "echo", "--", "no-such-command", NULL), 127, "No such file");
    expect(run("lease", "echo", "--", d.dir.path, NULL), 126, "");
    expect(run("lease", "nothing", "--", "true", NULL), 125, "no such model");
    expect(run("lease", "echo", NULL), 2, "give a MODEL");
    expect(run("lease", "-n", "0", "echo", "true", NULL), 125, "number from 1");
    expect(run("ps", "--leases", NULL), 0, "HOLDER");
    CHECK(!strstr(said, "held"));
}

static void test_plan(void) {
    expect(run("unload", "echo", NULL), 0, "is not loaded");
    expect(run("disable", "echo", NULL), 0, "toy/echo is disabled");
    expect(run("load", "echo", NULL), 1, "is disabled until somebody enables it");
    expect(run("models", NULL), 0, "disabled");
    expect(run("plan", "load", "echo", NULL), 0, "toy/echo is not given out: ");
    expect(run("enable", "toy/echo", NULL), 0, "toy/echo is enabled");
    expect(run("disable", "none", NULL), 1, "no such model");
    expect(run("lease", "-p", "10", "echo", "--", "true", NULL), 125, "a number from 0 to 9");
    expect(run("lease", "-p", "9", "-x", "echo", "--", "true", NULL), 0, "");
    expect(run("plan", "load", "echo", NULL), 0, "toy/echo fits (cpu: ");
    CHECK(strstr(said, " MB needed as of 0."));
    expect(run("load", "echo", NULL), 0, "");
    expect(run("plan", "load", "toy/echo", NULL), 0, "toy/echo is loaded");
    expect(run("plan", "load", "none", NULL), 1, "no such model");
    expect(run("plan", "echo", NULL), 2, "give one 'load' and a MODEL");
    expect(run("plan", "unload", "echo", NULL), 2, "give one");
}

static void write_config(const char *rest) {
    char text[512];
    int n = snprintf(text, sizeof(text), "models:\n  toy/echo: {path: echo, alias: echo%s", rest);
    test_dir_write(&d.dir, "berth.yaml", text, (size_t)n);
}

static void test_config(void) {
    expect(run("config", "check", d.config, NULL), 0, "well formed, 1 models");
    write_config(", pin: true}\n  toy/more: {path: echo}\ndevices: {cpu: {memory: 1GiB}}\n");
    expect(run("config", "check", "--against-running", NULL), 0, "toy/more");
    CHECK(strstr(said, "changed            toy/echo"));
    CHECK(strstr(said, "takes a new start  devices"));
    expect(run("load", "toy/more", NULL), 1, "no such model"); /* it was a question */
    expect(run("config", "reload", NULL), 0, "new                toy/more");
    expect(run("load", "toy/more", NULL), 0, "is loaded");
    expect(run("config", "check", "-r", NULL), 0, "takes a new start  devices");
    CHECK(!strstr(said, "toy/"));
    write_config("}\n  toy/last: {path: echo, alias: last}\n");
    CHECK(kill(d.pid, SIGHUP) == 0);
    for (int i = 0; i < 100 && run("load", "last", NULL) != 0; i++) {
        daemon_sleep_ms(20);
    }
    expect(run("load", "toy/more", NULL), 1, "no such model");
    expect(run("config", "check", "-r", NULL), 0, "");
    CHECK(!strstr(said, "toy/"));
    write_config("}\n  toy/more: {path: echo, disabled: true}\n");
    expect(run("config", "check", "-r", NULL), 0, "removed            toy/last");
    CHECK(strstr(said, "new                toy/more"));
    expect(run("config", "reload", NULL), 0, "removed            toy/last");
    expect(run("load", "last", NULL), 1, "no such model");
    expect(run("load", "toy/more", NULL), 1, "disabled");
    write_config("}\n  toy/more: {path: echo}\n");
    expect(run("config", "reload", NULL), 0, "changed            toy/more");
    expect(run("load", "toy/more", NULL), 0, "is loaded");
    write_config(", colour: red}\n");
    expect(run("config", "reload", NULL), 1, "berth.yaml:2:");
    expect(run("config", "check", d.config, NULL), 1, "berth.yaml:2:");
    expect(run("load", "echo", NULL), 0, "");
    write_config(", keep_alive: 1s}\n");
    expect(run("config", "reload", NULL), 0, "changed            toy/echo");
    for (int i = 0; i < 50 && strstr(said, "fits") == NULL; i++) { /* nobody asks for it again */
        daemon_sleep_ms(100);
        run("plan", "load", "echo", NULL);
    }
    CHECK(strstr(said, "toy/echo fits"));
    expect(run("config", NULL), 2, "give 'check' or 'reload'");
    expect(run("config", "reload", d.config, NULL), 2, "give 'check'");
}

/* toy/echo is kept for a second, or as long as it is pinned. */
static void test_pin(void) {
    expect(run("lease", "--pin", "echo", "--", "sh", "-c",
               "sleep 3; $BERTH plan load echo; $BERTH unload echo", NULL),
           1, "toy/echo is loaded");
    CHECK(strstr(said, "toy/echo is pinned by uid ") && strstr(said, ", sh: an administrator"));
    expect(
        run("lease", "--pin", "echo", "--", "sh", "-c", "$BERTH lease -x -t 0 echo -- true", NULL),
        0, "");
    expect(run("lease", "--pin", "echo", "--", "sh", "-c", "$BERTH unload -f echo; exit 3", NULL),
           3, "is not loaded");
    expect(run("lease", "--pin", "none", "--", "true", NULL), 125, "no such model");
    expect(run("load", "echo", NULL), 0, "");
    int status = -1; /* the pins go with their holders, within a second */
    for (int i = 0; i < 50 && status != 0; i++) {
        status = run("unload", "echo", NULL);
        daemon_sleep_ms(20);
    }
    expect(status, 0, "is not loaded");
}

static void test_revoke(void) {
    static const char steal[] =
        "id=$($BERTH ps -l | awk '/held/ {print $1}'); $BERTH lease revoke $id && sleep 2";
    expect(run("lease", "-x", "echo", "--", "sh", "-c", steal, NULL), 0, "is taken away");
    CHECK(strstr(said, "the lease was taken away, the command goes on"));
    expect(run("lease", "revoke", "fff", NULL), 1, "no such lease");
    expect(run("lease", "revoke", "6f1c3a90-5b1e-4c53-9d5e-0123456789ab", NULL), 1, "has an id");
    expect(run("lease", "revoke", NULL), 2, "give one 'revoke' and an ID");
}

static void test_nlp(void) {
    static const char tiny[] = BTH_TEST_DATA "/data/spacy/tiny_en", lines[] = "One.\r\n\nTwo";
    char path[512];
    test_dir_write(&d.dir, "lines", lines, sizeof(lines) - 1);
    test_dir_path(&d.dir, "lines", path);
    expect(run("nlp", "-m", tiny, "-f", "json", "Hello there.", "b", NULL), 0,
           "{\"text\": \"Hello there.\", ");
    CHECK(strstr(said, "\n{\"text\": \"b\", "));
    expect(run("nlp", "-m", tiny, "-f", "json", "-i", path, "--lines", "-a", "ents", NULL), 0,
           "{\"text\": \"One.\", \"ents\": [");
    CHECK(strstr(said, "\n{\"text\": \"\", \"ents\": []}\n{\"text\": \"Two\", "));
    expect(run("nlp", "-m", tiny, "Hello", "there", NULL), 0, "text 1:\nI  TEXT ");
    expect(run("nlp", "-m", tiny, "-f", "conllu", "-i", path, NULL), 0, "# newdoc id = /");
    expect(run("nlp", "-m", tiny, "-f", "displacy", "Hello", NULL), 0, "<svg xmlns=");
    expect(run("nlp", "-m", tiny, "-f", "displacy", "--style", "ent", "--page", "a", "b", NULL), 0,
           "<!DOCTYPE html>");
    expect(run("nlp", "-m", tiny, "-c", "nonsense", "a", NULL), 1, "no component nonsense");
    expect(run("nlp", "-a", "list", NULL), 0, "lemma, dep, head");
    expect(run("nlp", "-f", "xml", "a", NULL), 2, "table, json, conllu or displacy");
    expect(run("nlp", "--style", "ent", "a", NULL), 2, "--format displacy");
    expect(run("nlp", "-f", "json", "--offsets", "bytes", "a", NULL), 2, "utf16");
    expect(run("nlp", "-i", "/no/such/file", NULL), 1, "/no/such/file");
    expect(run("nlp", "-m", "toy/echo", "a", NULL), 1, "text 1: toy/echo is no spaCy pipeline");
}

/* `berth stop` returns when the daemon has gone. */
static void test_stop(void) {
    int status;
    expect(run("stop", "--timeout", "5", NULL), 0, "");
    CHECK(waitpid(d.pid, &status, 0) == d.pid);
    CHECK_INT(status, 0);
    expect(run("ps", NULL), 1, "no daemon answers");
    setenv("BERTH_SERVER", "none", 1);
    expect(run("ps", NULL), 1, "no daemon is running");
}

int main(void) {
    char empty[512];
    daemon_prepare(&d, NULL);
    daemon_start(&d);
    test_dir_write(&d.dir, "empty", "", 0);
    setenv("BERTH_SERVER", d.socket, 1);
    setenv("BERTH_CONFIG", test_dir_path(&d.dir, "empty", empty), 1);
    setenv("BERTH", BTH_TEST_BERTHD, 1);
    test_running();
    test_lease();
    test_plan();
    test_config();
    test_pin();
    test_revoke();
    test_nlp();
    test_stop();
    test_dir_close(&d.dir);
    return 0;
}
