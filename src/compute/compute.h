/*
 * compute/compute.h - the devices built in.
 *
 * Layer compute: tensors, ops (shape checks, then dispatch), the backends. It is not a graph
 * compiler and holds no weights of its own. Engines come in through ops.h and tensor.h; plug opens
 * devices; nobody else looks inside ref/ and cpu/.
 */
#ifndef BTH_COMPUTE_H
#define BTH_COMPUTE_H

#include <berth/backend.h>

/* The oracle: plain loops, one thread, every op as it is written down. Slow. */
int bth_ref_open(struct berth_device **out, struct berth_error *err);

enum bth_cpu_isa { BTH_CPU_SCALAR, BTH_CPU_AVX2, BTH_CPU_AVX512 };

struct bth_cpu_config {
    int threads;          /* team size; 0: bth_cpu_count() */
    enum bth_cpu_isa cap; /* use nothing above */
};
/* The best of this machine at or below the cap and BERTH_CPU (avx512, avx2, scalar) in the
 * environment. All three give the same bits. EINVAL (bad BERTH_CPU), ENOMEM. */
int bth_cpu_open(const struct bth_cpu_config *config, struct berth_device **out,
                 struct berth_error *err);
/* For tests, before programs are made: the whole team walks small runs too, which otherwise their
 * caller walks alone. */
void bth_cpu_together(struct berth_device *device);

#endif
