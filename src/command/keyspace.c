/* The key space as a whole: KEYS, DBSIZE, RANDOMKEY, and RANGE, which is ours. What is walked at once on the
 * loop is bounded; KEYS and DBSIZE come here only from queues and scripts (survey.h). */
#include "command/walk.h"

#include "base/err.h"

/* ---- KEYS, DBSIZE ---- */

static void reply_walk_too_long(struct reply *r)
{
	reply_code(r, CODE_TOO_LARGE, "\"reason\":\"too many keys to walk inside a transaction or script; use SCAN or RANGE, or send it by "
	                               "itself\"");
}

int keys_command(struct command_call *call)
{
	struct slice pattern = call->argv[1], key;
	struct gather found = {0};
	struct walk walk;
	bool cut;
	struct row row;
	int rc = walk_open(&walk, call, pattern_prefix(pattern, call->arena), SLICE_NONE, false);

	if (rc != 0) {
		return rc;
	}
	walk.rows_max = pattern_rows(pattern, COMMAND_WALK_MAX);
	while (found.bytes <= COMMAND_ANSWER_MAX && walk_next(&walk, &key, &row)) {
		if (glob_match(pattern, key)) {
			gather_add(&found, call->arena, key);
		}
	}
	txn_spend(call->txn, walk.rows * (pattern.len / COMMAND_STEP_BYTES));
	rc = walk_close(&walk, &cut);
	if (rc != 0) {
		return rc;
	}
	if (cut || found.bytes > COMMAND_ANSWER_MAX) {
		reply_walk_too_long(call->reply);
	} else {
		reply_gathered(call->reply, &found);
	}
	return 0;
}

int dbsize_command(struct command_call *call)
{
	struct walk walk;
	bool cut;
	struct slice key;
	struct row row;
	int64_t count = 0;
	int rc = walk_open(&walk, call, SLICE_NONE, SLICE_NONE, false);

	if (rc != 0) {
		return rc;
	}
	while (walk_next(&walk, &key, &row)) {
		count++;
	}
	rc = walk_close(&walk, &cut);
	if (rc != 0) {
		return rc;
	}
	if (cut) {
		reply_walk_too_long(call->reply);
	} else {
		reply_integer(call->reply, count);
	}
	return 0;
}

_Static_assert(COMMAND_WALK_MAX == 100000, "the text says so");

/* Nothing was found up to there: it is not known that there is nothing. */
static void reply_many_expired(struct reply *r)
{
	reply_code(r, CODE_OVERLOADED, "\"reason\":\"100,000 keys that have expired lie before the next one and are being removed: ask "
	                               "again a little later, or from behind them\"");
}

/* ---- RANDOMKEY ---- */

/* One live key: the first (or last) of the database, or the first from `from` on. cut: none, so far. */
static int one_key(struct command_call *call, struct slice from, bool backward, struct slice *found, bool *cut)
{
	struct walk walk;
	struct slice key;
	struct row row;
	int rc = walk_open(&walk, call, SLICE_NONE, from, backward);

	if (rc != 0) {
		return rc;
	}
	*found = walk_next(&walk, &key, &row) ? arena_copy(call->arena, key) : SLICE_NONE;
	return walk_close(&walk, cut);
}

/* The eight bytes behind the first skip of s, as a number; what is missing is zero. */
static uint64_t number_behind(struct slice s, size_t skip)
{
	uint64_t number = 0;

	for (size_t i = skip; i < skip + 8; i++) {
		number = number << 8 | (i < s.len ? s.data[i] : 0);
	}
	return number;
}

/* A place between first and last, first <= last: what they share, then a random number between their
 * next bytes. Keys behind a large gap come more often than others. */
static struct slice random_place(struct command_call *call, struct slice first, struct slice last)
{
	size_t shared = 0;
	uint64_t low, high, width;
	uint8_t *place;

	while (shared < first.len && shared < last.len && first.data[shared] == last.data[shared]) {
		shared++;
	}
	low = number_behind(first, shared);
	high = number_behind(last, shared);
	width = high - low + 1;
	low += width == 0 ? call->random : call->random % width;
	place = arena_alloc(call->arena, shared + 8);
	if (shared > 0) {
		memcpy(place, first.data, shared);
	}
	low = __builtin_bswap64(low);
	memcpy(place + shared, &low, 8);
	return slice_of(place, shared + 8);
}

int randomkey_command(struct command_call *call)
{
	struct slice first, last, key;
	bool first_cut = false, last_cut = false, cut;
	int rc = one_key(call, SLICE_NONE, false, &first, &first_cut);

	if (rc == 0) {
		rc = one_key(call, SLICE_NONE, true, &last, &last_cut);
	}
	if (rc != 0) {
		return rc;
	}
	if (first.data == NULL || last.data == NULL) {
		if (first_cut || last_cut) {
			reply_many_expired(call->reply);
		} else {
			reply_null(call->reply);
		}
		return 0;
	}
	rc = one_key(call, random_place(call, first, last), false, &key, &cut);
	if (rc == 0) {
		reply_bulk(call->reply, key.data == NULL ? last : key);
	}
	return rc;
}

/* ---- RANGE ---- */

_Static_assert(LIMIT_SCAN_ROWS == 10000, "the text says so");

static bool parse_range_limit(struct command_call *call, int64_t *limit)
{
	*limit = LIMIT_SCAN_ROWS;
	if (call->argc == 3) {
		return true;
	}
	if (call->argc != 5 || !argument_is(call, 3, "LIMIT")) {
		reply_syntax_error(call->reply);
		return false;
	}
	if (!slice_to_int64(call->argv[4], limit) || *limit < 1 || *limit > LIMIT_SCAN_ROWS) {
		reply_code(call->reply, CODE_VALIDATION, "\"reason\":\"LIMIT is 1 to 10000\"");
		return false;
	}
	return true;
}

/* RANGE from to [LIMIT n]: keys and values of [from, to) in the order of the keys; an empty `to` is the end of
 * all. A map in RESP3, in that order; pairs in RESP2. */
int range_command(struct command_call *call)
{
	struct slice from = call->argv[1], to = call->argv[2], key;
	struct gather found = {0};
	struct walk walk;
	bool cut;
	struct row row;
	int64_t limit;
	int rc;

	if (!parse_range_limit(call, &limit)) {
		return 0;
	}
	rc = walk_open(&walk, call, SLICE_NONE, from, false);
	if (rc != 0) {
		return rc;
	}
	while (limit-- > 0 && found.bytes <= COMMAND_ANSWER_MAX && walk_next(&walk, &key, &row)) {
		if (to.len > 0 && slice_compare(key, to) >= 0) {
			break;
		}
		gather_add(&found, call->arena, key);
		gather_add(&found, call->arena, row.bytes);
	}
	rc = walk_close(&walk, &cut);
	if (rc != 0) {
		return rc;
	}
	if (cut && found.count == 0 && (to.len == 0 || slice_compare(slice_of(walk.place, walk.place_len), to) < 0)) {
		reply_many_expired(call->reply);
		return 0;
	}
	reply_map(call->reply, found.count / 2);
	for (size_t i = 0; i < found.count; i++) {
		reply_bulk(call->reply, found.items[i]);
	}
	return 0;
}
