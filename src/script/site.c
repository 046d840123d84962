#include "script/site.h"

#include <stdio.h>

/* A replacement of source bytes; the newlines in them are kept. */
struct edit {
	size_t from, to;
	struct slice with;
};
struct finder {
	struct site_file *file;
	const struct source *source;
	struct arena *arena;
	struct err *err;
	struct token *tokens;
	size_t count;
	struct edit *edits;
	size_t edit_count, edit_room;
	size_t depth;       /* of functions around the place */
	bool in_main;       /* inside `return function(…)` of the file */
	struct slice param; /* name of the file's function's parameter, when it is spread */
	bool alone;         /* it is the only function, so no name can be a parameter of another */
	bool failed;
};

static const struct token *at(const struct finder *f, size_t i)
{
	return &f->tokens[i < f->count ? i : f->count - 1];
}

static bool is(const struct finder *f, size_t i, const char *text)
{
	return token_is(at(f, i), text);
}

static void fail(struct finder *f, size_t i, const char *why, struct slice what)
{
	if (!f->failed) {
		f->failed = true;
		err_set(f->err, ERR_INVALID, "%.*s:%u: %s '%.*s'", (int)f->source->name.len,
			(const char *)f->source->name.data, at(f, i)->line, why, (int)what.len,
			(const char *)what.data);
	}
}

static void edit(struct finder *f, size_t from, size_t to, struct slice with)
{
	if (f->edit_count == f->edit_room) {
		size_t room = f->edit_room == 0 ? 64 : 2 * f->edit_room;
		struct edit *wider = arena_alloc(f->arena, room * sizeof *wider);
		if (f->edit_count > 0) {
			memcpy(wider, f->edits, f->edit_count * sizeof *wider);
		}
		f->edits = wider;
		f->edit_room = room;
	}
	f->edits[f->edit_count++] = (struct edit){from, to, with};
}

static void edit_text(struct finder *f, size_t from, size_t to, const char *with)
{
	edit(f, from, to, slice_str(with));
}

/* ---- expressions ---- */

/* Opening brackets raise, closing ones lower. */
static int bracket(const struct token *token)
{
	if (token->kind != TOKEN_MARK) {
		return 0;
	}
	uint8_t c = token->text.data[0];
	return (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
}

/* The first token behind the expression at i: a ',' ';' or closing bracket of the surrounding level. 0 when
 * it holds a function, whose commas are not ours. */
static size_t expression_end(const struct finder *f, size_t i)
{
	int depth = 0;
	for (; at(f, i)->kind != TOKEN_END; i++) {
		if (is(f, i, "function")) {
			return 0;
		}
		int change = bracket(at(f, i));
		if (depth + change < 0 || (depth == 0 && (is(f, i, ",") || is(f, i, ";")))) {
			return i;
		}
		depth += change;
	}
	return 0;
}

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
	while (!is(f, i, "}")) {
		if (at(f, i)->kind != TOKEN_NAME || !is(f, i + 1, "=") || is(f, i + 2, "=") ||
		    shape->count == SCHEMA_FIELDS_MAX) {
			return false;
		}
		size_t end = expression_end(f, i + 2);
		if (end == 0 || end == i + 2) {
			return false;
		}
		shape->names[shape->count] = i;
		shape->ends[shape->count++] = end;
		i = is(f, end, "}") ? end : end + 1;
		if (!is(f, end, "}") && !is(f, end, ",") && !is(f, end, ";")) {
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
		struct slice name = at(f, shape->names[i])->text;
		int place = fields_find_name(fields, name);
		if (place < 0) {
			fail(f, shape->names[i], why, name);
			return false;
		}
		for (size_t k = 0; k < i; k++) {
			if (site->fields[k] == place) {
				fail(f, shape->names[i], "twice", name);
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
	if (!f->file->spread || end != from + 3 || !slice_equal(at(f, from)->text, f->param)) {
		return -1;
	}
	return fields_find_name(f->file->args, at(f, from + 2)->text);
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
	edit_text(f, at(f, open)->from, at(f, open)->to, "");
	for (size_t i = 0; i < shape->count; i++) {
		size_t end = shape->ends[i];
		if (site->field_args[i] != SITE_STACK) {
			edit_text(f, at(f, shape->names[i])->from, at(f, end - 1)->to, "");
		} else {
			const char *begin = i == last ? "(" : "";
			edit_text(f, at(f, shape->names[i])->from, at(f, shape->names[i] + 1)->to,
				  leading ? arena_printf(f->arena, ",%s", begin) : begin);
			leading = true;
			if (i == last) {
				edit_text(f, at(f, end - 1)->to, at(f, end - 1)->to, ")");
			}
		}
		if (end != shape->close) {
			edit_text(f, at(f, end)->from, at(f, end)->to, "");
		}
	}
	edit_text(f, at(f, shape->close)->from, at(f, shape->close)->to, "");
}

/* Key columns at i, separated by commas, that are all arguments as they came: behind the last, or 0. */
static size_t bind_keys(const struct finder *f, struct site *site, size_t i)
{
	const struct schema_table *table = site->table;
	for (size_t k = 0; k < table->key_count; k++) {
		size_t end = expression_end(f, i);
		bool trusted;
		int arg = end == 0 ? -1 : argument_at(f, i, end);
		if (!argument_fits(f, arg, &table->columns.items[table->key[k]], &trusted) ||
		    f->file->args->items[arg].type.optional ||
		    (k + 1 < table->key_count && !is(f, end, ","))) {
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
	if (is(f, open, "{")) {
		return keyed ? 0 : open;
	}
	size_t i = open + 1;
	for (size_t k = 0; keyed && k < site->table->key_count; k++) {
		i = expression_end(f, i);
		if (i == 0 || !is(f, i, ",")) {
			return 0;
		}
		i++;
	}
	return is(f, i, "{") ? i : 0;
}

/* Behind the call whose bracket opens at i. */
static size_t behind_call(const struct finder *f, size_t i)
{
	int depth = 0;
	for (; at(f, i)->kind != TOKEN_END; i++) {
		depth += bracket(at(f, i));
		if (depth == 0) {
			return i + 1;
		}
	}
	return i;
}

/* True when a new statement begins at i (or the block ends). */
static bool statement_begins(const struct finder *f, size_t i)
{
	const struct token *token = at(f, i);
	return token->kind == TOKEN_END || is(f, i, ";") ||
	       (token->kind == TOKEN_NAME && !is(f, i, "and") && !is(f, i, "or"));
}

/* `a.b` without blanks: it can become `a__b`. */
static bool joined(const struct finder *f, size_t i)
{
	return is(f, i + 1, ".") && at(f, i)->to == at(f, i + 1)->from &&
	       at(f, i + 1)->to == at(f, i + 2)->from;
}

/* `local row = db.t:need(…)`: when every other use of the name reads a column or the whole row, the
 * columns become locals of their own. local is the token `local`, call the one that opens the call. */
static void spread_row(struct finder *f, struct site *site, size_t local, size_t call)
{
	struct slice name = at(f, local + 1)->text;
	bool whole = false;
	site->column_count = 0;
	if (!f->alone || !statement_begins(f, behind_call(f, call))) {
		return;
	}
	for (size_t i = 0; i < f->count; i++) {
		if (i == local + 1 || at(f, i)->kind != TOKEN_NAME || !slice_equal(at(f, i)->text, name) ||
		    (i > 0 && (is(f, i - 1, ".") || is(f, i - 1, ":")))) {
			continue;
		}
		bool declared =
			i > 0 && (is(f, i - 1, "local") || is(f, i - 1, "function") || is(f, i - 1, "for"));
		bool dotted = is(f, i + 1, ".");
		if (i < local || declared || is(f, i + 1, "=") || is(f, i + 1, ":") || is(f, i + 1, "[") ||
		    (dotted && !joined(f, i))) {
			site->column_count = 0;
			return;
		}
		if (!dotted) {
			/* Anything but a place where it is only read: leave it alone. */
			if (!is(f, i + 1, ")") || !(is(f, i - 1, ",") || is(f, i - 1, "("))) {
				site->column_count = 0;
				return;
			}
			whole = true;
			continue;
		}
		int column = fields_find_name(&site->table->columns, at(f, i + 2)->text);
		if (column < 0 || (is(f, i + 3, "=") && !is(f, i + 4, "="))) {
			fail(f, i,
			     column < 0 ? "the row has no column"
					: "a row cannot be changed: use update, not",
			     at(f, i + 2)->text);
			return;
		}
		bool known = false;
		for (size_t k = 0; k < site->column_count; k++) {
			known = known || site->columns[k] == column;
		}
		if (!known) {
			site->columns[site->column_count++] = (uint8_t)column;
		}
	}
	if (site->column_count == 0) {
		return;
	}
	site->whole = whole;
	struct buf locals;
	buf_init(&locals, 8192);
	if (whole) {
		buf_append_slice(&locals, name);
	}
	for (size_t k = 0; k < site->column_count; k++) {
		buf_appendf(&locals, "%s%.*s__%s", k > 0 || whole ? "," : "", (int)name.len,
			    (const char *)name.data,
			    (const char *)site->table->columns.items[site->columns[k]].name.data);
	}
	edit(f, at(f, local + 1)->from, at(f, local + 1)->to, arena_copy(f->arena, buf_slice(&locals)));
	buf_fini(&locals);
	for (size_t i = local + 2; i < f->count; i++) {
		if (at(f, i)->kind == TOKEN_NAME && slice_equal(at(f, i)->text, name) && is(f, i + 1, ".") &&
		    !is(f, i - 1, ".") && !is(f, i - 1, ":")) {
			edit_text(f, at(f, i + 1)->from, at(f, i + 1)->to, "__");
		}
	}
}

/* insert { … }, add(key…, { … }): the fields become arguments when their shape is plain. */
static void shape_fields(struct finder *f, struct site *site, size_t open)
{
	bool keyed = site->kind == SITE_UPDATE || site->kind == SITE_ADD;
	struct shape shape;
	size_t brace = find_brace(f, site, open);
	if (brace == 0 || !read_shape(f, brace, &shape) || (brace != open && !is(f, shape.close + 1, ")")) ||
	    !match_shape(f, &shape, &site->table->columns, site, "the table has no column")) {
		return;
	}
	if (keyed) {
		size_t end = bind_keys(f, site, open + 1);
		site->keys_bound = end != 0 && end + 1 == brace;
		edit_text(f, site->keys_bound ? at(f, open)->to : at(f, brace - 1)->from, at(f, brace)->from,
			  "");
	}
	flatten(f, brace, &shape, site, keyed && !site->keys_bound);
	if (brace == open) {
		edit_text(f, at(f, open)->from, at(f, open)->from, "(");
		edit_text(f, at(f, shape.close)->to, at(f, shape.close)->to, ")");
	}
}

/* Tokens `db . table : method`, then what opens its arguments. */
static void db_call(struct finder *f, size_t i)
{
	enum site_kind kind;
	if (!is(f, i + 1, ".") || at(f, i + 2)->kind != TOKEN_NAME) {
		fail(f, i, "behind `db` stands a table, as in db.order:get(…), not", at(f, i + 1)->text);
		return;
	}
	const struct schema_table *table = find_table(f, at(f, i + 2)->text);
	if (table == NULL) {
		fail(f, i, "there is no table", at(f, i + 2)->text);
		return;
	}
	if (!is(f, i + 3, ":")) {
		return;
	}
	if (!method_kind(at(f, i + 4)->text, &kind)) {
		fail(f, i, "a table has no method", at(f, i + 4)->text);
		return;
	}
	struct site *site = new_site(f);
	size_t open = i + 5;
	if (site == NULL || !(is(f, open, "(") || is(f, open, "{"))) {
		return;
	}
	site->kind = kind;
	site->table = table;
	if (kind >= SITE_INSERT) {
		shape_fields(f, site, open);
	} else if (kind <= SITE_DELETE && is(f, open, "(")) {
		size_t close = bind_keys(f, site, open + 1);
		if (close != 0 && is(f, close, ")")) {
			site->keys_bound = true;
			edit_text(f, at(f, open)->to, at(f, close)->from, "");
		}
	}
	if (f->failed) {
		return;
	}
	if ((kind == SITE_NEED || kind == SITE_INSERT || kind == SITE_PUT) && i >= 3 && is(f, i - 1, "=") &&
	    at(f, i - 2)->kind == TOKEN_NAME && is(f, i - 3, "local")) {
		spread_row(f, site, i - 3, open);
	}
	edit_text(f, at(f, i)->from, at(f, i + 4)->to, name_site(f, "db"));
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
	    !(is(f, shape.close + 1, "end") || is(f, shape.close + 1, ";") ||
	      is(f, shape.close + 1, "else") || is(f, shape.close + 1, "elseif"))) {
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
	edit_text(f, at(f, i + 1)->from, at(f, i + 1)->from,
		  arena_printf(f->arena, "%s(", name_site(f, "result")));
	edit_text(f, at(f, shape.close)->to, at(f, shape.close)->to, ")");
}

/* ---- the arguments ---- */

/* True when the name that ends at i, outside of brackets, is assigned: an `=` follows, perhaps behind
 * more names. */
static bool is_assigned(const struct finder *f, size_t i)
{
	int depth = 0;
	for (i++; at(f, i)->kind != TOKEN_END; i++) {
		const struct token *token = at(f, i), *before = at(f, i - 1);
		if (is(f, i, "=") && depth == 0) {
			return !is(f, i + 1, "=");
		}
		bool operand = before->kind != TOKEN_MARK || is(f, i - 1, ")") || is(f, i - 1, "]") ||
			       is(f, i - 1, "}");
		bool list = is(f, i, ",") || is(f, i, ".") || is(f, i, "[") || is(f, i, "]") || depth > 0;
		depth += bracket(token);
		if (depth < 0 || (!list && !(token->kind == TOKEN_NAME && !operand))) {
			return false;
		}
	}
	return false;
}

/* `return function(call)` whose other uses of the name all read a declared argument. */
static void spread_arguments(struct finder *f, size_t i)
{
	const struct fields *args = f->file->args;
	struct slice name = at(f, i + 3)->text;
	if (args == NULL || !f->alone || f->file->plain || args->count == 0 ||
	    at(f, i + 3)->kind != TOKEN_NAME || !is(f, i + 4, ")")) {
		return;
	}
	int depth = 0; /* of brackets around k: statements stand outside of them */
	for (size_t k = 0; k < f->count; k++) {
		depth += k > i + 4 ? bracket(at(f, k)) : 0;
		if (k == i + 3 || at(f, k)->kind != TOKEN_NAME || !slice_equal(at(f, k)->text, name) ||
		    (k > 0 && (is(f, k - 1, ".") || is(f, k - 1, ":")))) {
			continue;
		}
		if (k < i || !joined(f, k) || (depth == 0 && is_assigned(f, k + 2)) ||
		    fields_find_name(args, at(f, k + 2)->text) < 0) {
			return;
		}
	}
	struct buf list;
	buf_init(&list, 8192);
	for (size_t k = 0; k < args->count; k++) {
		buf_appendf(&list, "%s%.*s__%s", k > 0 ? "," : "", (int)name.len, (const char *)name.data,
			    (const char *)args->items[k].name.data);
	}
	edit(f, at(f, i + 3)->from, at(f, i + 3)->to, arena_copy(f->arena, buf_slice(&list)));
	buf_fini(&list);
	for (size_t k = i + 4; k < f->count; k++) {
		if (at(f, k)->kind == TOKEN_NAME && slice_equal(at(f, k)->text, name) && is(f, k + 1, ".") &&
		    !is(f, k - 1, ".") && !is(f, k - 1, ":")) {
			edit_text(f, at(f, k + 1)->from, at(f, k + 1)->to, "__");
		}
	}
	f->file->spread = true;
	f->param = name;
}

/* ---- the walk ---- */

/* Keeps count of the functions around a place. blocks: what each open block is, 'f' or 'b'. */
struct blocks {
	uint8_t open[256];
	size_t count;
};

static void follow_block(struct finder *f, struct blocks *blocks, size_t i)
{
	bool function = is(f, i, "function");
	if (function || is(f, i, "if") || is(f, i, "do") || is(f, i, "repeat")) {
		if (blocks->count < sizeof blocks->open) {
			blocks->open[blocks->count] = function ? 'f' : 'b';
		}
		blocks->count++;
		f->depth += function;
	} else if ((is(f, i, "end") || is(f, i, "until")) && blocks->count > 0) {
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
		struct slice text = at(f, i)->text;
		for (size_t k = 1; at(f, i)->kind == TOKEN_NAME && k + 1 < text.len; k++) {
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
		count += is(f, i, "function") && (at(f, i)->from < f->source->declare_from ||
						  at(f, i)->from >= f->source->declare_to);
	}
	return count;
}

static bool in_declaration(const struct finder *f, size_t i)
{
	return at(f, i)->from >= f->source->declare_from && at(f, i)->from < f->source->declare_to;
}

static void walk(struct finder *f)
{
	struct blocks blocks = {.count = 0};
	for (size_t i = 0; at(f, i)->kind != TOKEN_END && !f->failed; i++) {
		if (at(f, i)->kind != TOKEN_NAME || in_declaration(f, i) ||
		    (i > 0 && (is(f, i - 1, ".") || is(f, i - 1, ":")))) {
			continue;
		}
		if (f->depth == 0 && blocks.count == 0 && is(f, i, "return") && is(f, i + 1, "function") &&
		    is(f, i + 2, "(")) {
			f->in_main = true;
			spread_arguments(f, i);
		} else if (f->in_main && f->depth == 1 && f->file->results != NULL && is(f, i, "return") &&
			   is(f, i + 1, "{")) {
			result(f, i);
		} else if (is(f, i, "db") && !is(f, i + 1, "=")) {
			db_call(f, i);
		}
		follow_block(f, &blocks, i);
	}
}

/* ---- the new text ---- */

static int compare_edits(const struct edit *a, const struct edit *b)
{
	if (a->from != b->from) {
		return a->from < b->from ? -1 : 1;
	}
	return a->to < b->to ? -1 : a->to > b->to;
}

/* By place, stable: insertions at one place keep the order in which they were made. */
static void sort_edits(struct finder *f)
{
	for (size_t i = 1; i < f->edit_count; i++) {
		struct edit moved = f->edits[i];
		size_t k = i;
		for (; k > 0 && compare_edits(&moved, &f->edits[k - 1]) < 0; k--) {
			f->edits[k] = f->edits[k - 1];
		}
		f->edits[k] = moved;
	}
}

static void apply_edits(struct finder *f)
{
	struct slice text = f->source->text;
	struct buf out;
	buf_init(&out, 8 * text.len + 65536);
	size_t place = 0;
	sort_edits(f);
	for (size_t i = 0; i < f->edit_count; i++) {
		const struct edit *e = &f->edits[i];
		if (e->from < place) {
			continue; /* inside of what went away */
		}
		buf_append(&out, text.data + place, e->from - place);
		buf_append_slice(&out, e->with);
		for (size_t k = e->from; k < e->to; k++) {
			if (text.data[k] == '\n') {
				buf_append_byte(&out, '\n');
			}
		}
		place = e->to;
	}
	buf_append(&out, text.data + place, text.len - place);
	f->file->text = arena_copy(f->arena, buf_slice(&out));
	buf_fini(&out);
}

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Notes the arguments whose name stands in the new text only where the parameters are listed. */
static void find_unread(struct finder *f)
{
	struct slice text = f->file->text;
	for (size_t k = 0; k < f->file->args->count; k++) {
		const char *name =
			arena_printf(f->arena, "%.*s__%s", (int)f->param.len, (const char *)f->param.data,
				     (const char *)f->file->args->items[k].name.data);
		size_t len = strlen(name), places = 0;
		for (const uint8_t *place = text.data;
		     (place = memmem(place, (size_t)(text.data + text.len - place), name, len)) != NULL;
		     place += len) {
			const uint8_t *end = place + len;
			bool begins = place == text.data || !is_name_byte(place[-1]);
			places += begins && (end == text.data + text.len || !is_name_byte(*end));
		}
		if (places == 1) {
			f->file->unread |= UINT64_C(1) << k;
		}
	}
}

int site_find(struct site_file *file, const struct source *source, struct arena *arena, struct err *err)
{
	struct finder f = {.file = file, .source = source, .arena = arena, .err = err};
	f.tokens = source_tokens(source, arena, &f.count);
	file->sites = arena_zalloc(arena, SITES_MAX * sizeof *file->sites);
	file->site_count = 0;
	file->spread = false;
	file->unread = 0;
	file->plain = file->plain || has_our_names(&f);
	f.alone = count_functions(&f) == 1;
	if (source->declare_to > source->declare_from) {
		edit_text(&f, source->declare_from, source->declare_to, "");
	}
	walk(&f);
	apply_edits(&f);
	if (file->spread && !f.failed) {
		find_unread(&f);
	}
	return f.failed ? ERR_INVALID : 0;
}
