/* SCAN: a walk over all keys in steps that a client asks for.
 *
 * Keys are kept in their own order, and SCAN walks in it. Redis' cursors are
 * numbers, many clients keep them in 53 bits, and a place between keys of up to 1 KiB
 * does not fit one. So the database remembers where a scan stands:
 *
 *   'g' 0xfe slot (2, big-endian)  ->  scan (4) step (4) length (2) of the key before, that key, the key
 *   'g' 0xfd                       ->  number of the newest scan (4)
 *
 *   cursor = scan << 20 | step, slot = scan % SCAN_SLOTS
 *
 * with the last key that this and the former step returned: so a step can be asked
 * again, and a scan goes on after an election or a restart. A cursor is forgotten
 * when SCAN_SLOTS newer scans were begun: then SCAN says so, it never ends early.
 * Every key that is there from the first step to the last is returned once. A
 * step that ends the scan writes nothing. */
#include "command/walk.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "store/keys.h"

#define SCAN_SLOTS 1024
#define SCAN_STEP_BITS 20
#define SCAN_STEP_MAX ((1u << SCAN_STEP_BITS) - 1)

struct scan {
	uint32_t number, step;
	struct slice former, key; /* where the former step and this one ended */
};

static void scan_slot(uint32_t number, uint8_t key[4])
{
	uint16_t slot = (uint16_t)(number % SCAN_SLOTS);

	key[0] = TABLE_KV_DB;
	key[1] = 0xfe;
	key[2] = (uint8_t)(slot >> 8);
	key[3] = (uint8_t)slot;
}

/* ERR_NOT_FOUND when the cursor is not known (any more). */
static int scan_load(struct txn *txn, uint64_t cursor, struct scan *scan)
{
	uint32_t number = (uint32_t)(cursor >> SCAN_STEP_BITS), step = cursor & SCAN_STEP_MAX, stored_number, stored_step;
	struct slice value, former;
	uint16_t former_len;
	uint8_t key[4];
	int rc;

	scan_slot(number, key);
	rc = cursor >> SCAN_STEP_BITS > UINT32_MAX ? ERR_NOT_FOUND : txn_get(txn, slice_of(key, sizeof(key)), &value);
	if (rc != 0) {
		return rc;
	}
	if (value.len < 10) {
		return ERR_CORRUPT;
	}
	memcpy(&stored_number, value.data, 4);
	memcpy(&stored_step, value.data + 4, 4);
	memcpy(&former_len, value.data + 8, 2);
	if (value.len < 10u + former_len) {
		return ERR_CORRUPT;
	}
	if (stored_number != number || (stored_step != step && stored_step != step + 1)) {
		return ERR_NOT_FOUND;
	}
	former = slice_of(value.data + 10, former_len);
	*scan = (struct scan){number, step, SLICE_NONE,
	                      stored_step == step ? slice_skip(value, 10u + former_len) : former};
	return 0;
}

static int scan_begin(struct txn *txn, struct scan *scan)
{
	static const uint8_t key[2] = {TABLE_KV_DB, 0xfd};
	struct slice value;
	uint32_t newest = 0;
	int rc = txn_get(txn, slice_of(key, sizeof(key)), &value);

	if (rc != 0 && rc != ERR_NOT_FOUND) {
		return rc;
	}
	if (rc == 0 && value.len != sizeof(newest)) {
		return ERR_CORRUPT;
	}
	if (rc == 0) {
		memcpy(&newest, value.data, sizeof(newest));
	}
	newest = newest == UINT32_MAX ? 1 : newest + 1;
	*scan = (struct scan){.number = newest};
	return txn_put(txn, slice_of(key, sizeof(key)), slice_of(&newest, sizeof(newest)));
}

static int scan_store(struct txn *txn, const struct scan *scan)
{
	uint8_t value[10 + 2 * LIMIT_KEY], key[4];
	uint16_t former_len = (uint16_t)scan->former.len;

	assert(scan->former.len <= LIMIT_KEY && scan->key.len <= LIMIT_KEY);
	scan_slot(scan->number, key);
	memcpy(value, &scan->number, 4);
	memcpy(value + 4, &scan->step, 4);
	memcpy(value + 8, &former_len, 2);
	if (former_len > 0) {
		memcpy(value + 10, scan->former.data, former_len);
	}
	if (scan->key.len > 0) {
		memcpy(value + 10 + former_len, scan->key.data, scan->key.len);
	}
	return txn_put(txn, slice_of(key, sizeof(key)), slice_of(value, 10u + former_len + scan->key.len));
}

/* The step behind one that ended at last; *cursor names it. */
static int scan_advance(struct txn *txn, struct scan *scan, struct slice last, uint64_t *cursor)
{
	int rc = 0;

	if (scan->number == 0 || scan->step == SCAN_STEP_MAX) {
		rc = scan_begin(txn, scan);
	}
	if (rc != 0) {
		return rc;
	}
	scan->former = scan->step == 0 ? SLICE_NONE : scan->key;
	scan->step++;
	scan->key = last;
	*cursor = (uint64_t)scan->number << SCAN_STEP_BITS | scan->step;
	return scan_store(txn, scan);
}

struct scan_options {
	struct slice pattern; /* none: all */
	size_t count;
	bool other_type; /* TYPE of something that no key is */
};

static bool parse_scan_options(struct command_call *call, struct scan_options *options)
{
	int64_t count;

	*options = (struct scan_options){SLICE_NONE, 10, false};
	for (size_t at = 2; at < call->argc; at += 2) {
		bool has_value = at + 1 < call->argc;
		if (has_value && argument_is(call, at, "COUNT")) {
			if (!argument_integer(call, at + 1, &count)) {
				return false;
			}
			if (count < 1) {
				reply_syntax_error(call->reply);
				return false;
			}
			options->count = count > LIMIT_SCAN_ROWS ? LIMIT_SCAN_ROWS : (size_t)count;
		} else if (has_value && argument_is(call, at, "MATCH")) {
			options->pattern = call->argv[at + 1];
		} else if (has_value && argument_is(call, at, "TYPE")) {
			options->other_type = !argument_is(call, at + 1, "string");
		} else {
			reply_syntax_error(call->reply);
			return false;
		}
	}
	return true;
}

/* As strtoul reads it, because Redis does. */
static bool parse_cursor(struct command_call *call, uint64_t *cursor)
{
	const char *text = (const char *)arena_copy(call->arena, call->argv[1]).data;
	char *end;

	errno = 0;
	*cursor = strtoul(text, &end, 10);
	if (!isspace((unsigned char)text[0]) && *end == '\0' && errno != ERANGE) {
		return true;
	}
	reply_error(call->reply, "ERR invalid cursor");
	return false;
}

/* key and a zero byte: the place right behind it. */
static struct slice behind(struct slice key, struct arena *arena)
{
	uint8_t *place = arena_zalloc(arena, key.len + 1);

	if (key.len > 0) {
		memcpy(place, key.data, key.len);
	}
	return slice_of(place, key.len + 1);
}

static int scan_step(struct command_call *call, const struct scan_options *options, struct scan *scan)
{
	bool all = options->pattern.data == NULL;
	struct slice prefix = all ? SLICE_NONE : pattern_prefix(options->pattern, call->arena), key;
	struct gather found = {0};
	char text[NUMBER_TEXT_MAX];
	uint64_t cursor = 0;
	struct walk walk;
	bool cut;
	struct row row;
	int rc = walk_open(&walk, call, prefix, scan->step == 0 ? SLICE_NONE : behind(scan->key, call->arena), false);

	if (rc != 0) {
		return rc;
	}
	walk.rows_max = pattern_rows(options->pattern, options->count);
	while (found.bytes <= COMMAND_ANSWER_MAX && walk_next(&walk, &key, &row)) {
		if (!options->other_type && (all || glob_match(options->pattern, key))) {
			gather_add(&found, call->arena, key);
		}
	}
	txn_spend(call->txn, walk.rows * (options->pattern.len / COMMAND_STEP_BYTES));
	rc = walk_close(&walk, &cut);
	if (rc == 0 && (cut || found.bytes > COMMAND_ANSWER_MAX)) {
		rc = scan_advance(call->txn, scan, slice_of(walk.place, walk.place_len), &cursor);
	}
	if (rc != 0) {
		return rc;
	}
	reply_array(call->reply, 2);
	reply_bulk(call->reply, number_text((int64_t)cursor, text));
	reply_gathered(call->reply, &found);
	return 0;
}

int scan_command(struct command_call *call)
{
	struct scan_options options;
	struct scan scan = {0};
	uint64_t cursor;
	int rc = 0;

	if (!parse_cursor(call, &cursor) || !parse_scan_options(call, &options)) {
		return 0;
	}
	if (cursor != 0) {
		rc = scan_load(call->txn, cursor, &scan);
	}
	if (rc == ERR_NOT_FOUND) {
		reply_error(call->reply, "ERR invalid cursor: not one of the last %d scans, begin again with 0", SCAN_SLOTS);
		return 0;
	}
	return rc != 0 ? rc : scan_step(call, &options, &scan);
}
