/* Known answers of Random123's kat_vectors for philox4x32-10, as {counter, key, words}. */
#include "base/compiler.h"
#include "compute/philox.h"
#include "lib/test.h"

int main(void) {
    static const uint32_t known[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (size_t i = 0; i < BTH_COUNT(known); i++) {
        uint32_t words[4];
        bth_philox4x32(known[i], known[i] + 4, words);
        CHECK(memcmp(words, known[i] + 6, sizeof(words)) == 0);
    }
    return 0;
}
