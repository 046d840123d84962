/* ROW and ROWS: a table's rows for whoever is not a procedure. A row is a map of its
 * columns in declared order (RESP3), or its JSON (RESP2). */
#include "script/host.h"

#include <assert.h>

#include "wire/json.h"
#include "wire/tuple.h"

#define ROWS_DEFAULT 100
/* Tables that are named to who asks for another. */
#define TABLES_TOLD 24

static int refuse(struct reply *reply, struct arena *arena, const char *why)
{
	reply_code(reply, CODE_VALIDATION, arena_printf(arena, "\"reason\":\"%s\"", why));
	return ERR_DENIED;
}

/* Who mistyped a name sees the right one. Names are plain words; where there are many, the first ones. */
static int refuse_table(const struct script_bundle *bundle, struct arena *arena, struct reply *reply)
{
	if (bundle == NULL) {
		return refuse(reply, arena, "no bundle is active, and it is a bundle that has tables: push one");
	}
	if (bundle->table_count == 0) {
		return refuse(reply, arena, "the active bundle has no tables");
	}
	const char *names = "";
	size_t told = bundle->table_count < TABLES_TOLD ? bundle->table_count : TABLES_TOLD;
	for (size_t i = 0; i < told; i++) {
		names = arena_printf(arena, "%s%s%s", names, i == 0 ? "" : ", ",
				     (const char *)bundle->tables[i].name.data);
	}
	const char *more = "";
	if (told < bundle->table_count) {
		more = arena_printf(arena, " and %zu more, in its tables.lua", bundle->table_count - told);
	}
	return refuse(reply, arena,
		      arena_printf(arena, "the active bundle has no such table; it has %s%s", names, more));
}

/* The table named at argv[0]; on failure the reply is written. */
static int find_table(struct script_host *host, struct txn *txn, struct arena *arena, struct slice name,
		      const struct schema_table **table, struct reply *reply)
{
	struct script_bundle *bundle = NULL;
	uint64_t version;
	int status = host_active(host, txn, &bundle, &version);
	if (status < 0 && status != ERR_NOT_FOUND) {
		return status;
	}
	for (size_t i = 0; status == 0 && i < bundle->table_count; i++) {
		if (slice_equal(bundle->tables[i].name, name)) {
			*table = &bundle->tables[i];
			return 0;
		}
	}
	return refuse_table(status == 0 ? bundle : NULL, arena, reply);
}

/* Texts as the leading cells of a key: the encoded key, or why not. */
static const char *encode_key(const struct schema_table *table, struct arena *arena,
			      const struct slice *texts, size_t count, struct slice *key)
{
	struct cell cells[SCHEMA_KEY_MAX];
	size_t room = table->prefix.len;
	if (count > table->key_count) {
		return arena_printf(arena, "the key of %s has %zu columns", (const char *)table->name.data,
				    table->key_count);
	}
	for (size_t i = 0; i < count; i++) {
		const struct field *column = &table->columns.items[table->key[i]];
		const struct value *nested;
		const char *why = value_parse(arena, &column->type, texts[i], &cells[i], &nested);
		if (why != NULL) {
			return arena_printf(arena, "%s %s", (const char *)column->name.data, why);
		}
		room += cells[i].kind == CELL_TEXT ? tuple_text_max(cells[i].len) : TUPLE_INT_MAX;
	}
	uint8_t *bytes = arena_alloc(arena, room);
	memcpy(bytes, table->prefix.data, table->prefix.len);
	uint8_t *out = bytes + table->prefix.len;
	for (size_t i = 0; i < count; i++) {
		if (cells[i].kind == CELL_TEXT) {
			out = tuple_write_text(out, cell_slice(&cells[i]));
		} else if (cells[i].kind == CELL_BOOL) {
			out = tuple_write_bool(out, cells[i].integer != 0);
		} else {
			out = tuple_write_int(out, cells[i].integer);
		}
	}
	*key = slice_of(bytes, (size_t)(out - bytes));
	return NULL;
}

static void write_json(struct buf *out, const struct schema_table *table, const struct cell *cells)
{
	buf_append_byte(out, '{');
	for (size_t i = 0; i < table->columns.count; i++) {
		const struct cell *cell = &cells[i];
		if (i > 0) {
			buf_append_byte(out, ',');
		}
		json_write_text(out, table->columns.items[i].name);
		buf_append_byte(out, ':');
		if (cell->kind == CELL_INT) {
			json_write_int(out, cell->integer);
		} else if (cell->kind == CELL_TEXT) {
			json_write_text(out, cell_slice(cell));
		} else {
			buf_append_text(out, cell->kind == CELL_NOTHING ? "null"
					     : cell->integer            ? "true"
									: "false");
		}
	}
	buf_append_byte(out, '}');
}

static int write_row(const struct schema_table *table, struct arena *arena, struct slice key,
		     struct slice value, struct reply *reply)
{
	struct cell cells[SCHEMA_FIELDS_MAX];
	if (db_decode_key(table, key, arena, cells) < 0 || db_decode_value(table, value, cells) < 0) {
		return ERR_CORRUPT;
	}
	if (reply->protocol != 3) {
		struct buf out;
		buf_init(&out, 2 * LIMIT_VALUE);
		write_json(&out, table, cells);
		reply_bulk(reply, buf_slice(&out));
		buf_fini(&out);
		return 0;
	}
	reply_map(reply, table->columns.count);
	for (size_t i = 0; i < table->columns.count; i++) {
		reply_bulk(reply, table->columns.items[i].name);
		result_write_cell(reply, &cells[i]);
	}
	return 0;
}

int script_row(struct script_host *host, struct txn *txn, struct arena *arena, const struct slice *argv,
	       size_t argc, struct reply *reply)
{
	const struct schema_table *table;
	struct slice key, value;
	if (argc < 2) {
		return refuse(reply, arena, "ROW table key…");
	}
	int status = find_table(host, txn, arena, argv[0], &table, reply);
	if (status < 0) {
		return status;
	}
	if (argc - 1 != table->key_count) {
		return refuse(reply, arena,
			      arena_printf(arena, "the key of %s has %zu columns",
					   (const char *)table->name.data, table->key_count));
	}
	const char *why = encode_key(table, arena, argv + 1, argc - 1, &key);
	if (why != NULL) {
		return refuse(reply, arena, why);
	}
	status = txn_get(txn, key, &value);
	if (status == ERR_NOT_FOUND) {
		reply_null(reply);
		return 0;
	}
	return status < 0 ? status : write_row(table, arena, key, value, reply);
}

struct range {
	const struct slice *from, *to;
	size_t from_count, to_count;
	int64_t limit;
};

static const char *parse_range(const struct slice *argv, size_t argc, struct range *range)
{
	size_t i = 1;
	*range = (struct range){.from = argv + 1, .limit = ROWS_DEFAULT};
	while (i < argc && !slice_is_word(argv[i], "TO") && !slice_is_word(argv[i], "LIMIT")) {
		i++;
	}
	range->from_count = i - 1;
	if (i < argc && slice_is_word(argv[i], "TO")) {
		range->to = argv + ++i;
		while (i < argc && !slice_is_word(argv[i], "LIMIT")) {
			i++;
		}
		range->to_count = (size_t)(argv + i - range->to);
	}
	if (i < argc) {
		if (i + 2 != argc || !slice_to_int64(argv[i + 1], &range->limit)) {
			return "LIMIT takes one number and stands last";
		}
	}
	static_assert(LIMIT_SCAN_ROWS == 10000, "told below");
	return range->limit >= 1 && range->limit <= LIMIT_SCAN_ROWS ? NULL : "LIMIT is 1 to 10000";
}

static int copy_rows(struct txn *txn, struct arena *arena, const struct schema_table *table,
		     struct slice from, struct slice to, int64_t limit, struct reply *reply)
{
	struct buf rows; /* the count stands in front and is known at the end */
	buf_init(&rows, MIB(8));
	struct reply inner = {.out = &rows, .protocol = reply->protocol};
	struct txn_cursor *cursor = txn_cursor_open(txn, from, to, false);
	struct slice key, value;
	size_t count = 0;
	int status = 0;
	while (status == 0 && (int64_t)count < limit && txn_cursor_next(cursor, &key, &value)) {
		status = write_row(table, arena, key, value, &inner);
		count++;
	}
	if (status == 0) {
		status = txn_cursor_error(cursor);
	}
	txn_cursor_close(cursor);
	if (status == 0 && buf_failed(&rows)) {
		reply_code(reply, CODE_TOO_LARGE,
			   "\"reason\":\"the rows are too long together: use a smaller LIMIT\"");
		status = ERR_DENIED;
	} else if (status == 0) {
		reply_array(reply, count);
		buf_append_slice(reply->out, buf_slice(&rows));
	}
	buf_fini(&rows);
	return status;
}

int script_rows(struct script_host *host, struct txn *txn, struct arena *arena, const struct slice *argv,
		size_t argc, struct reply *reply)
{
	const struct schema_table *table;
	struct range range;
	struct slice from, to;
	if (argc < 1) {
		return refuse(reply, arena, "ROWS table from… [TO key…] [LIMIT n]");
	}
	int status = find_table(host, txn, arena, argv[0], &table, reply);
	if (status < 0) {
		return status;
	}
	const char *why = parse_range(argv, argc, &range);
	if (why == NULL) {
		why = encode_key(table, arena, range.from, range.from_count, &from);
	}
	if (why == NULL) {
		why = encode_key(table, arena, range.to, range.to_count, &to);
	}
	if (why != NULL) {
		return refuse(reply, arena, why);
	}
	if (range.to == NULL) { /* to the end of the table */
		uint8_t *end = arena_alloc(arena, to.len);
		to = slice_of(end, tuple_prefix_end(to, end));
	}
	return copy_rows(txn, arena, table, from, to, range.limit, reply);
}
