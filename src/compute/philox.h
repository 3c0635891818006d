/* compute/philox.h - the counter-based generator Philox4x32-10 (Salmon et al., SC'11). Pure. */
#ifndef BTH_PHILOX_H
#define BTH_PHILOX_H

#include <stdint.h>

void bth_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
