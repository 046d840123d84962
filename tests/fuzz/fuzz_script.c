/* Sources of scripts, of bundles and of EVAL: what looks at them before Lua does, and now and then the whole
 * compilation. */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "script/lua51.h"
#include "script/script.h"
#include "script/site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct field field_of(const char *name, enum type_kind kind)
{
	return (struct field){.name = slice_str(name), .type = {.kind = kind, .max = INT64_MAX}};
}

static size_t lines_of(struct slice text)
{
	size_t lines = 0;
	for (size_t i = 0; i < text.len; i++) {
		lines += text.data[i] == '\n';
	}
	return lines;
}

/* Sites never move a line, whatever the source is. */
static void find_sites(const struct source *source, struct arena *arena)
{
	struct field order[] = {field_of("order_id", TYPE_ID), field_of("qty", TYPE_INT),
				field_of("total", TYPE_MONEY), field_of("number", TYPE_INT),
				field_of("campaign", TYPE_ID)};
	struct field slice[] = {field_of("campaign", TYPE_ID), field_of("sku", TYPE_ID),
				field_of("avail", TYPE_COUNT), field_of("held", TYPE_COUNT)};
	struct field args[] = {field_of("a", TYPE_ID), field_of("q", TYPE_INT),
			       field_of("campaign", TYPE_ID)};
	struct field results[] = {field_of("v", TYPE_INT), field_of("left", TYPE_INT)};
	struct schema_table tables[] = {{.name = SLICE_LIT("order"),
					 .columns = {.items = order, .count = 5},
					 .key = {0},
					 .key_count = 1},
					{.name = SLICE_LIT("slice"),
					 .columns = {.items = slice, .count = 4},
					 .key = {0, 1},
					 .key_count = 2}};
	struct fields arguments = {.items = args, .count = 3}, result = {.items = results, .count = 2};
	struct site_file file = {.tables = tables, .table_count = 2, .args = &arguments, .results = &result};
	struct err err = {0};
	if (site_find(&file, source, arena, &err) < 0) {
		assert(err.text[0] != '\0');
		return;
	}
	assert(lines_of(file.text) == lines_of(source->text));
}

/* Nor does the translation of EVAL's source. */
static void translate(struct slice text)
{
	struct buf out;
	buf_init(&out, MIB(8));
	lua51_translate(text, &out);
	assert(!buf_failed(&out) && lines_of(buf_slice(&out)) == lines_of(text));
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"db", "emit", "fail", "import", NULL};
	struct slice text = slice_of(data, size);
	struct source source;
	struct err err = {0};
	translate(text);
	if (source_check(&source, SLICE_LIT("p.lua"), text, names, &err) < 0) {
		assert(err.text[0] != '\0');
		return 0;
	}
	assert(source.declare_to <= size);
	struct arena arena;
	arena_init(&arena, 65536);
	find_sites(&source, &arena);
	arena_fini(&arena);
	if (size % 64 == 7) { /* Lua's own compiler: a state each time */
		const struct script_file file = {SLICE_LIT("p.lua"), text};
		struct script_bundle *bundle;
		if (script_compile(SLICE_LIT("fuzz"), &file, 1, &bundle, &err) == 0) {
			script_bundle_free(bundle);
		}
	}
	return 0;
}
