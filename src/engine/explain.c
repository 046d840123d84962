/* EXPLAIN: a request runs, nothing of it stays, and the answer is a map of what it did: its outcome, the rows
 * it read and would write, and the reply that would come.
 *
 * A row is an array that names it as its owner does, written ones with put or delete in front:
 *
 *   key db name            a key of the Redis commands
 *   row table key…         a row of a bundle's table
 *   index table name key…  what stands in an index
 *   sequence name          function library-or-function     once user id
 *
 * Rows by which the house keeps itself (generations, expiries, the active bundle) are left out. */
#include <assert.h>

#include "engine/execution.h"

#include "store/keys.h"
#include "wire/tuple.h"

/* Rows that one list names, and bytes after which it ends; more tells that there were others. A key that was
 * only asked for may be longer than any row's, as long as a script can make it: then it is one of the others.
 */
#define EXPLAIN_ROWS_MAX 100
#define EXPLAIN_BYTES_MAX MIB(1)
#define EXPLAIN_WORDS_MAX (4 + LIMIT_ROW_KEY) /* an element of a tuple has a byte at least */
_Static_assert(2 * EXPLAIN_BYTES_MAX + 32 * EXPLAIN_WORDS_MAX < LIMIT_REPLY,
	       "the last name fits behind, with what stands in front of its words");

/* What names a row, as a reply. */
struct name {
	size_t count;
	struct {
		bool is_int;
		int64_t integer;
		struct slice text;
	} words[EXPLAIN_WORDS_MAX];
};

static void add_text(struct name *name, struct slice text)
{
	assert(name->count < EXPLAIN_WORDS_MAX);
	name->words[name->count].is_int = false;
	name->words[name->count++].text = text;
}

static void add_int(struct name *name, int64_t integer)
{
	assert(name->count < EXPLAIN_WORDS_MAX);
	name->words[name->count].is_int = true;
	name->words[name->count++].integer = integer;
}

/* Up to the zero byte behind it. */
static bool take_name(struct slice *key, struct name *name)
{
	const uint8_t *zero = key->len == 0 ? NULL : memchr(key->data, 0, key->len);
	if (zero == NULL) {
		return false;
	}
	size_t len = (size_t)(zero - key->data);
	add_text(name, slice_of(key->data, len));
	*key = slice_skip(*key, len + 1);
	return true;
}

static void take_tuple(struct slice key, struct arena *arena, struct name *name)
{
	struct tuple_item item;
	while (key.len > 0 && tuple_read(&key, &item) == 0) {
		if (item.kind == TUPLE_TEXT) {
			uint8_t *text = arena_alloc(arena, item.text.len + 1);
			add_text(name, slice_of(text, tuple_unescape(item.text, text)));
		} else if (item.kind == TUPLE_NOTHING) {
			add_text(name, SLICE_LIT(""));
		} else {
			add_int(name, item.integer);
		}
	}
}

static bool name_key(struct execution *x, struct slice row_key, struct name *name)
{
	unsigned db;
	struct slice key;
	if (!command_row_name(x->txn, row_key, &db, &key)) {
		return false;
	}
	add_text(name, SLICE_LIT("key"));
	add_int(name, db);
	add_text(name, key);
	return true;
}

static bool name_once(struct slice key, struct name *name)
{
	struct slice user;
	uint8_t len = 0;
	add_text(name, SLICE_LIT("once"));
	if (!slice_take_u8(&key, &len) || !slice_take(&key, len, &user)) {
		return false;
	}
	add_text(name, user);
	add_text(name, key);
	return true;
}

/* False: a row of the house's own. */
static bool name_row(struct execution *x, struct slice row_key, struct name *name)
{
	struct slice key = slice_skip(row_key, 1);
	switch (row_key.data[0]) {
	case TABLE_KV:
		return name_key(x, row_key, name);
	case TABLE_ROW:
		add_text(name, SLICE_LIT("row"));
		if (!take_name(&key, name)) {
			return false;
		}
		take_tuple(key, &x->shard->arena, name);
		return true;
	case TABLE_INDEX:
		add_text(name, SLICE_LIT("index"));
		if (!take_name(&key, name) || !take_name(&key, name)) {
			return false;
		}
		take_tuple(key, &x->shard->arena, name);
		return true;
	case TABLE_SEQUENCE:
		add_text(name, SLICE_LIT("sequence"));
		add_text(name, key);
		return true;
	case TABLE_FUNCTION:
		add_text(name, SLICE_LIT("function"));
		add_text(name, slice_skip(key, key.len > 0));
		return true;
	case TABLE_ONCE:
		return name_once(key, name);
	default:
		return false;
	}
}

static bool is_long(const struct name *name)
{
	size_t bytes = 0;
	for (size_t i = 0; i < name->count; i++) {
		bytes += name->words[i].is_int ? 0 : name->words[i].text.len;
	}
	return bytes > EXPLAIN_BYTES_MAX;
}

static void reply_name(struct reply *reply, const struct name *name)
{
	reply_array(reply, name->count);
	for (size_t i = 0; i < name->count; i++) {
		if (name->words[i].is_int) {
			reply_integer(reply, name->words[i].integer);
		} else {
			reply_bulk(reply, name->words[i].text);
		}
	}
}

/* A list of rows under way: how many there are is known at its end. */
struct rows {
	struct name *name; /* of the row that is being added */
	struct buf out;
	struct reply reply;
	size_t count;
	bool more;
};

static void rows_begin(struct rows *rows, struct name *name, const struct reply *like)
{
	*rows = (struct rows){.name = name};
	buf_init(&rows->out, LIMIT_REPLY);
	rows->reply = (struct reply){&rows->out, like->protocol};
}

static void rows_add(struct execution *x, struct rows *rows, const char *verb, struct slice row_key)
{
	struct name *name = rows->name;
	name->count = 0;
	if (verb != NULL) {
		add_text(name, slice_str(verb));
	}
	if (!name_row(x, row_key, name)) {
		return;
	}
	if (rows->count == EXPLAIN_ROWS_MAX || rows->out.len >= EXPLAIN_BYTES_MAX || is_long(name)) {
		rows->more = true;
		return;
	}
	reply_name(&rows->reply, name);
	rows->count++;
}

static void rows_end(struct rows *rows, struct reply *reply)
{
	assert(!buf_failed(&rows->out));
	reply_array(reply, rows->count);
	buf_append_slice(reply->out, buf_slice(&rows->out));
	buf_fini(&rows->out);
}

static void reply_rows(struct execution *x, struct txn_trace *trace, struct reply *reply)
{
	struct rows reads, writes;
	struct slice key;
	bool deleted;
	size_t at = 0, traced = trace->count; /* naming rows reads rows as well */
	bool more = trace->more;
	struct name *name = arena_alloc(&x->shard->arena, sizeof *name);
	rows_begin(&reads, name, reply);
	rows_begin(&writes, name, reply);
	for (size_t i = 0; i < traced; i++) {
		rows_add(x, &reads, NULL, trace->keys[i]);
	}
	while (txn_next_written(x->txn, &at, &key, &deleted)) {
		rows_add(x, &writes, deleted ? "delete" : "put", key);
	}
	more = more || reads.more || writes.more;
	reply_bulk_text(reply, "reads");
	rows_end(&reads, reply);
	reply_bulk_text(reply, "writes");
	rows_end(&writes, reply);
	reply_bulk_text(reply, "more");
	reply_bool(reply, more);
}

int run_explained(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	struct txn_trace *trace = arena_alloc(&x->shard->arena, sizeof *trace);
	struct buf inside;
	struct reply inner = {&inside, reply->protocol};
	buf_init(&inside, reply->out->max);
	txn_trace_reads(x->txn, trace);
	int rc = run_request(x, &inner, verdict);
	if (rc == 0) {
		reply_map(reply, 8);
		reply_bulk_text(reply, "outcome");
		reply_bulk_text(reply, outcome_name(verdict->outcome));
		reply_bulk_text(reply, "replayed");
		reply_bool(reply, verdict->replayed);
		reply_bulk_text(reply, "now_ms");
		reply_integer(reply, (int64_t)txn_now_ms(x->txn));
		reply_bulk_text(reply, "waits_for");
		reply_integer(reply, (int64_t)txn_read_index(x->txn));
		reply_rows(x, trace, reply);
		reply_bulk_text(reply, "reply");
		buf_append_slice(reply->out, buf_slice(&inside));
	}
	rc = rc == 0 && buf_failed(&inside) ? ERR_TOO_LARGE : rc;
	buf_fini(&inside);
	return rc;
}
