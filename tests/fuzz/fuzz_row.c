/* A stored row: byte 0 is the length of its key, then key and value. The quick and the slow way to read a
 * cell agree; cells that were read are written as cells that read the same. */
#include <assert.h>
#include <stdlib.h>

#include "script/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COLUMNS 6

static void check_cells(struct slice bytes)
{
	while (bytes.len > 0) {
		struct slice quick = bytes, slow = bytes;
		struct cell cell, twin;
		int status = cell_read(&quick, &cell);
		assert(status == cell_read_slow(&slow, &twin));
		if (status != 0) {
			return;
		}
		assert(quick.len == slow.len && quick.len < bytes.len && cell_equal(&cell, &twin));
		uint8_t *out = malloc(cell_bytes_max(&cell));
		struct slice written = slice_of(out, (size_t)(cell_write(out, &twin) - out));
		assert(written.len <= cell_bytes_max(&cell));
		status = cell_read(&written, &twin);
		assert(status == 0 && written.len == 0 && cell_equal(&cell, &twin));
		free(out);
		bytes = quick;
	}
}

static struct schema_table *make_table(struct arena *arena)
{
	static struct field columns[COLUMNS] = {
		{.name = SLICE_LIT("campaign"), .type = {.kind = TYPE_ID}},
		{.name = SLICE_LIT("number"), .type = {.kind = TYPE_INT, .min = INT64_MIN, .max = INT64_MAX}},
		{.name = SLICE_LIT("avail"), .type = {.kind = TYPE_COUNT, .max = INT64_MAX}},
		{.name = SLICE_LIT("open"), .type = {.kind = TYPE_BOOL}},
		{.name = SLICE_LIT("title"), .type = {.kind = TYPE_TEXT, .max = SCHEMA_TEXT_MAX}},
		{.name = SLICE_LIT("later"), .type = {.kind = TYPE_COUNT, .max = INT64_MAX}},
	};
	struct schema_table *table = arena_zalloc(arena, sizeof *table);
	table->name = SLICE_LIT("sale");
	table->columns = (struct fields){.items = columns, .count = COLUMNS};
	table->key[0] = 0;
	table->key[1] = 1;
	table->key_count = 2;
	schema_complete(table, arena);
	return table;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cell cells[COLUMNS];
	struct arena arena;
	if (size == 0) {
		return 0;
	}
	arena_init(&arena, 4096);
	const struct schema_table *table = make_table(&arena);
	size_t len = data[0] < size ? data[0] : size - 1;
	struct slice key = slice_of(data + 1, len), value = slice_of(data + 1 + len, size - 1 - len);
	check_cells(slice_of(data + 1, size - 1));
	memset(cells, 0xff, sizeof cells);
	if (db_decode_key(table, key, &arena, cells) == 0 && db_decode_value(table, value, cells) == 0) {
		for (size_t i = 0; i < COLUMNS; i++) {
			assert(cells[i].kind <= CELL_TEXT);
			assert(cells[i].kind != CELL_BOOL || cells[i].integer <= 1);
		}
		assert(cells[5].kind != CELL_NOTHING); /* a count is 0 where it is absent */
	}
	arena_fini(&arena);
	return 0;
}
