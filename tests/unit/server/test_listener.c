/* Whose socket it is: one that answers is left alone, even if its server is too busy to accept; one
 * that a dead server left behind is replaced. */
#include "base/alloc.h"
#include "lib/files.h"
#include "lib/test.h"
#include "server/listener.h"
#include "server/server.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct test_dir dir;
static char where[600];
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int client(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

static void test_live(void) {
    struct bth_socket s, other;
    struct berth_error err;
    struct stat st;
    CHECK_INT(bth_socket_open(where, &s, &err), 0);
    CHECK_STR(s.address, where);
    CHECK(s.local && !s.loopback);
    CHECK(stat(address.sun_path, &st) == 0 && (st.st_mode & 0777) == 0660);
    CHECK_INT(bth_socket_open(where, &other, &err), BERTH_EBUSY);
    int fd = client();
    CHECK(fd >= 0); /* it is still there */
    close(fd);
    bth_socket_close(&s);
    CHECK(access(address.sun_path, F_OK) < 0);
}

/* Nobody gets in, and the descriptor is no one else's yet. */
static void test_stop(const char *on) {
    struct bth_socket s;
    struct berth_error err;
    struct sockaddr_storage a;
    socklen_t n = sizeof(a);
    CHECK_INT(bth_socket_open(on, &s, &err), 0);
    CHECK(getsockname(s.fd, (struct sockaddr *)&a, &n) == 0);
    const int fd = s.fd, other = socket(a.ss_family, SOCK_STREAM, 0);
    bth_socket_stop(&s);
    CHECK(connect(other, (struct sockaddr *)&a, n) < 0);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    bth_socket_close(&s);
    CHECK(fcntl(fd, F_GETFD) < 0);
    close(other);
}

/* Its queue is full: connecting would wait. */
static void test_busy(void) {
    int server = socket(AF_UNIX, SOCK_STREAM, 0), clients[16], n = 0;
    struct bth_socket s;
    struct berth_error err;
    CHECK(bind(server, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(server, 0) == 0);
    while (n < 16 && (clients[n] = client()) >= 0) {
        n++;
    }
    CHECK(n < 16);
    alarm(5);
    CHECK_INT(bth_socket_open(where, &s, &err), BERTH_EBUSY);
    alarm(0);
    while (n > 0) {
        close(clients[--n]);
    }
    close(server);
}

static void test_stale(void) {
    struct bth_socket s;
    struct berth_error err;
    CHECK(access(address.sun_path, F_OK) == 0); /* test_busy's */
    CHECK_INT(bth_socket_open(where, &s, &err), 0);
    bth_socket_close(&s);
}

/* Sockets that are passed on are the server's, also when it cannot be made. */
static void test_passed_on(void) {
    struct berth_error err;
    struct bth_server *server;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const struct bth_server_config config = {
        .sockets = &fd, .n_sockets = 1, .key_file = "/no/such/file"};
    CHECK(fd >= 0 && bth_server_create(&config, &server, &err) < 0);
    CHECK(fcntl(fd, F_GETFD) < 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bth_alloc_fail_at(1);
    CHECK_INT(bth_server_create(&config, &server, &err), BERTH_ENOMEM);
    bth_alloc_fail_at(0);
    CHECK(fcntl(fd, F_GETFD) < 0);
}

int main(void) {
    int64_t live = bth_alloc_live();
    test_dir_open(&dir);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/s", dir.path);
    snprintf(where, sizeof(where), "unix:%s", address.sun_path);
    test_live();
    test_stop(where);
    test_stop("127.0.0.1:0");
    test_busy();
    test_stale();
    test_passed_on();
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}
