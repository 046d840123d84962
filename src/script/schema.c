#include "script/schema.h"

#include <assert.h>
#include <inttypes.h>

#include "store/keys.h"
#include "wire/value.h"

/* ---- types ---- */

const char *type_name(enum type_kind kind)
{
	static const char *const names[] = {"id", "int", "money", "count", "bool", "text", "list", "record"};
	return names[kind];
}

static const char *number_refuses(const struct type *type, const struct cell *cell, struct arena *arena)
{
	if (cell->kind != CELL_INT) {
		return "must be an integer";
	}
	if (cell->integer < type->min || cell->integer > type->max) {
		return arena_printf(arena, "must be %" PRId64 " to %" PRId64, type->min, type->max);
	}
	return NULL;
}

/* True when every byte is printable ASCII: most ids and texts are, and need no further look. */
static bool is_plain(struct slice s)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	uint64_t bad = 0;
	for (; s.len >= 8; s = slice_skip(s, 8)) {
		uint64_t word;
		memcpy(&word, s.data, 8);
		/* A byte below 0x20 borrows, 0x7f carries into the top bit, 0x80 and more has it. */
		bad |= (word - ones * 0x20) | (word + ones) | word;
	}
	for (size_t i = 0; i < s.len; i++) {
		bad |= s.data[i] < 0x20 || s.data[i] >= 0x7f ? tops : 0;
	}
	return (bad & tops) == 0;
}

static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] < 0x20 || s.data[i] == 0x7f) {
			return true;
		}
	}
	return false;
}

static const char *text_refuses(const struct type *type, const struct cell *cell, struct arena *arena)
{
	if (cell->kind != CELL_TEXT) {
		return type->kind == TYPE_ID ? "must be an id (a text)" : "must be a text";
	}
	if (type->kind == TYPE_ID && cell->len == 0) {
		return "must not be empty";
	}
	if (cell->len > type->max) {
		return arena_printf(arena, "must have at most %" PRId64 " bytes", type->max);
	}
	if (is_plain(cell_slice(cell))) {
		return NULL;
	}
	if (type->kind == TYPE_ID && has_control(cell_slice(cell))) {
		return "must not contain control characters";
	}
	if (!value_is_utf8(cell_slice(cell))) {
		return "must be UTF-8";
	}
	return NULL;
}

const char *type_refuses(const struct type *type, const struct cell *cell, struct arena *arena)
{
	if (cell->kind == CELL_NOTHING) {
		return type->optional ? NULL : "is missing";
	}
	switch (type->kind) {
	case TYPE_INT:
	case TYPE_MONEY:
	case TYPE_COUNT:
		return number_refuses(type, cell, arena);
	case TYPE_BOOL:
		return cell->kind == CELL_BOOL ? NULL : "must be true or false";
	case TYPE_ID:
	case TYPE_TEXT:
		return text_refuses(type, cell, arena);
	case TYPE_LIST:
		return cell->kind == CELL_NESTED ? NULL : "must be a list";
	case TYPE_RECORD:
		return cell->kind == CELL_NESTED ? NULL : "must be a record";
	}
	return "has no type";
}

void type_describe(const struct type *type, struct buf *out)
{
	if (type->optional) {
		buf_append_text(out, "optional ");
	}
	buf_append_text(out, type_name(type->kind));
	if (type->kind == TYPE_LIST) {
		buf_append_text(out, " of ");
		type_describe(type->item, out);
	} else if (type->kind == TYPE_RECORD) {
		for (size_t i = 0; i < type->fields->count; i++) {
			buf_append_text(out, i == 0 ? " {" : ", ");
			buf_append_slice(out, type->fields->items[i].name);
			buf_append_text(out, " ");
			type_describe(&type->fields->items[i].type, out);
		}
		buf_append_text(out, "}");
	} else if ((type->kind == TYPE_INT || type->kind == TYPE_MONEY) &&
		   (type->min != INT64_MIN || type->max != INT64_MAX)) {
		buf_appendf(out, "(%" PRId64 ",%" PRId64 ")", type->min, type->max);
	} else if (type->kind == TYPE_TEXT && type->max != SCHEMA_TEXT_MAX) {
		buf_appendf(out, "(%" PRId64 ")", type->max);
	}
}

/* ---- fields ---- */

static void sort_by_name(struct fields *fields, struct arena *arena)
{
	fields->by_name = arena_alloc(arena, fields->count);
	for (size_t i = 0; i < fields->count; i++) {
		size_t at = i;
		for (; at > 0; at--) {
			size_t before = fields->by_name[at - 1];
			if (slice_compare(fields->items[before].name, fields->items[i].name) < 0) {
				break;
			}
			fields->by_name[at] = (uint8_t)before;
		}
		fields->by_name[at] = (uint8_t)i;
	}
}

void fields_index(struct fields *fields, struct arena *arena)
{
	size_t room = 4;
	assert(fields->count <= SCHEMA_FIELDS_MAX);
	sort_by_name(fields, arena);
	while (room < 2 * fields->count + 1) {
		room *= 2;
	}
	fields->slots = arena_zalloc(arena, room);
	fields->slot_mask = room - 1;
	for (size_t i = 0; i < fields->count; i++) {
		uintptr_t address = (uintptr_t)fields->items[i].interned;
		size_t at = (address >> 4) ^ (address >> 9);
		while (fields->slots[at & fields->slot_mask] != 0) {
			at++;
		}
		fields->slots[at & fields->slot_mask] = (uint8_t)(i + 1);
	}
}

int fields_find_name(const struct fields *fields, struct slice name)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (slice_equal(fields->items[i].name, name)) {
			return (int)i;
		}
	}
	return -1;
}

/* ---- tables ---- */

static struct slice prefix_of(struct arena *arena, char table, struct slice first, struct slice second)
{
	size_t len = 1 + first.len + 1 + (second.len > 0 ? second.len + 1 : 0);
	uint8_t *bytes = arena_zalloc(arena, len);
	bytes[0] = (uint8_t)table;
	memcpy(bytes + 1, first.data, first.len);
	if (second.len > 0) {
		memcpy(bytes + 1 + first.len + 1, second.data, second.len);
	}
	return slice_of(bytes, len);
}

void schema_complete(struct schema_table *table, struct arena *arena)
{
	table->prefix = prefix_of(arena, TABLE_ROW, table->name, SLICE_NONE);
	table->stored_count = 0;
	for (size_t i = 0; i < table->columns.count; i++) {
		bool in_key = false;
		for (size_t k = 0; k < table->key_count; k++) {
			in_key = in_key || table->key[k] == i;
		}
		if (!in_key) {
			table->stored[table->stored_count++] = i;
		}
	}
	for (size_t i = 0; i < table->index_count; i++) {
		table->indexes[i].prefix = prefix_of(arena, TABLE_INDEX, table->name, table->indexes[i].name);
	}
	assert(table->stored_count + table->key_count == table->columns.count);
}

/* ---- declarations as bytes ---- */

static void encode_text(struct buf *out, struct slice text)
{
	buf_append_varint(out, text.len);
	buf_append_slice(out, text);
}

static void encode_places(struct buf *out, const size_t *places, size_t count)
{
	buf_append_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		buf_append_varint(out, places[i]);
	}
}

void schema_encode(const struct schema_table *tables, size_t count, struct buf *out)
{
	buf_append_varint(out, count);
	for (size_t t = 0; t < count; t++) {
		const struct schema_table *table = &tables[t];
		encode_text(out, table->name);
		buf_append_varint(out, table->columns.count);
		for (size_t i = 0; i < table->columns.count; i++) {
			const struct field *column = &table->columns.items[i];
			encode_text(out, column->name);
			buf_append_byte(out, (uint8_t)column->type.kind);
			buf_append_byte(out, column->type.optional);
			buf_append_u64(out, (uint64_t)column->type.min);
			buf_append_u64(out, (uint64_t)column->type.max);
		}
		encode_places(out, table->key, table->key_count);
		buf_append_varint(out, table->index_count);
		for (size_t i = 0; i < table->index_count; i++) {
			encode_text(out, table->indexes[i].name);
			encode_places(out, table->indexes[i].columns, table->indexes[i].column_count);
		}
	}
}

static bool decode_count(struct slice *in, size_t max, size_t *count)
{
	uint64_t n;
	if (!slice_take_varint(in, &n) || n > max) {
		return false;
	}
	*count = (size_t)n;
	return true;
}

static bool decode_text(struct slice *in, struct arena *arena, struct slice *text)
{
	size_t len;
	struct slice bytes;
	if (!decode_count(in, SCHEMA_NAME_MAX, &len) || len == 0 || !slice_take(in, len, &bytes)) {
		return false;
	}
	*text = arena_copy(arena, bytes);
	return true;
}

/* Columns, none twice. */
static bool decode_places(struct slice *in, size_t below, size_t *places, size_t *count)
{
	if (!decode_count(in, SCHEMA_KEY_MAX, count)) {
		return false;
	}
	for (size_t i = 0; i < *count; i++) {
		if (!decode_count(in, below - 1, &places[i])) {
			return false;
		}
		for (size_t k = 0; k < i; k++) {
			if (places[k] == places[i]) {
				return false;
			}
		}
	}
	return true;
}

static bool decode_column(struct slice *in, struct arena *arena, struct field *column)
{
	uint8_t kind, optional;
	uint64_t min, max;
	if (!decode_text(in, arena, &column->name) || !slice_take_u8(in, &kind) ||
	    !slice_take_u8(in, &optional) || !slice_take_u64(in, &min) || !slice_take_u64(in, &max) ||
	    kind > TYPE_TEXT || optional > 1) {
		return false;
	}
	column->type = (struct type){
		.kind = (enum type_kind)kind, .optional = optional, .min = (int64_t)min, .max = (int64_t)max};
	return true;
}

static bool decode_table(struct slice *in, struct arena *arena, struct schema_table *table)
{
	if (!decode_text(in, arena, &table->name) ||
	    !decode_count(in, SCHEMA_FIELDS_MAX, &table->columns.count) || table->columns.count == 0) {
		return false;
	}
	table->columns.items = arena_zalloc(arena, table->columns.count * sizeof *table->columns.items);
	for (size_t i = 0; i < table->columns.count; i++) {
		if (!decode_column(in, arena, &table->columns.items[i])) {
			return false;
		}
	}
	if (!decode_places(in, table->columns.count, table->key, &table->key_count) ||
	    !decode_count(in, SCHEMA_INDEXES_MAX, &table->index_count)) {
		return false;
	}
	table->indexes = arena_zalloc(arena, table->index_count * sizeof *table->indexes);
	for (size_t i = 0; i < table->index_count; i++) {
		struct schema_index *index = &table->indexes[i];
		if (!decode_text(in, arena, &index->name) ||
		    !decode_places(in, table->columns.count, index->columns, &index->column_count)) {
			return false;
		}
	}
	schema_complete(table, arena);
	return true;
}

int schema_decode(struct slice bytes, struct arena *arena, struct schema_table **tables, size_t *count)
{
	size_t n;
	if (!decode_count(&bytes, SCHEMA_TABLES_MAX, &n)) {
		return ERR_CORRUPT;
	}
	struct schema_table *decoded = arena_zalloc(arena, n * sizeof *decoded);
	for (size_t i = 0; i < n; i++) {
		if (!decode_table(&bytes, arena, &decoded[i])) {
			return ERR_CORRUPT;
		}
	}
	*tables = decoded;
	*count = n;
	return bytes.len == 0 ? 0 : ERR_CORRUPT;
}

/* ---- comparing ---- */

static bool same_places(const size_t *a, size_t a_count, const size_t *b, size_t b_count)
{
	return a_count == b_count && memcmp(a, b, a_count * sizeof *a) == 0;
}

static const char *column_refuses(const struct field *before, const struct field *after, struct arena *arena)
{
	int len = (int)before->name.len;
	const char *name = (const char *)before->name.data;
	if (!slice_equal(before->name, after->name)) {
		return arena_printf(arena, "column %.*s was removed, renamed or moved", len, name);
	}
	if (before->type.kind != after->type.kind) {
		return arena_printf(arena, "column %.*s changed its type", len, name);
	}
	if (before->type.optional && !after->type.optional) {
		return arena_printf(arena, "column %.*s was optional", len, name);
	}
	if (after->type.min > before->type.min || after->type.max < before->type.max) {
		return arena_printf(arena, "column %.*s became narrower", len, name);
	}
	return NULL;
}

const char *schema_refuses(const struct schema_table *before, const struct schema_table *after,
			   struct arena *arena)
{
	if (!same_places(before->key, before->key_count, after->key, after->key_count)) {
		return "its key changed";
	}
	if (before->columns.count > after->columns.count) {
		size_t gone = 0;
		while (gone < after->columns.count &&
		       slice_equal(before->columns.items[gone].name, after->columns.items[gone].name)) {
			gone++;
		}
		/* Mostly an earlier bundle, that shall take back what a newer one did. */
		return arena_printf(arena,
				    "column %.*s was removed: keep it (earlier procedures go with the newer "
				    "tables.lua)",
				    (int)before->columns.items[gone].name.len,
				    (const char *)before->columns.items[gone].name.data);
	}
	for (size_t i = 0; i < before->columns.count; i++) {
		const char *why = column_refuses(&before->columns.items[i], &after->columns.items[i], arena);
		if (why != NULL) {
			return why;
		}
	}
	for (size_t i = before->columns.count; i < after->columns.count; i++) {
		const struct field *added = &after->columns.items[i];
		if (!added->type.optional && added->type.kind != TYPE_COUNT) {
			return arena_printf(arena, "new column %.*s must be optional or a count",
					    (int)added->name.len, (const char *)added->name.data);
		}
	}
	if (before->index_count != after->index_count) {
		return "its indexes changed";
	}
	for (size_t i = 0; i < before->index_count; i++) {
		const struct schema_index *a = &before->indexes[i], *b = &after->indexes[i];
		if (!slice_equal(a->name, b->name) ||
		    !same_places(a->columns, a->column_count, b->columns, b->column_count)) {
			return "its indexes changed";
		}
	}
	return NULL;
}
