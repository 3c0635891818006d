/* /metrics is what Prometheus wants: each metric is told of once, before its values; counters end
 * in _total, histograms add up, no series comes twice. */
#include "lib/http.h"
#include <ctype.h>
#include <stdlib.h>

enum { MAX_METRICS = 128, MAX_SERIES = 2048 };

static struct metric { char name[96], type[16]; } metrics[MAX_METRICS];
static size_t n_metrics, n_series;
static char *series[MAX_SERIES];

static struct metric *find(const char *name, size_t n) {
    for (size_t i = 0; i < n_metrics; i++) {
        if (strlen(metrics[i].name) == n && strncmp(metrics[i].name, name, n) == 0) {
            return &metrics[i];
        }
    }
    return NULL;
}

static bool ends(const char *text, size_t n, const char *end) {
    size_t m = strlen(end);
    return n >= m && strncmp(text + n - m, end, m) == 0;
}

static size_t name_length(const char *line) {
    size_t n = 0;
    while (isalnum((unsigned char)line[n]) || line[n] == '_' || line[n] == ':') {
        n++;
    }
    return n;
}

/* The metric that a sample belongs to. */
static struct metric *owner(const char *line, size_t n) {
    static const char *const parts[] = {"_bucket", "_sum", "_count"};
    struct metric *m = find(line, n);
    for (size_t i = 0; !m && i < BTH_COUNT(parts); i++) {
        m = ends(line, n, parts[i]) ? find(line, n - strlen(parts[i])) : NULL;
        CHECK(!m || strcmp(m->type, "histogram") == 0);
    }
    return m;
}

static void read_help(const char *line) {
    size_t n = name_length(line);
    CHECK(n > 0 && n < sizeof(metrics[0].name) && line[n] == ' ' && line[n + 1]);
    CHECK(!find(line, n) && n_metrics < MAX_METRICS);
    snprintf(metrics[n_metrics++].name, sizeof(metrics[0].name), "%.*s", (int)n, line);
}

static void read_type(const char *line) {
    struct metric *m = &metrics[n_metrics - 1];
    char name[96];
    CHECK(n_metrics > 0 && !*m->type && sscanf(line, "%95s %15s", name, m->type) == 2);
    CHECK_STR(name, m->name); /* right behind its HELP */
    const bool total = ends(name, strlen(name), "_total");
    CHECK(total == (strcmp(m->type, "counter") == 0));
    CHECK(total || strcmp(m->type, "gauge") == 0 || strcmp(m->type, "histogram") == 0);
    CHECK(!ends(name, strlen(name), "_ms") && !ends(name, strlen(name), "_us")); /* base units */
}

/* `{name="value",...}`; where it ends. */
static const char *read_labels(const char *at) {
    CHECK(*at++ == '{');
    while (*at != '}') {
        size_t n = name_length(at);
        CHECK(n > 0 && !isdigit((unsigned char)*at) && at[n] == '=' && at[n + 1] == '"');
        for (at += n + 2; *at != '"'; at++) {
            CHECK(*at && *at != '\n');
            at += *at == '\\';
        }
        at++;
        CHECK(*at == '}' || *at == ',');
        at += *at == ',';
    }
    return at + 1;
}

static void read_sample(const char *line) {
    size_t n = name_length(line);
    struct metric *m = owner(line, n);
    char *end;
    CHECK(m && *m->type && m == &metrics[n_metrics - 1]); /* the values come together */
    const char *at = line[n] == '{' ? read_labels(line + n) : line + n;
    CHECK(*at == ' ');
    size_t key = (size_t)(at - line);
    for (size_t i = 0; i < n_series; i++) {
        CHECK(strncmp(series[i], line, key) != 0 || series[i][key]);
    }
    CHECK(n_series < MAX_SERIES);
    series[n_series++] = strndup(line, key);
    CHECK(strtod(at + 1, &end) >= 0 && end > at + 1 && !*end);
}

static void read_all(char *body) {
    n_metrics = n_series = 0;
    memset(metrics, 0, sizeof(metrics));
    CHECK(*body && body[strlen(body) - 1] == '\n');
    char *rest;
    for (char *line = strtok_r(body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            read_help(line + 7);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            read_type(line + 7);
        } else {
            read_sample(line);
        }
    }
    for (size_t i = 0; i < n_series; i++) {
        free(series[i]);
    }
}

static double value(const char *body, const char *sample) {
    const char *at = strstr(body, sample);
    if (!at) {
        TEST_FAIL("no %s in %s", sample, body);
    }
    return strtod(at + strlen(sample), NULL);
}

/* Buckets grow, the last is the count. Returns it. */
static double check_histogram(const char *body, const char *name) {
    char sample[128];
    double before = 0;
    size_t n = 0;
    snprintf(sample, sizeof(sample), "\n%s_bucket{le=\"", name);
    for (const char *at = body; (at = strstr(at, sample)); at++, n++) {
        const double now = strtod(strstr(at, "} ") + 2, NULL);
        CHECK(now >= before);
        before = now;
    }
    CHECK(n > 10);
    snprintf(sample, sizeof(sample), "\n%s_bucket{le=\"+Inf\"} ", name);
    CHECK(value(body, sample) == before);
    snprintf(sample, sizeof(sample), "\n%s_count ", name);
    CHECK(value(body, sample) == before);
    snprintf(sample, sizeof(sample), "\n%s_sum ", name);
    CHECK(value(body, sample) >= 0);
    return before;
}

int main(void) {
    static const char run[] = "/v1/run?model=echo", text[] = "Content-Type: text/plain\r\n";
    struct test_server t;
    http_prepare(&t);
    http_start(&t, NULL);
    CHECK_INT(http_status(t.socket, "POST", run, text, "hallo"), 200);
    CHECK_INT(http_status(t.socket, "POST", run, text, "hallo"), 200);
    CHECK_INT(http_status(t.socket, "POST", "/v1/models/load", "", "{\"model\":\"toy/broken\"}"),
              500);
    struct http_reply r = http_ask(t.socket, "GET", "/metrics", "", NULL);
    CHECK(strstr(r.body, "berth_model_memory_bytes{model=\"toy/echo\",device=\"cpu\",kind="));
    http_free(&r);
    CHECK_INT(http_status(t.socket, "POST", "/v1/models/unload", "", "{\"model\":\"echo\"}"), 200);
    r = http_ask(t.socket, "GET", "/metrics", "", NULL);
    CHECK_INT(r.status, 200);
    CHECK(strstr(http_field(&r, "Content-Type"), "version=0.0.4"));
    CHECK(check_histogram(r.body, "berth_lease_wait_seconds") == 2);
    CHECK(check_histogram(r.body, "berth_lease_hold_seconds") == 2);
    CHECK(check_histogram(r.body, "berth_model_load_seconds") == 1);
    CHECK(check_histogram(r.body, "berth_model_unload_seconds") == 1);
    CHECK(check_histogram(r.body, "berth_queue_duration_seconds") == 2);
    CHECK(check_histogram(r.body, "berth_compute_duration_seconds") == 2);
    CHECK(check_histogram(r.body, "berth_request_duration_seconds") >= 2);
    CHECK(value(r.body, "berth_model_unloads_total{reason=\"asked\"} ") == 1);
    CHECK(value(r.body, "berth_model_unloads_total{reason=\"bytes\"} ") == 0);
    CHECK(strstr(r.body, "berth_device_memory_residual_bytes{device=\"cpu\"} 0"));
    read_all(r.body);
    http_free(&r);
    http_stop(&t);
    return 0;
}
