#include <berth/berth.h>

#include "base/compiler.h"
#include "base/error.h"
#include "plug/plug.h"

BTH_EXPORT int berth_decode(const struct berth_input *input,
                            int (*write)(void *arg, const int16_t *samples, size_t n), void *arg,
                            struct berth_error *err) {
    if (!input || !write) {
        return bth_error(err, BERTH_EINVAL, "berth_decode needs an input and a write function");
    }
    return bth_builtin_decode(input, write, arg, err);
}
