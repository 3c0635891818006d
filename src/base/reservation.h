/*
 * base/reservation.h - drawing bytes from a promise (struct berth_reservation, berth/backend.h).
 *
 * One owner draws at a time; counters may be read from any thread.
 */
#ifndef BTH_RESERVATION_H
#define BTH_RESERVATION_H

#include <berth/backend.h>

void bth_reservation_init(struct berth_reservation *r, enum berth_bytes_kind kind, size_t limit);

/* Takes `bytes`; grows if needed and possible. 0, or EBUDGET and nothing taken. */
int bth_reservation_draw(struct berth_reservation *r, size_t bytes, struct berth_error *err);
void bth_reservation_return(struct berth_reservation *r, size_t bytes);

size_t bth_reservation_used(const struct berth_reservation *r);

#endif
