#include "raft/wal/recent.h"

#include <assert.h>
#include <stdlib.h>

#define SLOTS_AT_FIRST 64

static size_t weight(const struct entry *entry)
{
	return sizeof(*entry) + entry->len;
}

static struct entry **slot(const struct recent *r, uint64_t index)
{
	return &r->slots[index & (r->cap - 1)];
}

void recent_init(struct recent *r, uint64_t next_index, struct chain chain)
{
	assert(next_index > 0);
	*r = (struct recent){.first = next_index, .last = next_index - 1, .base = chain};
}

void recent_fini(struct recent *r)
{
	for (uint64_t index = r->first; index <= r->last; index++) {
		entry_unref(*slot(r, index));
	}
	free(r->slots);
	*r = (struct recent){.first = 1};
}

static void grow(struct recent *r)
{
	struct recent wider = *r;
	wider.cap = r->cap == 0 ? SLOTS_AT_FIRST : r->cap * 2;
	wider.slots = calloc(wider.cap, sizeof(*wider.slots));
	if (wider.slots == NULL) {
		fatal("out of memory: %zu recent entries of the log", wider.cap);
	}
	assert((wider.cap & (wider.cap - 1)) == 0);
	assert(wider.cap > r->last + 1 - r->first);
	for (uint64_t index = r->first; index <= r->last; index++) {
		*slot(&wider, index) = *slot(r, index);
	}
	free(r->slots);
	*r = wider;
}

void recent_append(struct recent *r, struct entry *entry)
{
	assert(entry->index == r->last + 1);
	if (r->last + 1 - r->first == r->cap) {
		grow(r);
	}
	assert(r->last + 1 - r->first < r->cap);
	*slot(r, entry->index) = entry_ref(entry);
	r->last = entry->index;
	r->bytes += weight(entry);
}

void recent_truncate(struct recent *r, uint64_t index, struct chain chain)
{
	assert(index > 0);
	assert(index <= r->last + 1);
	while (r->last >= index && r->last >= r->first) {
		struct entry *entry = *slot(r, r->last);
		assert(entry->index == r->last);
		assert(r->bytes >= weight(entry));
		r->bytes -= weight(entry);
		entry_unref(entry);
		r->last--;
	}
	if (index < r->first) {
		r->first = index;
		r->last = index - 1;
		r->base = chain;
	}
	assert(r->last == index - 1);
}

void recent_shrink(struct recent *r, size_t bytes_max, uint64_t floor)
{
	while (r->bytes > bytes_max && r->first <= r->last && r->first <= floor) {
		struct entry *entry = *slot(r, r->first);
		assert(entry->index == r->first);
		assert(r->bytes >= weight(entry));
		r->bytes -= weight(entry);
		r->base = entry->chain;
		r->first++;
		entry_unref(entry);
	}
}

struct entry *recent_get(const struct recent *r, uint64_t index)
{
	return recent_holds(r, index) ? *slot(r, index) : NULL;
}

struct chain recent_chain(const struct recent *r, uint64_t index)
{
	assert(index + 1 >= r->first);
	assert(index <= r->last);
	return index + 1 == r->first ? r->base : recent_get(r, index)->chain;
}
