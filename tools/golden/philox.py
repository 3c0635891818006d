"""The draw of include/berth/backend.h, berth_op_pick: an exponential race on Philox4x32-10.

The winner is the id with the greatest z / T - ln(-ln u), in f64, among those that the filters left.
"""
import numpy as np

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox4x32(counter, key):
    """Ten rounds. counter: four arrays of uint32 in uint64, key: two ints; four arrays again."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a = c0 * np.uint64(0xD2511F53)
        b = c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((b >> _SHIFT) ^ c1 ^ np.uint64(k0), b & _MASK,
                          (a >> _SHIFT) ^ c3 ^ np.uint64(k1), a & _MASK)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def uniforms(n, seed, window, attempt, row, step):
    """n numbers in (0, 1), one an id."""
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)

    def fill(value):
        return np.full_like(blocks, value)

    words = philox4x32((blocks, fill(step | row << 16), fill(window), fill(attempt)),
                       (seed & 0xFFFFFFFF, seed >> 32))
    return (np.stack(words, axis=1).reshape(-1)[:n].astype(np.float64) + 0.5) / 2.0**32


def race(logits, temperature, seed, window, attempt, row, step):
    """(id, margin to the second) for one row of filtered f32 logits."""
    z = logits.astype(np.float64) / np.float64(np.float32(temperature))
    z -= np.log(-np.log(uniforms(len(z), seed, window, attempt, row, step)))
    first = int(np.argmax(z))
    best, z[first] = z[first], -np.inf
    return first, float(best - z.max())


def _self_check():
    """The known answers of the generator's authors for zeros and ones."""
    zero, ones = np.uint64(0), np.uint64(0xFFFFFFFF)
    for value, expected in ((zero, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
                            (ones, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD))):
        got = philox4x32((np.array([value]),) * 4, (int(value), int(value)))
        assert tuple(int(w[0]) for w in got) == expected


_self_check()
