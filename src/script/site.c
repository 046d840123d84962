#include "script/site.h"

#include "script/finder.h"

/* ---- tables of plain shape ---- */

/* `{ name = expression, … }` at open. */
struct shape {
	size_t names[SCHEMA_FIELDS_MAX]; /* tokens */
	size_t ends[SCHEMA_FIELDS_MAX];  /* tokens behind the expressions */
	size_t count, close;
};

static bool read_shape(const struct finder *f, size_t open, struct shape *shape)
{
	size_t i = open + 1;
	shape->count = 0;
	while (!finder_is(f, i, "}")) {
		if (finder_at(f, i)->kind != TOKEN_NAME || !finder_is(f, i + 1, "=") ||
		    finder_is(f, i + 2, "=") || shape->count == SCHEMA_FIELDS_MAX) {
			return false;
		}
		size_t end = finder_expression_end(f, i + 2);
		if (end == 0 || end == i + 2) {
			return false;
		}
		shape->names[shape->count] = i;
		shape->ends[shape->count++] = end;
		i = finder_is(f, end, "}") ? end : end + 1;
		if (!finder_is(f, end, "}") && !finder_is(f, end, ",") && !finder_is(f, end, ";")) {
			return false;
		}
	}
	shape->close = i;
	return shape->count > 0;
}

/* Finds each name among the fields. */
static bool match_shape(struct finder *f, const struct shape *shape, const struct fields *fields,
			struct site *site, const char *why)
{
	for (size_t i = 0; i < shape->count; i++) {
		struct slice name = finder_at(f, shape->names[i])->text;
		int place = fields_find_name(fields, name);
		if (place < 0) {
			finder_fail(f, shape->names[i], why, name);
			return false;
		}
		for (size_t k = 0; k < i; k++) {
			if (site->fields[k] == place) {
				finder_fail(f, shape->names[i], "twice", name);
				return false;
			}
		}
		site->fields[i] = (uint8_t)place;
	}
	site->field_count = shape->count;
	site->shaped = true;
	return true;
}

/* The argument that the expression at from is, as it came, or -1. */
static int argument_at(const struct finder *f, size_t from, size_t end)
{
	if (!f->file->spread || end != from + 3 || !slice_equal(finder_at(f, from)->text, f->param)) {
		return -1;
	}
	return fields_find_name(f->file->args, finder_at(f, from + 2)->text);
}

/* The argument can stand for the column: at least of its kind. trusted: and checked as narrowly. */
static bool argument_fits(const struct finder *f, int arg, const struct field *column, bool *trusted)
{
	if (arg < 0) {
		return false;
	}
	const struct type *from = &f->file->args->items[arg].type, *to = &column->type;
	if (from->kind != to->kind && !(type_is_number(from->kind) && type_is_number(to->kind))) {
		return false;
	}
	*trusted = from->min >= to->min && from->max <= to->max && (!from->optional || to->optional);
	return true;
}

/* `{ a = x, b = y }` becomes `x, (y)`: the last in brackets, as it must be one value. Fields that are
 * arguments as they came go away. leading: a comma is wanted before the first. */
static void flatten(struct finder *f, size_t open, const struct shape *shape, struct site *site, bool leading)
{
	size_t last = shape->count;
	for (size_t i = 0; i < shape->count; i++) {
		bool trusted = false;
		int arg =
			site->kind == SITE_RESULT ? -1 : argument_at(f, shape->names[i] + 2, shape->ends[i]);
		site->field_args[i] = SITE_STACK;
		if (arg >= 0 &&
		    argument_fits(f, arg, &site->table->columns.items[site->fields[i]], &trusted)) {
			site->field_args[i] = (uint8_t)arg;
			site->trusted |= (uint64_t)trusted << site->fields[i];
		} else {
			last = i;
		}
	}
	finder_edit_text(f, finder_at(f, open)->from, finder_at(f, open)->to, "");
	for (size_t i = 0; i < shape->count; i++) {
		size_t end = shape->ends[i];
		if (site->field_args[i] != SITE_STACK) {
			finder_edit_text(f, finder_at(f, shape->names[i])->from, finder_at(f, end - 1)->to,
					 "");
		} else {
			const char *begin = i == last ? "(" : "";
			finder_edit_text(f, finder_at(f, shape->names[i])->from,
					 finder_at(f, shape->names[i] + 1)->to,
					 leading ? arena_printf(f->arena, ",%s", begin) : begin);
			leading = true;
			if (i == last) {
				finder_edit_text(f, finder_at(f, end - 1)->to, finder_at(f, end - 1)->to,
						 ")");
			}
		}
		if (end != shape->close) {
			finder_edit_text(f, finder_at(f, end)->from, finder_at(f, end)->to, "");
		}
	}
	finder_edit_text(f, finder_at(f, shape->close)->from, finder_at(f, shape->close)->to, "");
}

/* Key columns at i, separated by commas, that are all arguments as they came: behind the last, or 0. */
static size_t bind_keys(const struct finder *f, struct site *site, size_t i)
{
	const struct schema_table *table = site->table;
	for (size_t k = 0; k < table->key_count; k++) {
		size_t end = finder_expression_end(f, i);
		bool trusted;
		int arg = end == 0 ? -1 : argument_at(f, i, end);
		if (!argument_fits(f, arg, &table->columns.items[table->key[k]], &trusted) ||
		    f->file->args->items[arg].type.optional ||
		    (k + 1 < table->key_count && !finder_is(f, end, ","))) {
			return 0;
		}
		site->key_args[k] = (uint8_t)arg;
		i = k + 1 < table->key_count ? end + 1 : end;
	}
	return i;
}

/* ---- db.table:method ---- */

static bool method_kind(struct slice name, enum site_kind *kind)
{
	static const char *const names[] = {"get",     "need",   "vacant", "delete", "scan",
					    "scan_by", "insert", "put",    "update", "add"};
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (slice_equal(name, slice_str(names[i]))) {
			*kind = (enum site_kind)i;
			return true;
		}
	}
	return false;
}

static const struct schema_table *find_table(const struct finder *f, struct slice name)
{
	for (size_t i = 0; i < f->file->table_count; i++) {
		if (slice_equal(f->file->tables[i].name, name)) {
			return &f->file->tables[i];
		}
	}
	return NULL;
}

static struct site *new_site(struct finder *f)
{
	if (f->file->plain || f->file->site_count == SITES_MAX) {
		return NULL;
	}
	struct site *site = &f->file->sites[f->file->site_count];
	*site = (struct site){.whole = true};
	return site;
}

/* Takes the site: its function's name. */
static const char *name_site(struct finder *f, const char *word)
{
	return arena_printf(f->arena, "%s__%zu", word, ++f->file->site_count);
}

/* The brace of the fields when the call at open, `{` or `(`, has the plain form of its kind. 0 when not. */
static size_t find_brace(const struct finder *f, const struct site *site, size_t open)
{
	bool keyed = site->kind == SITE_UPDATE || site->kind == SITE_ADD;
	if (finder_is(f, open, "{")) {
		return keyed ? 0 : open;
	}
	size_t i = open + 1;
	for (size_t k = 0; keyed && k < site->table->key_count; k++) {
		i = finder_expression_end(f, i);
		if (i == 0 || !finder_is(f, i, ",")) {
			return 0;
		}
		i++;
	}
	return finder_is(f, i, "{") ? i : 0;
}

/* insert { … }, add(key…, { … }): the fields become arguments when their shape is plain. */
static void shape_fields(struct finder *f, struct site *site, size_t open)
{
	bool keyed = site->kind == SITE_UPDATE || site->kind == SITE_ADD;
	struct shape shape;
	size_t brace = find_brace(f, site, open);
	if (brace == 0 || !read_shape(f, brace, &shape) ||
	    (brace != open && !finder_is(f, shape.close + 1, ")")) ||
	    !match_shape(f, &shape, &site->table->columns, site, "the table has no column")) {
		return;
	}
	if (keyed) {
		size_t end = bind_keys(f, site, open + 1);
		site->keys_bound = end != 0 && end + 1 == brace;
		finder_edit_text(f, site->keys_bound ? finder_at(f, open)->to : finder_at(f, brace - 1)->from,
				 finder_at(f, brace)->from, "");
	}
	flatten(f, brace, &shape, site, keyed && !site->keys_bound);
	if (brace == open) {
		finder_edit_text(f, finder_at(f, open)->from, finder_at(f, open)->from, "(");
		finder_edit_text(f, finder_at(f, shape.close)->to, finder_at(f, shape.close)->to, ")");
	}
}

/* Tokens `db . table : method`, then what opens its arguments. */
static void db_call(struct finder *f, size_t i)
{
	enum site_kind kind;
	if (!finder_is(f, i + 1, ".") || finder_at(f, i + 2)->kind != TOKEN_NAME) {
		finder_fail(f, i, "behind `db` stands a table, as in db.order:get(…), not",
			    finder_at(f, i + 1)->text);
		return;
	}
	const struct schema_table *table = find_table(f, finder_at(f, i + 2)->text);
	if (table == NULL) {
		finder_fail(f, i, "there is no table", finder_at(f, i + 2)->text);
		return;
	}
	if (!finder_is(f, i + 3, ":")) {
		return;
	}
	if (!method_kind(finder_at(f, i + 4)->text, &kind)) {
		finder_fail(f, i, "a table has no method", finder_at(f, i + 4)->text);
		return;
	}
	struct site *site = new_site(f);
	size_t open = i + 5;
	if (site == NULL || !(finder_is(f, open, "(") || finder_is(f, open, "{"))) {
		return;
	}
	site->kind = kind;
	site->table = table;
	if (kind >= SITE_INSERT) {
		shape_fields(f, site, open);
	} else if (kind <= SITE_DELETE && finder_is(f, open, "(")) {
		size_t close = bind_keys(f, site, open + 1);
		if (close != 0 && finder_is(f, close, ")")) {
			site->keys_bound = true;
			finder_edit_text(f, finder_at(f, open)->to, finder_at(f, close)->from, "");
		}
	}
	if (f->failed) {
		return;
	}
	if ((kind == SITE_NEED || kind == SITE_INSERT || kind == SITE_PUT) && i >= 3 &&
	    finder_is(f, i - 1, "=") && finder_at(f, i - 2)->kind == TOKEN_NAME &&
	    finder_is(f, i - 3, "local")) {
		spread_row(f, site, i - 3, open);
	}
	finder_edit_text(f, finder_at(f, i)->from, finder_at(f, i + 4)->to, name_site(f, "db"));
}

/* ---- return { … } of the file's function ---- */

static bool only_scalars(const struct fields *fields)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (fields->items[i].type.kind >= TYPE_LIST) {
			return false;
		}
	}
	return true;
}

static void result(struct finder *f, size_t i)
{
	struct shape shape;
	if (!read_shape(f, i + 1, &shape) ||
	    !(finder_is(f, shape.close + 1, "end") || finder_is(f, shape.close + 1, ";") ||
	      finder_is(f, shape.close + 1, "else") || finder_is(f, shape.close + 1, "elseif"))) {
		return;
	}
	struct site *site = new_site(f);
	if (site == NULL || !only_scalars(f->file->results)) {
		return;
	}
	site->kind = SITE_RESULT;
	site->results = f->file->results;
	if (!match_shape(f, &shape, f->file->results, site, "the declared result has no field")) {
		return;
	}
	flatten(f, i + 1, &shape, site, false);
	finder_edit_text(f, finder_at(f, i + 1)->from, finder_at(f, i + 1)->from,
			 arena_printf(f->arena, "%s(", name_site(f, "result")));
	finder_edit_text(f, finder_at(f, shape.close)->to, finder_at(f, shape.close)->to, ")");
}

/* ---- the walk ---- */

/* Keeps count of the functions around a place. blocks: what each open block is, 'f' or 'b'. */
struct blocks {
	uint8_t open[256];
	size_t count;
};

static void follow_block(struct finder *f, struct blocks *blocks, size_t i)
{
	bool function = finder_is(f, i, "function");
	if (function || finder_is(f, i, "if") || finder_is(f, i, "do") || finder_is(f, i, "repeat")) {
		if (blocks->count < sizeof blocks->open) {
			blocks->open[blocks->count] = function ? 'f' : 'b';
		}
		blocks->count++;
		f->depth += function;
	} else if ((finder_is(f, i, "end") || finder_is(f, i, "until")) && blocks->count > 0) {
		blocks->count--;
		if (blocks->count < sizeof blocks->open && blocks->open[blocks->count] == 'f') {
			f->depth--;
			f->in_main = f->in_main && f->depth > 0;
		}
	}
}

/* Names of ours in the source itself would be taken for the sites'. */
static bool has_our_names(const struct finder *f)
{
	for (size_t i = 0; i < f->count; i++) {
		struct slice text = finder_at(f, i)->text;
		for (size_t k = 1; finder_at(f, i)->kind == TOKEN_NAME && k + 1 < text.len; k++) {
			if (text.data[k] == '_' && text.data[k + 1] == '_') {
				return true;
			}
		}
	}
	return false;
}

static size_t count_functions(const struct finder *f)
{
	size_t count = 0;
	for (size_t i = 0; i < f->count; i++) {
		count += finder_is(f, i, "function") && (finder_at(f, i)->from < f->source->declare_from ||
							 finder_at(f, i)->from >= f->source->declare_to);
	}
	return count;
}

static bool in_declaration(const struct finder *f, size_t i)
{
	return finder_at(f, i)->from >= f->source->declare_from &&
	       finder_at(f, i)->from < f->source->declare_to;
}

/* A keyword or a name of its own, in the code: no field, and not in the declaration. */
static bool is_word(const struct finder *f, size_t i)
{
	bool field = i > 0 && (finder_is(f, i - 1, ".") || finder_is(f, i - 1, ":"));
	return finder_at(f, i)->kind == TOKEN_NAME && !field && !in_declaration(f, i);
}

/* `for row in db.sale:scan(…) do` at i. The scan has the steps counted from there on (lua_scan). */
static bool walks_rows(const struct finder *f, size_t i)
{
	size_t in = i + 2;
	while (finder_is(f, in, ",")) {
		in += 2;
	}
	return finder_is(f, in, "in") && finder_is(f, in + 1, "db") && finder_is(f, in + 2, ".") &&
	       finder_is(f, in + 4, ":") && (finder_is(f, in + 5, "scan") || finder_is(f, in + 5, "scan_by"));
}

/* Whether a step can be taken again: by a loop, by a function other than the file's own, by that one when it
 * may have a name to call itself by, or in an imported file. `db` must be nothing but the tables: `local db`
 * could be anything, and its scan too. */
static bool is_endless(const struct finder *f, size_t functions)
{
	bool endless = functions > 1;
	for (size_t i = 0; i < f->count && !endless; i++) {
		if (!is_word(f, i)) {
			continue;
		}
		endless = finder_is(f, i, "while") || finder_is(f, i, "repeat") || finder_is(f, i, "goto") ||
			  finder_is(f, i, "import") ||
			  (finder_is(f, i, "function") && !(i > 0 && finder_is(f, i - 1, "return"))) ||
			  (finder_is(f, i, "for") && !walks_rows(f, i)) ||
			  (finder_is(f, i, "db") && !(finder_is(f, i + 1, ".") && finder_is(f, i + 3, ":")));
	}
	return endless;
}

static void walk(struct finder *f)
{
	struct blocks blocks = {.count = 0};
	for (size_t i = 0; finder_at(f, i)->kind != TOKEN_END && !f->failed; i++) {
		if (!is_word(f, i)) {
			continue;
		}
		if (f->depth == 0 && blocks.count == 0 && finder_is(f, i, "return") &&
		    finder_is(f, i + 1, "function") && finder_is(f, i + 2, "(")) {
			f->in_main = true;
			spread_arguments(f, i);
		} else if (f->in_main && f->depth == 1 && f->file->results != NULL &&
			   finder_is(f, i, "return") && finder_is(f, i + 1, "{")) {
			result(f, i);
		} else if (finder_is(f, i, "db") && !finder_is(f, i + 1, "=")) {
			db_call(f, i);
		}
		follow_block(f, &blocks, i);
	}
}

int site_find(struct site_file *file, const struct source *source, struct arena *arena, struct err *err)
{
	struct finder f = {.file = file, .source = source, .arena = arena, .err = err};
	if (file->tokens == NULL) {
		file->tokens = source_tokens(source, arena, &file->token_count);
	}
	f.tokens = file->tokens;
	f.count = file->token_count;
	file->sites = arena_alloc(arena, SITES_MAX * sizeof *file->sites); /* new_site fills one */
	file->site_count = 0;
	file->spread = false;
	file->unread = 0;
	file->plain = file->plain || has_our_names(&f);
	size_t functions = count_functions(&f);
	f.alone = functions == 1;
	file->endless = is_endless(&f, functions);
	if (source->declare_to > source->declare_from) {
		finder_edit_text(&f, source->declare_from, source->declare_to, "");
	}
	walk(&f);
	finder_apply(&f);
	if (file->spread && !f.failed) {
		spread_find_unread(&f);
	}
	return f.failed ? ERR_INVALID : 0;
}
