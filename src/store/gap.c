#include "store/gap.h"

#include <assert.h>

#include "store/options.h"

/* Removed rows that are passed over in search of a neighbour; if there are more, nothing is learned. */
#define SEARCH_MAX 1000

void gaps_init(struct gaps *gaps)
{
	memset(gaps, 0, sizeof(*gaps));
	pthread_mutex_init(&gaps->lock, NULL);
	gaps->patience = GAP_PATIENCE_MIN;
	for (size_t i = 0; i < GAPS; i++) {
		gaps->at[i] = &gaps->places[i];
	}
}

void gaps_fini(struct gaps *gaps)
{
	pthread_mutex_destroy(&gaps->lock);
}

static bool above_low(const struct gap *gap, struct slice key)
{
	return gap->low_len == 0 || slice_compare(key, slice_of(gap->low, gap->low_len)) > 0;
}

static bool below_high(const struct gap *gap, struct slice key)
{
	return gap->high_len == 0 || slice_compare(key, slice_of(gap->high, gap->high_len)) < 0;
}

/* The first gap that does not end at or before key: the one that has it, if any has. */
static size_t find(const struct gaps *gaps, struct slice key)
{
	size_t from = 0, to = gaps->count;
	while (from < to) {
		size_t middle = (from + to) / 2;
		if (below_high(gaps->at[middle], key)) {
			to = middle;
		} else {
			from = middle + 1;
		}
	}
	return from;
}

bool gaps_have(struct gaps *gaps, struct slice key)
{
	pthread_mutex_lock(&gaps->lock);
	gaps->questions++;
	size_t at = find(gaps, key);
	struct gap *gap = at < gaps->count && above_low(gaps->at[at], key) ? gaps->at[at] : NULL;
	if (gap != NULL) {
		gap->hit_at = gaps->questions;
		if (gap->hits < GAP_WORTH && ++gap->hits == GAP_WORTH) {
			gaps->patience = GAP_PATIENCE_MIN;
		}
	}
	pthread_mutex_unlock(&gaps->lock);
	return gap != NULL;
}

/* ---- writing ---- */

static void take_away(struct gaps *gaps, size_t at)
{
	assert(at < gaps->count);
	struct gap *gap = gaps->at[at];
	gaps->count--;
	for (; at < gaps->count; at++) {
		gaps->at[at] = gaps->at[at + 1];
	}
	gaps->at[gaps->count] = gap;
}

void gaps_write_begin(struct gaps *gaps, const struct entry_view *view)
{
	struct slice key, value;
	bool deleted;
	pthread_mutex_lock(&gaps->lock);
	gaps->writes++;
	assert(gaps->writes % 2 == 1);
	/* Both are in the order of their keys. */
	size_t at = 0, walked = 0;
	while (at < gaps->count && entry_next(view, &walked, &key, &value, &deleted)) {
		while (at < gaps->count && !below_high(gaps->at[at], key)) {
			at++;
		}
		if (at == gaps->count || !above_low(gaps->at[at], key)) {
			continue;
		}
		if (key.len > GAP_KEY) {
			take_away(gaps, at);
			continue;
		}
		memcpy(gaps->at[at]->low, key.data, key.len);
		gaps->at[at]->low_len = (uint32_t)key.len;
	}
	pthread_mutex_unlock(&gaps->lock);
}

void gaps_write_end(struct gaps *gaps)
{
	pthread_mutex_lock(&gaps->lock);
	gaps->writes++;
	assert(gaps->writes % 2 == 0);
	pthread_mutex_unlock(&gaps->lock);
}

/* ---- learning ---- */

static bool take_key(rocksdb_iterator_t *iterator, uint8_t bytes[GAP_KEY], uint32_t *len)
{
	char *message = NULL;
	rocksdb_iter_get_error(iterator, &message);
	if (message != NULL) {
		rocksdb_free(message); /* a broken file is found by the reads that need it */
		return false;
	}
	*len = 0;
	if (!rocksdb_iter_valid(iterator)) {
		return true;
	}
	size_t key_len;
	const char *key = rocksdb_iter_key(iterator, &key_len);
	if (key_len > GAP_KEY) {
		return false;
	}
	memcpy(bytes, key, key_len);
	*len = (uint32_t)key_len;
	return true;
}

/* The neighbours of key in db, which does not have it. */
static bool search(rocksdb_t *db, struct slice key, struct gap *gap)
{
	rocksdb_readoptions_t *options = options_for_walk();
	rocksdb_readoptions_set_max_skippable_internal_keys(options, SEARCH_MAX);
	rocksdb_iterator_t *iterator = rocksdb_create_iterator(db, options);
	rocksdb_iter_seek(iterator, (const char *)key.data, key.len);
	bool found = take_key(iterator, gap->high, &gap->high_len);
	if (found) {
		rocksdb_iter_seek_for_prev(iterator, (const char *)key.data, key.len);
		found = take_key(iterator, gap->low, &gap->low_len);
	}
	rocksdb_iter_destroy(iterator);
	rocksdb_readoptions_destroy(options);
	return found && above_low(gap, key) && below_high(gap, key);
}

static bool overlap(const struct gap *lower, const struct gap *upper)
{
	return lower->high_len == 0 || upper->low_len == 0 ||
	       slice_compare(slice_of(lower->high, lower->high_len), slice_of(upper->low, upper->low_len)) >
		       0;
}

static void insert(struct gaps *gaps, struct slice key, const struct gap *learned)
{
	size_t at = find(gaps, key);
	/* Parts of it may be known: a gap only shrinks from below, so its new neighbour below is never
	 * within. */
	while (at < gaps->count && overlap(learned, gaps->at[at])) {
		take_away(gaps, at);
	}
	while (at > 0 && overlap(gaps->at[at - 1], learned)) {
		take_away(gaps, --at);
	}
	if (gaps->count == GAPS) {
		size_t oldest = 0;
		for (size_t i = 1; i < GAPS; i++) {
			oldest = gaps->at[i]->hit_at < gaps->at[oldest]->hit_at ? i : oldest;
		}
		take_away(gaps, oldest);
		at -= oldest < at;
	}
	assert(at <= gaps->count);
	struct gap *place = gaps->at[gaps->count];
	for (size_t i = gaps->count; i > at; i--) {
		gaps->at[i] = gaps->at[i - 1];
	}
	gaps->at[at] = place;
	gaps->count++;
	*place = *learned;
	place->hits = 0;
	place->hit_at = gaps->questions;
}

/* Whether it is time to learn, and if so, at which write. */
static bool is_time(struct gaps *gaps, uint64_t *writes)
{
	pthread_mutex_lock(&gaps->lock);
	*writes = gaps->writes;
	bool time = ++gaps->misses >= gaps->patience && gaps->writes % 2 == 0;
	if (time) {
		gaps->misses = 0;
		gaps->patience *= gaps->patience < GAP_PATIENCE_MAX ? 2 : 1;
	}
	pthread_mutex_unlock(&gaps->lock);
	return time;
}

void gaps_missed(struct gaps *gaps, rocksdb_t *db, struct slice key)
{
	uint64_t writes;
	struct gap learned;
	if (!is_time(gaps, &writes) || !search(db, key, &learned)) {
		return;
	}
	pthread_mutex_lock(&gaps->lock);
	if (gaps->writes == writes) {
		insert(gaps, key, &learned);
	}
	pthread_mutex_unlock(&gaps->lock);
}
