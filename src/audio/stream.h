/*
 * audio/stream.h - the bytes of a sound file, in a file or in memory, as decoders read them.
 *
 * Behind pcm_source.c and its decoders only. One thread at a time.
 */
#ifndef BTH_STREAM_H
#define BTH_STREAM_H

#include <stdint.h>

struct bth_stream {
    int fd;                    /* the owner's; -1: memory */
    const unsigned char *data; /* memory only */
    uint64_t start;            /* where the sound begins: positions count from here */
    uint64_t size, pos;
    int failed; /* errno of a failed read */
};

/* At most n bytes at a place, whatever `pos` is; how many there were. */
int64_t bth_stream_read_at(struct bth_stream *s, void *buf, uint64_t n, uint64_t at);
/* At `pos`, and moves on. */
int64_t bth_stream_read(struct bth_stream *s, void *buf, uint64_t n);
/* As lseek: the new place, or -1 when it is outside. */
int64_t bth_stream_seek(struct bth_stream *s, int64_t offset, int whence);
/* The sound is `size` bytes from `at` on, which are there. */
void bth_stream_narrow(struct bth_stream *s, uint64_t at, uint64_t size);

#endif
