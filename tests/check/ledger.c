#include "tests/check/ledger.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 28 /* the entry's 16, the batch's 12 */
#define RECORD_BYTES 40
#define STRING_HEAD 10
#define STRING_EXPIRES 1

static uint64_t little(const uint8_t *bytes, size_t count)
{
	uint64_t value = 0;
	for (size_t i = count; i-- > 0;) {
		value = value << 8 | bytes[i];
	}
	return value;
}

int ledger_begin(struct slice payload, struct ledger_batch *batch)
{
	static const uint8_t none[8] = {0};
	if (payload.len < HEAD_BYTES || payload.data[0] != 1 || memcmp(payload.data + 2, none, 2) != 0 ||
	    memcmp(payload.data + 16, none, 8) != 0 ||
	    little(payload.data + 4, 4) != little(payload.data + 24, 4)) {
		return ERR_CORRUPT;
	}
	*batch = (struct ledger_batch){
		.opens = payload.data[1] == 2,
		.stamp_ms = little(payload.data + 8, 8),
		.left = (uint32_t)little(payload.data + 4, 4),
		.rest = slice_of(payload.data + HEAD_BYTES, payload.len - HEAD_BYTES),
	};
	return 0;
}

static bool take(struct slice *rest, size_t len, struct slice *taken)
{
	if (rest->len < len) {
		return false;
	}
	*taken = slice_of(rest->data, len);
	*rest = slice_of(rest->data + len, rest->len - len);
	return true;
}

/* A length and as many bytes. */
static bool take_string(struct slice *rest, struct slice *string)
{
	uint64_t len = 0;
	struct slice byte;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (!take(rest, 1, &byte)) {
			return false;
		}
		len |= (uint64_t)(byte.data[0] & 0x7f) << shift;
		if ((byte.data[0] & 0x80) == 0) {
			return take(rest, len, string);
		}
	}
	return false;
}

int ledger_next(struct ledger_batch *batch, struct ledger_row *row)
{
	struct slice kind;
	if (batch->left == 0) {
		return batch->rest.len == 0 ? 0 : ERR_CORRUPT;
	}
	*row = (struct ledger_row){0};
	if (!take(&batch->rest, 1, &kind) || kind.data[0] > 1 || !take_string(&batch->rest, &row->key)) {
		return ERR_CORRUPT;
	}
	row->deleted = kind.data[0] == 0;
	if (!row->deleted && !take_string(&batch->rest, &row->value)) {
		return ERR_CORRUPT;
	}
	batch->left--;
	return 1;
}

bool ledger_record(const struct ledger_row *row, struct ledger_record *record)
{
	if (row->deleted || row->key.len < 2 || row->key.data[0] != 'o' || row->value.len < RECORD_BYTES) {
		return false;
	}
	size_t user = row->key.data[1];
	const uint8_t *value = row->value.data;
	if (row->key.len < 2 + user || value[0] != 1) {
		return false;
	}
	*record = (struct ledger_record){
		.id = slice_of(row->key.data + 2 + user, row->key.len - 2 - user),
		.reply = slice_of(value + RECORD_BYTES, row->value.len - RECORD_BYTES),
		.index = little(value + 8, 8),
		.stamp_ms = little(value + 16, 8),
		.ordinal = (uint32_t)little(value + 4, 4),
		.outcome = value[1],
	};
	return true;
}

bool ledger_string(const struct ledger_row *row, struct slice *key, struct slice *text)
{
	if (row->key.len < 6 || row->key.data[0] != 'k' || row->key.data[1] != 0 ||
	    row->value.len < STRING_HEAD || row->value.data[0] != 'S') {
		return false;
	}
	size_t head = row->value.data[1] & STRING_EXPIRES ? STRING_HEAD + 8 : STRING_HEAD;
	if (row->value.len < head) {
		return false;
	}
	*key = slice_of(row->key.data + 6, row->key.len - 6);
	*text = slice_of(row->value.data + head, row->value.len - head);
	return true;
}

/* ---- the database ---- */

void ledger_init(struct ledger *ledger)
{
	arena_init(&ledger->arena, 1 << 16);
	map_init(&ledger->rows);
}

void ledger_fini(struct ledger *ledger)
{
	map_fini(&ledger->rows);
	arena_fini(&ledger->arena);
}

void ledger_put(struct ledger *ledger, const struct ledger_row *row)
{
	if (row->deleted) {
		map_remove(&ledger->rows, row->key);
		return;
	}
	struct slice *value = arena_alloc(&ledger->arena, sizeof(*value));
	*value = row->value;
	map_put(&ledger->rows, row->key, value);
}

const struct slice *ledger_get(const struct ledger *ledger, struct slice key)
{
	return map_get(&ledger->rows, key);
}

static int by_key(const void *a, const void *b)
{
	return slice_compare(((const struct ledger_row *)a)->key, ((const struct ledger_row *)b)->key);
}

struct chain ledger_hash(const struct ledger *ledger)
{
	size_t count = ledger->rows.count, longest = 0, n = 0, at = 0;
	struct ledger_row *rows = calloc(count + 1, sizeof(*rows));
	struct slice key;
	void *value;
	if (rows == NULL) {
		fatal("out of memory: %zu rows of the ledger", count);
	}
	while (map_next(&ledger->rows, &at, &key, &value)) {
		rows[n] = (struct ledger_row){.key = key, .value = *(struct slice *)value};
		size_t len = key.len + rows[n++].value.len;
		longest = len > longest ? len : longest;
	}
	qsort(rows, n, sizeof(*rows), by_key);
	uint8_t *bytes = malloc(longest + 1);
	if (bytes == NULL) {
		fatal("out of memory: a row of %zu bytes", longest);
	}
	struct chain sum = {0, 0};
	for (size_t i = 0; i < n; i++) {
		memcpy(bytes, rows[i].key.data, rows[i].key.len);
		if (rows[i].value.len > 0) {
			memcpy(bytes + rows[i].key.len, rows[i].value.data, rows[i].value.len);
		}
		sum = chain_next(sum, rows[i].key.len, rows[i].value.len, 0,
				 slice_of(bytes, rows[i].key.len + rows[i].value.len));
	}
	free(bytes);
	free(rows);
	return sum;
}
