#define _GNU_SOURCE /* dladdr, pipe2 */
#include "plug/gpu.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROBE_LIMIT_MS = 30000, KILL_LIMIT_MS = 2000, PROBE_OUTPUT = 1 << 16, MAX_GPUS = 64 };

/* Where this code was loaded from: the folder of libberth, or of the program it is linked into. */
static char *own_folder(void) {
    Dl_info info;
    if (!dladdr((void *)own_folder, &info) || !info.dli_fname) {
        return NULL;
    }
    char *real = realpath(info.dli_fname, NULL);
    if (!real) { /* a program found through PATH goes by its bare name */
        real = realpath("/proc/self/exe", NULL);
    }
    const char *slash = real ? strrchr(real, '/') : NULL;
    char *folder = slash ? bth_strndup(real, (size_t)(slash - real)) : NULL;
    free(real);
    return folder;
}

/* A file that belongs to the installation, or NULL. */
static char *find_part(const char *name) {
    static const char *const places[] = {"", "berth/", "lib/", "../lib/"};
    char *folder = own_folder();
    char *found = NULL;
    for (size_t i = 0; folder && !found && i < BTH_COUNT(places); i++) {
        char *path = bth_printf("%s/%s%s", folder, places[i], name);
        if (path && bth_is_file(path)) {
            found = path;
        } else {
            bth_free(path);
        }
    }
    bth_free(folder);
    return found;
}

static char *find_module(struct berth_error *err) {
    const char *named = getenv("BERTH_CUDA_MODULE");
    char *path = named && *named ? bth_strdup(named) : find_part("berth-cuda.so");
    if (!path) {
        bth_error(
            err, BERTH_EUNSUPPORTED,
            "this build of Berth has no CUDA module (berth-cuda.so); set BERTH_CUDA_MODULE to "
            "one, or use the CPU");
    }
    return path;
}

/* Reads until the child closes its end or the time is up. */
static bool read_until(int fd, struct bth_str *out, int64_t deadline) {
    for (;;) {
        int64_t left = (deadline - bth_now()) / BTH_NS_PER_MS;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || out->size > PROBE_OUTPUT) {
            return false;
        }
        if (poll(&p, 1, (int)left) <= 0) {
            continue; /* a signal, or the time is up: asked again above */
        }
        char buf[4096];
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n == 0) {
            return true;
        }
        if (n > 0) {
            bth_str_append(out, buf, (size_t)n);
        } else if (errno != EINTR) {
            return false;
        }
    }
}

static int spawn_probe(const char *probe, const char *module, int out_fd, pid_t *out_pid) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    char *argv[] = {(char *)probe, (char *)module, NULL};
    extern char **environ;
    int rc = posix_spawn(out_pid, probe, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* False: it has not ended by then. In the depths of a driver that hangs nothing ends a process, not
 * even SIGKILL, and its output may have been closed before. */
static bool wait_probe(pid_t pid, int *status, int64_t deadline) {
    *status = 0;
    while (waitpid(pid, status, WNOHANG) == 0) {
        if (bth_now() >= deadline) {
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 2 * BTH_NS_PER_MS}, NULL);
    }
    return true;
}

static int run_probe(const char *probe, const char *module, struct bth_str *out,
                     struct berth_error *err) {
    int fds[2];
    pid_t pid;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return bth_error(err, BERTH_EIO, "GPU probe: %s", strerror(errno));
    }
    int rc = spawn_probe(probe, module, fds[1], &pid);
    close(fds[1]);
    if (rc != 0) {
        close(fds[0]);
        return bth_error(err, BERTH_EUNSUPPORTED, "GPU probe: %s", strerror(rc));
    }
    int status;
    const int64_t deadline = bth_now() + PROBE_LIMIT_MS * BTH_NS_PER_MS;
    bool ended = read_until(fds[0], out, deadline) && wait_probe(pid, &status, deadline);
    close(fds[0]);
    if (!ended) {
        kill(pid, SIGKILL); /* one that does not die is left behind */
        wait_probe(pid, &status, bth_now() + KILL_LIMIT_MS * BTH_NS_PER_MS);
        return bth_error(err, BERTH_EUNSUPPORTED,
                         "the GPU driver did not answer within %d s; it may hang: try nvidia-smi",
                         PROBE_LIMIT_MS / 1000);
    }
    if (WIFSIGNALED(status)) {
        return bth_error(err, BERTH_EUNSUPPORTED,
                         "the GPU driver crashed when asked for its GPUs (signal %d)",
                         WTERMSIG(status));
    }
    return 0;
}

/* The next field of a line, cut off in place; NULL when there is none. */
static char *field(char **line) {
    char *start = *line;
    if (!start) {
        return NULL;
    }
    char *tab = strchr(start, '\t');
    *line = tab ? tab + 1 : NULL;
    if (tab) {
        *tab = '\0';
    }
    return start;
}

static bool parse_line(char *line, struct bth_gpu *out) {
    char *ordinal = field(&line), *uuid = field(&line), *total = field(&line);
    char *used = field(&line), *problem = field(&line), *name = field(&line);
    if (!name) {
        return false;
    }
    *out = (struct bth_gpu){.ordinal = atoi(ordinal),
                            .total_bytes = strtoull(total, NULL, 10),
                            .used_bytes = strtoull(used, NULL, 10)};
    snprintf(out->uuid, sizeof(out->uuid), "%s", uuid);
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(out->problem, sizeof(out->problem), "%s", strcmp(problem, "-") == 0 ? "" : problem);
    return true;
}

static int parse_probe(char *text, struct bth_gpu *out, int n, struct berth_error *err) {
    int have = 0;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        if (end) {
            *end = '\0';
        }
        if (strncmp(line, "error\t", 6) == 0) {
            return bth_error(err, BERTH_EUNSUPPORTED, "%s", line + 6);
        }
        struct bth_gpu gpu;
        if (parse_line(line, &gpu)) {
            if (have < n) {
                out[have] = gpu;
            }
            have++;
        }
        line = end ? end + 1 : NULL;
    }
    return have;
}

int bth_gpu_list(struct bth_gpu *out, int n, struct berth_error *err) {
    char *module = find_module(err);
    if (!module) {
        return BERTH_EUNSUPPORTED;
    }
    struct bth_str text = {0};
    char *probe = find_part("berth-gpu-probe");
    int rc = probe ? run_probe(probe, module, &text, err)
                   : bth_error(err, BERTH_EUNSUPPORTED,
                               "berth-gpu-probe is not beside the library: reinstall Berth");
    if (rc == 0 && text.failed) {
        rc = bth_error_nomem(err);
    }
    if (rc == 0) {
        rc = text.size ? parse_probe(text.data, out, n, err) : 0;
    }
    bth_str_finish(&text);
    bth_free(probe);
    bth_free(module);
    return rc;
}

/* The ordinal of the GPU that `which` names. */
static int choose(const char *which, struct berth_error *err) {
    struct bth_gpu gpus[MAX_GPUS];
    int n = bth_gpu_list(gpus, MAX_GPUS, err);
    for (int i = 0; i < n && i < MAX_GPUS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "cuda:%d", gpus[i].ordinal);
        bool any = strcmp(which, "cuda") == 0 && !gpus[i].problem[0];
        if (!any && strcmp(which, name) != 0 && strcmp(which, gpus[i].uuid) != 0) {
            continue;
        }
        if (gpus[i].problem[0]) {
            return bth_error(err, BERTH_EUNSUPPORTED, "%s (%s): %s", which, gpus[i].name,
                             gpus[i].problem);
        }
        return gpus[i].ordinal;
    }
    return n < 0
               ? n
               : bth_error(err, BERTH_ENOTFOUND,
                           "there is no usable GPU '%s' here ('berth devices' lists what there is)",
                           which);
}

int bth_gpu_open(const char *which, bool fast, struct berth_device **out, struct berth_error *err) {
    int ordinal = choose(which, err);
    if (ordinal < 0) {
        return ordinal;
    }
    char *path = find_module(err);
    if (!path) {
        return BERTH_EUNSUPPORTED;
    }
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    bth_free(path);
    if (!module) {
        return bth_error(err, BERTH_EUNSUPPORTED, "CUDA module: %s", dlerror());
    }
    int (*open)(int, bool, struct berth_device **, struct berth_error *);
    *(void **)&open = dlsym(module, "berth_cuda_open");
    if (!open) {
        return bth_error(err, BERTH_EUNSUPPORTED, "not a Berth CUDA module");
    }
    return open(ordinal, fast, out, err);
}

long bth_gpu_fail_at(long n) {
    struct berth_error err;
    char *path = find_module(&err);
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    long (*fail_at)(long) = NULL;
    if (module) {
        *(void **)&fail_at = dlsym(module, "berth_cuda_fail_at");
    }
    bth_free(path);
    return fail_at ? fail_at(n) : -1;
}
