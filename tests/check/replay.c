#include "tests/check/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/ledger.h"
#include "tests/check/model.h"
#include "tests/check/places.h"

#define CUT_US 1000000

struct replay {
	const struct history *log, *whole;
	struct ledger ledger;
	struct model model;
	struct model_answer answer;
	struct map ids;   /* request id -> struct history_op */
	struct map kept;  /* request id -> struct places_kept */
	uint64_t *places; /* of each operation of whole; 0: not in the log */
	uint64_t place, stamp_ms;
	struct ledger_record *records; /* of the present entry */
	size_t record_count, record_cap;
	size_t hash_at;
	struct err *err;
};

static void *must(void *memory)
{
	if (memory == NULL) {
		fatal("out of memory: the replay of a log");
	}
	return memory;
}

static const char *id_text(struct slice id, char text[64])
{
	snprintf(text, 64, "%.*s", (int)(id.len > 60 ? 60 : id.len), (const char *)id.data);
	return text;
}

/* ---- an entry ---- */

static int keep_record(struct replay *r, const struct ledger_row *row, uint64_t index)
{
	struct ledger_record record;
	char id[64];
	if (!ledger_record(row, &record)) {
		return 0;
	}
	if (record.index != index) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64 " holds a record of request %s that says index %" PRIu64,
			       index, id_text(record.id, id), record.index);
	}
	if (ledger_get(&r->ledger, row->key) != NULL) {
		return err_set(r->err, ERR_INVALID, "entry %" PRIu64 ": request %s took effect a second time",
			       index, id_text(record.id, id));
	}
	if (r->record_count == r->record_cap) {
		r->record_cap = r->record_cap == 0 ? 64 : r->record_cap * 2;
		r->records = must(realloc(r->records, r->record_cap * sizeof(*r->records)));
	}
	r->records[r->record_count++] = record;
	return 0;
}

static int by_ordinal(const void *a, const void *b)
{
	const struct ledger_record *x = a, *y = b;
	return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

/* The model speaks of a transaction as EVAL answers; APPEND of one value answers without the array. */
static bool reply_is(struct slice reply, struct slice expected, const struct history_op *op)
{
	bool single = op->function == HISTORY_TXN && op->part_count == 1 && op->parts[0].append;
	return slice_equal(reply, expected) || (single && slice_equal(reply, slice_skip(expected, 4)));
}

/* Some attempt may have left it there: who was told it, or nothing. Others were told for certain that nothing
 * of theirs can be under way. */
static bool somebody_left(const struct replay *r, const struct history_op *op, const char *code)
{
	for (size_t i = 0; i < r->log->count; i++) {
		const struct history_op *attempt = &r->log->ops[i];
		if (attempt->id != NULL && strcmp(attempt->id, op->id) == 0 &&
		    (attempt->outcome == HISTORY_INFO ||
		     (attempt->outcome == HISTORY_FAIL && strcmp(attempt->code, code) == 0))) {
			return true;
		}
	}
	return false;
}

/* A refusal that was kept: no effect, so no place; it must be right, and somebody's. What clients were told
 * is judged at the end (places_check_refusals). */
static int replay_refusal(struct replay *r, const struct ledger_record *record, const struct history_op *op)
{
	const char *code = model_refusal(&r->model, op);
	char want[64];
	snprintf(want, sizeof(want), "-%s ", code == NULL ? "?" : code);
	if (code == NULL || !slice_starts_with(record->reply, slice_str(want))) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64 ": request %s (%s) was answered \"%.*s\", the model says %s",
			       record->index, op->id, history_function_name(op->function),
			       (int)record->reply.len, (const char *)record->reply.data,
			       code == NULL ? "yes" : code);
	}
	if (op->outcome == HISTORY_OK || !somebody_left(r, op, code)) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64 " refuses request %s with %s, client %u was told %s",
			       record->index, op->id, code, op->client,
			       op->outcome == HISTORY_OK ? "yes" : op->code);
	}
	struct places_kept *kept = arena_alloc(&r->model.arena, sizeof(*kept));
	*kept = (struct places_kept){r->place, code};
	map_put(&r->kept, slice_str(op->id), kept);
	return 0;
}

static int replay_record(struct replay *r, const struct ledger_record *record)
{
	char id[64];
	struct history_op *op = map_get(&r->ids, record->id);
	id_text(record->id, id);
	if (op == NULL) {
		return err_set(r->err, ERR_INVALID, "entry %" PRIu64 " holds request %s, which nobody made",
			       record->index, id);
	}
	if (record->outcome != 0) {
		return replay_refusal(r, record, op);
	}
	if (op->outcome == HISTORY_FAIL) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64 " holds request %s (%s), which failed for certain with %s",
			       record->index, id, history_function_name(op->function), op->code);
	}
	r->places[op - r->whole->ops] = ++r->place;
	if (op->function == HISTORY_OTHER) {
		return 0;
	}
	int rc = model_apply(&r->model, op, r->place, record->stamp_ms, &r->answer, r->err);
	if (rc != 0) {
		return rc;
	}
	if (!reply_is(record->reply, buf_slice(&r->answer.bytes), op)) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64
			       ": request %s (%s) was answered \"%.*s\", the model says \"%.*s\"",
			       record->index, id, history_function_name(op->function), (int)record->reply.len,
			       (const char *)record->reply.data, (int)r->answer.bytes.len,
			       (const char *)r->answer.bytes.data);
	}
	if (op->outcome == HISTORY_OK && !model_agrees(op, &r->answer)) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64
			       ": request %s (%s): client %u was told another answer than the model's",
			       record->index, id, history_function_name(op->function), op->client);
	}
	return 0;
}

/* A row of a Redis key holds what the model has, and the entry's requests meant to change it. */
static int judge_row(struct replay *r, const struct ledger_row *row, uint64_t index, struct buf *text)
{
	struct slice key, bytes;
	if (row->key.len == 0 || row->key.data[0] != 'k') {
		return 0;
	}
	struct slice name = row->key.len < 6 ? row->key : slice_skip(row->key, 6);
	const struct model_cell *cell = map_get(&r->model.cells, name);
	bool meant = false;
	for (size_t i = 0; i < r->model.touched_count; i++) {
		meant = meant || r->model.touched[i] == cell;
	}
	if (cell == NULL || !meant || !ledger_string(row, &key, &bytes)) {
		return err_set(r->err, ERR_INVALID,
			       "entry %" PRIu64 " changes %.*s, which no request asked for", index,
			       (int)name.len, (const char *)name.data);
	}
	buf_reset(text);
	model_text(cell, text);
	if (!slice_equal(bytes, buf_slice(text))) {
		return err_set(r->err, ERR_INVALID, "entry %" PRIu64 " sets %s to %.*s, the model has %.*s",
			       index, cell->name, (int)bytes.len, (const char *)bytes.data, (int)text->len,
			       (const char *)text->data);
	}
	return 0;
}

/* What the requests meant to change is so in the database. */
static int judge_touched(struct replay *r, uint64_t index, struct buf *text)
{
	for (size_t i = 0; i < r->model.touched_count; i++) {
		const struct model_cell *cell = r->model.touched[i];
		uint8_t key[6 + sizeof(cell->name)] = {'k'};
		size_t len = strlen(cell->name);
		struct slice name, bytes;
		memcpy(key + 6, cell->name, len);
		struct ledger_row row = {.key = slice_of(key, 6 + len)};
		const struct slice *value = ledger_get(&r->ledger, row.key);
		row.value = value == NULL ? SLICE_NONE : *value;
		buf_reset(text);
		model_text(cell, text);
		if (!ledger_string(&row, &name, &bytes) || !slice_equal(bytes, buf_slice(text))) {
			return err_set(r->err, ERR_INVALID,
				       "entry %" PRIu64 " does not make %s what its requests say", index,
				       cell->name);
		}
	}
	return 0;
}

static int replay_rows(struct replay *r, const struct history_entry *entry, bool judge, struct buf *text)
{
	struct ledger_batch batch;
	struct ledger_row row;
	int more = ledger_begin(entry->payload, &batch);
	if (more == 0 && !batch.opens && batch.stamp_ms < r->stamp_ms) {
		return err_set(r->err, ERR_INVALID, "entry %" PRIu64 " is older than the one before it",
			       entry->index);
	}
	while (more >= 0 && (more = ledger_next(&batch, &row)) > 0) {
		int rc = judge ? judge_row(r, &row, entry->index, text) : keep_record(r, &row, entry->index);
		if (rc != 0) {
			return rc;
		}
		if (!judge) {
			ledger_put(&r->ledger, &row);
		}
	}
	r->stamp_ms = more == 0 && !batch.opens ? batch.stamp_ms : r->stamp_ms;
	return more == 0 ? 0 : err_set(r->err, ERR_INVALID, "entry %" PRIu64 " is damaged", entry->index);
}

static int replay_entry(struct replay *r, const struct history_entry *entry, struct buf *text)
{
	if (entry->payload.len == 0) {
		return 0;
	}
	r->record_count = r->model.touched_count = 0;
	int rc = replay_rows(r, entry, false, text);
	if (r->record_count > 1) {
		qsort(r->records, r->record_count, sizeof(*r->records), by_ordinal);
	}
	for (size_t i = 0; i < r->record_count && rc == 0; i++) {
		if (i > 0 && r->records[i].ordinal == r->records[i - 1].ordinal) {
			return err_set(r->err, ERR_INVALID, "entry %" PRIu64 ": two requests at ordinal %u",
				       entry->index, r->records[i].ordinal);
		}
		rc = replay_record(r, &r->records[i]);
	}
	rc = rc == 0 ? replay_rows(r, entry, true, text) : rc;
	return rc == 0 ? judge_touched(r, entry->index, text) : rc;
}

/* ---- the nodes' own word ---- */

static int judge_hashes(struct replay *r, uint64_t index)
{
	struct chain sum = {0};
	bool known = false;
	for (size_t i = 0; i < r->log->hash_count; i++) {
		const struct history_hash *hash = &r->log->hashes[i];
		if (hash->index != index) {
			continue;
		}
		sum = known ? sum : ledger_hash(&r->ledger);
		known = true;
		r->hash_at++;
		if (!chain_equal(sum, hash->hash)) {
			return err_set(r->err, ERR_INVALID,
				       "n%u's database at index %" PRIu64 " is not what the log makes",
				       hash->node, index);
		}
	}
	return 0;
}

static int replay_log(struct replay *r)
{
	struct buf text;
	int rc = 0;
	buf_init(&text, 1 << 20);
	for (size_t i = 0; i < r->log->entry_count && rc == 0; i++) {
		const struct history_entry *entry = &r->log->entries[i];
		if (entry->index != i + 1) {
			rc = err_set(r->err, ERR_INVALID, "the log has index %" PRIu64 " where %zu is due",
				     entry->index, i + 1);
			break;
		}
		rc = replay_entry(r, entry, &text);
		rc = rc == 0 ? judge_hashes(r, entry->index) : rc;
	}
	buf_fini(&text);
	if (rc == 0 && r->hash_at != r->log->hash_count) {
		rc = err_set(r->err, ERR_INVALID, "a node has a database beyond the log");
	}
	return rc;
}

/* ---- the end ---- */

/* Where the nodes were lost for good, answers from this time on may come from entries that were committed and
 * that nobody lived to apply. Their places were the log's last, so they are among the last answers. */
static uint64_t excused_from_us(const struct replay *r)
{
	uint64_t last_us = 0;
	for (size_t i = 0; i < r->whole->count && r->log->cut; i++) {
		const struct history_op *op = &r->whole->ops[i];
		if (op->outcome == HISTORY_OK && op->returned_us > last_us) {
			last_us = op->returned_us;
		}
	}
	return !r->log->cut ? UINT64_MAX : last_us < CUT_US ? 0 : last_us - CUT_US;
}

/* The sums are those at some place of the log: behind everything that was acknowledged before they were asked
 * for, and before none, some or all of the sales behind that, which nobody had been told of yet. */
static bool explains_stock(const struct replay *r, const struct history_op *stock)
{
	const struct history *whole = r->whole;
	uint64_t told = 0, before = UINT64_MAX;
	for (size_t i = 0; i < whole->count; i++) {
		if (whole->ops[i].outcome == HISTORY_OK && whole->ops[i].returned_us <= stock->invoked_us &&
		    r->places[i] > told) {
			told = r->places[i];
		}
	}
	int64_t late_units = 0;
	while (!model_has_stock(&r->model, stock, late_units)) {
		if (before <= told) {
			return false;
		}
		uint64_t latest = told;
		int64_t units = 0;
		for (size_t i = 0; i < whole->count; i++) {
			if (whole->ops[i].function == HISTORY_BUY && r->places[i] > latest &&
			    r->places[i] < before) {
				latest = r->places[i];
				units = model_units_sold(&r->model, whole->ops[i].key);
			}
		}
		late_units += units;
		before = latest;
	}
	return true;
}

static int judge_presence(struct replay *r)
{
	uint64_t excused_us = excused_from_us(r);
	for (size_t i = 0; i < r->whole->count; i++) {
		const struct history_op *op = &r->whole->ops[i];
		bool row = op->function == HISTORY_ORDER || op->function == HISTORY_STOCK;
		if (op->outcome == HISTORY_OK && !places_is_read(op) && !row && r->places[i] == 0 &&
		    op->returned_us < excused_us) {
			return err_set(r->err, ERR_INVALID,
				       "request %s (%s %" PRId64 ") was acknowledged and is not in the log",
				       op->id, history_function_name(op->function), op->key);
		}
		if (op->function == HISTORY_ORDER && !model_has_order(&r->model, op)) {
			return err_set(r->err, ERR_INVALID, "the row of order %" PRId64 " is not the model's",
				       op->key);
		}
		if (op->function == HISTORY_STOCK && !explains_stock(r, op)) {
			return err_set(r->err, ERR_INVALID, "the sums of the sale are not the model's");
		}
	}
	return 0;
}

int replay_check(const struct history *log, const struct history *whole, struct err *err)
{
	struct replay r = {.log = log, .whole = whole, .err = err};
	ledger_init(&r.ledger);
	model_init(&r.model);
	model_answer_init(&r.answer);
	map_init(&r.ids);
	map_init(&r.kept);
	r.places = must(calloc(whole->count + 1, sizeof(*r.places)));
	for (size_t i = 0; i < whole->count; i++) {
		if (whole->ops[i].id != NULL && *whole->ops[i].id != '\0') {
			map_put(&r.ids, slice_str(whole->ops[i].id), &whole->ops[i]);
		}
	}
	int rc = replay_log(&r);
	rc = rc == 0 ? judge_presence(&r) : rc;
	rc = rc == 0 ? places_check_requests(whole, r.places, r.place, err) : rc;
	const struct places_log refusals = {log,      whole,   r.places,           r.place,
					    &r.model, &r.kept, excused_from_us(&r)};
	rc = rc == 0 ? places_check_refusals(&refusals, err) : rc;
	rc = rc == 0 ? places_check_reads(whole, r.places, r.place, &r.model, err) : rc;
	free(r.places);
	free(r.records);
	map_fini(&r.ids);
	map_fini(&r.kept);
	model_answer_fini(&r.answer);
	model_fini(&r.model);
	ledger_fini(&r.ledger);
	return rc;
}
