/*
 * spacy_murmur.h - MurmurHash3 x64 128 as four words, low and high of the first half, then of the
 * second: which rows of a table of hashed embeddings or of floret vectors a key has.
 *
 * Pure; any thread. (StringStore's ids are another hash: spacy_strings.h.)
 */
#ifndef SPACY_MURMUR_H
#define SPACY_MURMUR_H

#include <stddef.h>
#include <stdint.h>

void spacy_murmur(const void *bytes, size_t n, uint32_t seed, uint32_t out[4]);
/* Of the eight bytes of a key, lowest first. */
void spacy_murmur_key(uint64_t key, uint32_t seed, uint32_t out[4]);

#endif
