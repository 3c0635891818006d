#include "cli/progress.h"

#include "base/clock.h"
#include <stdio.h>
#include <unistd.h>

enum { BAR = 30 };

void bth_progress_init(struct bth_progress *p) {
    *p = (struct bth_progress){.shown = isatty(STDERR_FILENO) == 1, .unit = "s"};
}

void bth_progress_draw(struct bth_progress *p, double done, double total, int files_done,
                       int files) {
    int64_t now = bth_now();
    if (!p->shown || now < p->next_ns) {
        return;
    }
    p->next_ns = now + 100 * BTH_NS_PER_MS;
    int filled = total > 0 ? (int)(BAR * done / total) : 0;
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++) {
        bar[i] = i < filled ? '#' : '.';
    }
    bar[BAR] = '\0';
    fprintf(stderr, "\r[%s] %.0f of %.0f %s, %d of %d files\033[K", bar, done, total, p->unit,
            files_done, files);
    p->drawn = true;
}

void bth_progress_clear(struct bth_progress *p) {
    if (p->drawn) {
        fputs("\r\033[K", stderr);
        p->drawn = false;
    }
}
