/* What the log notes of the entries it holds, in memory: the term of each, where it lies, and which are
 * configurations. An entry is noted when it is appended or found at a start, its place when a group takes it;
 * a truncation takes back what lies behind it, a trim what lies in front. */
#include <assert.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

#define PLACES_AT_FIRST 256

/* ---- written ---- */

void wal_begin_at(struct wal *wal, uint64_t index, uint64_t term, struct chain chain)
{
	assert(index > 0);
	assert(list_empty(&wal->segments));
	recent_fini(&wal->recent);
	recent_init(&wal->recent, index, chain);
	wal->first_index = index;
	wal->last_index = index - 1;
	wal->base_term = term;
	wal->term_count = 0;
}

static void note_term(struct wal *wal, uint64_t index, uint64_t term)
{
	if (wal->term_count > 0 && wal->terms[wal->term_count - 1].term == term) {
		return;
	}
	assert(wal->term_count == 0 || wal->terms[wal->term_count - 1].term < term);
	assert(wal->term_count == 0 || wal->terms[wal->term_count - 1].first_index < index);
	if (wal->term_count == wal->term_cap) {
		wal->term_cap = wal->term_cap == 0 ? 16 : wal->term_cap * 2;
		wal->terms = realloc(wal->terms, wal->term_cap * sizeof(*wal->terms));
		if (wal->terms == NULL) {
			fatal("out of memory: %zu terms of the log", wal->term_cap);
		}
	}
	wal->terms[wal->term_count++] = (struct wal_term){index, term};
}

static void note_change(struct wal *wal, uint64_t index)
{
	assert(wal->change_count == 0 || wal->changes[wal->change_count - 1] < index);
	if (wal->change_count == wal->change_cap) {
		wal->change_cap = wal->change_cap == 0 ? 8 : wal->change_cap * 2;
		wal->changes = realloc(wal->changes, wal->change_cap * sizeof(*wal->changes));
		if (wal->changes == NULL) {
			fatal("out of memory: %zu configurations of the log", wal->change_cap);
		}
	}
	wal->changes[wal->change_count++] = index;
}

static struct wal_place *place(const struct wal *wal, uint64_t index)
{
	return &wal->places[index & (wal->place_cap - 1)];
}

static void grow_places(struct wal *wal)
{
	size_t cap = wal->place_cap == 0 ? PLACES_AT_FIRST : wal->place_cap * 2;
	struct wal_place *wider = calloc(cap, sizeof(*wider));
	assert((cap & (cap - 1)) == 0);
	if (wider == NULL) {
		fatal("out of memory: the places of %zu entries of the log", cap);
	}
	for (uint64_t index = wal->first_index; index <= wal->last_index; index++) {
		wider[index & (cap - 1)] = *place(wal, index);
	}
	free(wal->places);
	wal->places = wider;
	wal->place_cap = cap;
}

void wal_note_entry(struct wal *wal, const struct entry *entry)
{
	assert(entry->index == wal->last_index + 1);
	assert(entry->term > 0);
	if (wal->last_index + 1 - wal->first_index == wal->place_cap) {
		grow_places(wal);
	}
	note_term(wal, entry->index, entry->term);
	if (entry->type == ENTRY_CHANGE) {
		note_change(wal, entry->index);
	}
	wal->last_index = entry->index;
	*place(wal, entry->index) = (struct wal_place){0, 0};
}

void wal_note_place(struct wal *wal, uint64_t index, uint64_t number, uint64_t offset)
{
	assert(index >= wal->first_index);
	assert(index <= wal->last_index);
	assert(offset % 8 == 0);
	assert(offset / 8 <= UINT32_MAX);
	*place(wal, index) = (struct wal_place){(uint32_t)number, (uint32_t)(offset / 8)};
}

void wal_note_truncation(struct wal *wal, uint64_t index, struct chain chain)
{
	recent_truncate(&wal->recent, index, chain);
	while (wal->term_count > 0 && wal->terms[wal->term_count - 1].first_index >= index) {
		wal->term_count--;
	}
	while (wal->change_count > 0 && wal->changes[wal->change_count - 1] >= index) {
		wal->change_count--;
	}
	wal->last_index = index - 1;
	if (index < wal->first_index) {
		wal->first_index = index;
		wal->base_term = 0; /* not known: what lay there was trimmed */
	}
	assert(wal->recent.last == wal->last_index);
	assert(wal->first_index <= wal->last_index + 1);
}

void wal_note_trim(struct wal *wal, uint64_t first)
{
	wal->base_term = wal_term_of(wal, first - 1);
	size_t gone = 0;
	while (gone + 1 < wal->term_count && wal->terms[gone + 1].first_index <= first) {
		gone++;
	}
	if (gone > 0) {
		memmove(wal->terms, wal->terms + gone, (wal->term_count - gone) * sizeof(*wal->terms));
		wal->term_count -= gone;
	}
	gone = 0;
	while (gone < wal->change_count && wal->changes[gone] < first) {
		gone++;
	}
	if (gone > 0) {
		memmove(wal->changes, wal->changes + gone,
			(wal->change_count - gone) * sizeof(*wal->changes));
		wal->change_count -= gone;
	}
	wal->first_index = first;
}

/* ---- read ---- */

struct wal_place wal_place_of(const struct wal *wal, uint64_t index)
{
	assert(index >= wal->first_index);
	assert(index <= wal->last_index);
	return *place(wal, index);
}

uint64_t wal_term_of(const struct wal *wal, uint64_t index)
{
	if (index > wal->last_index || index + 1 < wal->first_index) {
		return 0;
	}
	size_t i = wal->term_count;
	while (i > 0 && wal->terms[i - 1].first_index > index) {
		i--;
	}
	return i == 0 ? wal->base_term : wal->terms[i - 1].term;
}

size_t wal_change_count(const struct wal *wal)
{
	return wal->change_count;
}

uint64_t wal_change(const struct wal *wal, size_t i)
{
	assert(i < wal->change_count);
	return wal->changes[i];
}
