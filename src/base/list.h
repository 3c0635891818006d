/*
 * base/list.h - doubly linked lists inside the objects: no allocation, no ownership, no lock.
 *
 * A head is a bth_list that points to itself. An unlinked element points to itself too, so removing
 * twice is harmless and bth_list_linked() can be asked.
 */
#ifndef BTH_LIST_H
#define BTH_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct bth_list {
    struct bth_list *prev, *next;
};

static inline void bth_list_init(struct bth_list *l) {
    l->prev = l->next = l;
}
static inline bool bth_list_linked(const struct bth_list *l) {
    return l->next != l;
}
/* Behind all others of `head`. */
static inline void bth_list_append(struct bth_list *head, struct bth_list *l) {
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}
static inline void bth_list_remove(struct bth_list *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
    bth_list_init(l);
}
/* The first element, or NULL. */
static inline struct bth_list *bth_list_first(const struct bth_list *head) {
    return head->next == head ? NULL : head->next;
}

#define BTH_CONTAINER(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))

/* Walks `it` over the elements; the current one may be removed. `next_` is the loop's own. */
#define BTH_LIST_EACH(it, head, type, field)                                                       \
    for (struct bth_list *at_ = (head)->next, *next_ = at_->next;                                  \
         at_ != (head) && ((it) = BTH_CONTAINER(at_, type, field), true);                          \
         at_ = next_, next_ = at_->next)

#endif
