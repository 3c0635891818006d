/* base/compiler.h - the few compiler extensions we use, in one place. */
#ifndef BTH_COMPILER_H
#define BTH_COMPILER_H

#define BTH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define BTH_ALIGNED(n)        __attribute__((aligned(n)))
#define BTH_UNUSED            __attribute__((unused))
#define BTH_NODISCARD         __attribute__((warn_unused_result))
#define BTH_EXPORT            __attribute__((visibility("default")))

/* Clang's thread-safety attributes; nothing elsewhere. See sync.h. */
#if defined(__clang__)
#define BTH_TSA(...) __attribute__((__VA_ARGS__))
#else
#define BTH_TSA(...)
#endif

#define BTH_COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define BTH_MIN(a, b) ((a) < (b) ? (a) : (b))
#define BTH_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
