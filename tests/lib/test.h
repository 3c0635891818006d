/*
 * tests/lib/test.h - assertions for tests: each test is a program, a failure aborts from any
 * thread.
 */
#ifndef BTH_TEST_H
#define BTH_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Builds that run ten times slower: tests that only repeat themselves on more of the same do less.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED true
#else
#define TEST_SANITIZED false
#endif
#ifdef __SANITIZE_THREAD__
#define TEST_THREADS_ONLY true /* what has one thread shows nothing */
#else
#define TEST_THREADS_ONLY false
#endif

#define TEST_FAIL(...)                                                                             \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        abort();                                                                                   \
    } while (0)
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            TEST_FAIL("failed: %s", #cond);                                                        \
        }                                                                                          \
    } while (0)
#define CHECK_INT(a, b)                                                                            \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_) {                                                                            \
            TEST_FAIL("%s is %lld, expected %s = %lld", #a, a_, #b, b_);                           \
        }                                                                                          \
    } while (0)
#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (strcmp(a_, b_) != 0) {                                                                 \
            TEST_FAIL("%s is \"%s\", expected \"%s\"", #a, a_, b_);                                \
        }                                                                                          \
    } while (0)
#define CHECK_NEAR(a, b, tol)                                                                      \
    do {                                                                                           \
        double a_ = (a), b_ = (b);                                                                 \
        if (!(fabs(a_ - b_) <= (tol))) {                                                           \
            TEST_FAIL("%s is %.9g, expected %.9g within %g", #a, a_, b_, (double)(tol));           \
        }                                                                                          \
    } while (0)
/* rc must be 0; prints the error otherwise. */
#define CHECK_OK(rc, err)                                                                          \
    do {                                                                                           \
        int rc_ = (rc);                                                                            \
        if (rc_ != 0) {                                                                            \
            TEST_FAIL("%s gave %d: %s", #rc, rc_, (err).message);                                  \
        }                                                                                          \
    } while (0)
#define SKIP(why)                                                                                  \
    do {                                                                                           \
        printf("skipped: %s\n", why);                                                              \
        exit(77);                                                                                  \
    } while (0)

/* xorshift64*: test data that is the same everywhere. */
static inline unsigned long long test_rand(unsigned long long *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ULL;
}
/* Uniform in [-1, 1). */
static inline float test_randf(unsigned long long *state) {
    return (float)((double)(test_rand(state) >> 11) / 4503599627370496.0 - 1.0);
}

#endif
