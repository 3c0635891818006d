# Options, warnings, sanitizers and the Debian libraries that layers may ask for by name.
option(BERTH_TESTS "Build the tests" ON)
option(BERTH_BENCH "Build the benchmarks" ON)
option(BERTH_WERROR "Warnings are errors" ON)
option(BERTH_FUZZ "Build libFuzzer targets (clang)" OFF)
set(BERTH_SANITIZE "" CACHE STRING "address,undefined or thread")

add_compile_definitions(_XOPEN_SOURCE=700) # POSIX.1-2008 with its XSI part (realpath)
set(warnings -Wall -Wextra -Wconversion -Wno-sign-conversion -Wmissing-prototypes
    -Wstrict-prototypes -Wshadow -Wvla)
if(BERTH_WERROR)
  list(APPEND warnings -Werror)
endif()
# nvcc takes none of these
add_compile_options("$<$<COMPILE_LANGUAGE:C>:${warnings};-ffp-contract=off;-fno-math-errno>")
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  # the lock order of base/sync.h, compiled
  add_compile_options($<$<COMPILE_LANGUAGE:C>:-Wthread-safety> $<$<COMPILE_LANGUAGE:C>:-Wthread-safety-beta>)
endif()
if(BERTH_SANITIZE)
  add_compile_options(-fsanitize=${BERTH_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${BERTH_SANITIZE})
  if(BERTH_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
if(BERTH_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(BERTH_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_definitions(BTH_LOCK_CHECKS)
  add_compile_options($<$<COMPILE_LANGUAGE:C>:-UNDEBUG>) # assertions are part of these builds
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(sndfile REQUIRED IMPORTED_TARGET sndfile)
pkg_check_modules(mpg123 REQUIRED IMPORTED_TARGET libmpg123>=1.27) # from here on without a global init
pkg_check_modules(soxr REQUIRED IMPORTED_TARGET soxr)
pkg_check_modules(kissfft REQUIRED IMPORTED_TARGET kissfft-float)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl>=7.85) # protocols by name
pkg_check_modules(microhttpd REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
