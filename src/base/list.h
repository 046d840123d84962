/* An intrusive doubly linked ring. The head is a struct list of its own; an
 * element embeds one and is found again with list_entry. An initialised link
 * is a ring of one, so list_remove twice is harmless. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define list_entry(link, type, member) ((type *)((char *)(link) - offsetof(type, member)))

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }

/* Before head: at the ring's end. */
static inline void list_append(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* First link taken out, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *link = head->next;
	if (link == head) {
		return NULL;
	}
	list_remove(link);
	return link;
}

/* Moves every element of from to the end of to. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from)) {
		return;
	}
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_for_each(link, head) for (struct list *link = (head)->next; link != (head); link = link->next)

#endif /* BASE_LIST_H */
