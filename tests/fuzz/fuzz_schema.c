/* Tables as stored beside a bundle: what decodes encodes to what decodes the same, and may follow itself. */
#include <assert.h>

#include "script/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_table(const struct schema_table *table, const struct schema_table *twin,
			struct arena *arena)
{
	assert(table->key_count + table->stored_count == table->columns.count);
	assert(slice_equal(table->name, twin->name) && slice_equal(table->prefix, twin->prefix));
	assert(schema_refuses(table, twin, arena) == NULL);
	for (size_t i = 0; i < table->index_count; i++) {
		assert(slice_starts_with(slice_skip(table->indexes[i].prefix, 1), table->name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schema_table *tables, *twins;
	size_t count, again;
	struct arena arena;
	struct buf out;
	arena_init(&arena, 65536);
	if (schema_decode(slice_of(data, size), &arena, &tables, &count) == 0) {
		buf_init(&out, size + 1);
		schema_encode(tables, count, &out);
		/* Numbers may have been spelt longer than needed. */
		assert(!buf_failed(&out) && out.len <= size);
		int status = schema_decode(buf_slice(&out), &arena, &twins, &again);
		assert(status == 0 && again == count);
		for (size_t i = 0; i < count; i++) {
			check_table(&tables[i], &twins[i], &arena);
		}
		buf_fini(&out);
	}
	arena_fini(&arena);
	return 0;
}
