/* When something is due: a ring of slots, each a list, a few milliseconds a
 * slot. Adding and removing cost a list operation whatever the number of calls,
 * because nearly every call is answered long before its deadline.
 *
 * An element stays until it is removed or taken by wheel_expire, which hands out
 * those that are due, up to one slot late. Elements further away than one turn of the ring
 * wait in their slot for the next turn. */
#ifndef CLIENT_WHEEL_H
#define CLIENT_WHEEL_H

#include <stdint.h>

#include "base/list.h"

#define WHEEL_SLOTS 512
#define WHEEL_SLOT_US 4000

struct wheel_node {
	struct list link;
	uint64_t at_us;
};
struct wheel {
	struct list slots[WHEEL_SLOTS];
	uint64_t turned; /* slot number (not wrapped) that was looked at last */
};

void wheel_init(struct wheel *wheel, uint64_t now_us);
static inline void wheel_node_init(struct wheel_node *node)
{
	list_init(&node->link);
}
/* at_us is set in node; node is in no wheel. A time in the past is due at once. */
void wheel_add(struct wheel *wheel, struct wheel_node *node);
static inline void wheel_remove(struct wheel_node *node)
{
	list_remove(&node->link);
}
/* Takes all nodes due by now out of the wheel and appends them to due, by slot. */
void wheel_expire(struct wheel *wheel, uint64_t now_us, struct list *due);
/* The earliest time at which wheel_expire may find something; UINT64_MAX when the wheel is empty. */
uint64_t wheel_next_us(const struct wheel *wheel);

#endif /* CLIENT_WHEEL_H */
