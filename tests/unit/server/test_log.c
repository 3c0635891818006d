/* A line of the log says what happened and nothing that a client could make a terminal do. */
#include "lib/test.h"
#include "server/log.h"
#include <string.h>
#include <unistd.h>

static void check(bool json, const char *text, const char *want) {
    int fds[2];
    char line[512] = "";
    CHECK(pipe(fds) == 0);
    const struct bth_log log = {.fd = fds[1], .level = BTH_LOG_INFO, .json = json};
    bth_log_write(&log, BTH_LOG_INFO, "id", "%s", text);
    bth_log_write(&log, BTH_LOG_DEBUG, "id", "left out");
    CHECK(read(fds[0], line, sizeof(line) - 1) > 0);
    close(fds[0]);
    close(fds[1]);
    if (json) {
        CHECK(strstr(line, want));
    } else {
        CHECK_STR(line, want);
    }
}

int main(void) {
    check(false, "plain", "plain [id]\n");
    check(false, "a\x1b[2J\r\nb\x7f", "a?[2J??b? [id]\n");
    check(false,
          "\xc2\x9b"
          "2J \xc3\xa9 \xe2\x82\xac",
          "?2J \xc3\xa9 \xe2\x82\xac [id]\n");
    check(false,
          "\x9b"
          "2J\xc2",
          "\xef\xbf\xbd"
          "2J\xef\xbf\xbd [id]\n");
    check(true, "a\"\n\x1b", "\"msg\":\"a\\\"\\n\\u001b\",\"request_id\":\"id\"}\n");
    return 0;
}
