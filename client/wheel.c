#include "client/wheel.h"

#include <assert.h>

void wheel_init(struct wheel *wheel, uint64_t now_us)
{
	for (size_t i = 0; i < WHEEL_SLOTS; i++) {
		list_init(&wheel->slots[i]);
	}
	wheel->turned = now_us / WHEEL_SLOT_US;
}

/* Rounds up: what is due inside a slot is handed out when the slot is over. */
static uint64_t wheel_slot_number(uint64_t at_us)
{
	return (at_us + WHEEL_SLOT_US - 1) / WHEEL_SLOT_US;
}

void wheel_add(struct wheel *wheel, struct wheel_node *node)
{
	assert(list_empty(&node->link));
	uint64_t number = wheel_slot_number(node->at_us);
	if (number <= wheel->turned) {
		number = wheel->turned + 1;
	}
	list_append(&wheel->slots[number % WHEEL_SLOTS], &node->link);
}

static void wheel_expire_slot(struct list *slot, uint64_t now_us, struct list *due)
{
	struct list *link = slot->next;
	while (link != slot) {
		struct list *next = link->next;
		struct wheel_node *node = list_entry(link, struct wheel_node, link);
		if (node->at_us <= now_us) {
			list_remove(link);
			list_append(due, link);
		}
		link = next;
	}
}

void wheel_expire(struct wheel *wheel, uint64_t now_us, struct list *due)
{
	uint64_t until = now_us / WHEEL_SLOT_US;
	if (until > wheel->turned + WHEEL_SLOTS) {
		/* Long asleep: every slot once is enough. */
		wheel->turned = until - WHEEL_SLOTS;
	}
	while (wheel->turned < until) {
		wheel->turned++;
		wheel_expire_slot(&wheel->slots[wheel->turned % WHEEL_SLOTS], now_us, due);
	}
}

uint64_t wheel_next_us(const struct wheel *wheel)
{
	for (uint64_t number = wheel->turned + 1; number <= wheel->turned + WHEEL_SLOTS; number++) {
		if (!list_empty(&wheel->slots[number % WHEEL_SLOTS])) {
			return number * WHEEL_SLOT_US;
		}
	}
	return UINT64_MAX;
}
