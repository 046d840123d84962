/* One value that would be a table becomes many locals: a row its columns, the parameter its arguments. */
#include "script/finder.h"

#include <string.h>

/* So many tokens are looked at behind a name: a file of 64 KiB has thousands of names. */
#define ASSIGNED_LOOK 256

/* The name at i is the local of that name, not a field. */
static bool is_local(const struct finder *f, struct slice name, size_t i)
{
	bool named = finder_at(f, i)->kind == TOKEN_NAME && slice_equal(finder_at(f, i)->text, name);
	return named && !(i > 0 && (finder_is(f, i - 1, ".") || finder_is(f, i - 1, ":")));
}

/* The token at i goes on with what is assigned to: a name, a field, an index, a call before one of these. */
static bool goes_on(const struct finder *f, size_t i)
{
	const struct token *token = finder_at(f, i), *before = finder_at(f, i - 1);
	if (token->kind == TOKEN_MARK) {
		return token->text.len == 1 && strchr(",.:()[]{}", token->text.data[0]) != NULL;
	}
	bool operand = before->kind != TOKEN_MARK || finder_is(f, i - 1, ")") || finder_is(f, i - 1, "]") ||
		       finder_is(f, i - 1, "}");
	/* A name behind an operand begins a statement; a text is the argument of a call. */
	return token->kind == TOKEN_TEXT || (token->kind == TOKEN_NAME && !operand);
}

/* True when the name that ends at i, outside of brackets, is assigned: an `=` follows, perhaps behind more
 * that is assigned to. May say so of what is only read, as of what is long; never the other way round. */
static bool is_assigned(const struct finder *f, size_t i)
{
	int depth = 0;
	for (size_t end = i + ASSIGNED_LOOK; ++i < end;) {
		if (finder_is(f, i, "=") && depth == 0) {
			return !finder_is(f, i + 1, "=");
		}
		if (depth == 0 && !goes_on(f, i)) {
			return false;
		}
		depth += finder_bracket(finder_at(f, i));
		if (depth < 0) {
			return false;
		}
	}
	return true;
}

/* A use after which the row has to stay a table: declared or assigned again, a method, an index. */
static bool keeps_table(const struct finder *f, size_t local, size_t i)
{
	bool declared = i > 0 && (finder_is(f, i - 1, "local") || finder_is(f, i - 1, "function") ||
				  finder_is(f, i - 1, "for"));
	bool dotted = finder_is(f, i + 1, ".");
	if (i < local || declared || finder_is(f, i + 1, "=") || finder_is(f, i + 1, ":") ||
	    finder_is(f, i + 1, "[") || (dotted && !finder_joined(f, i))) {
		return true;
	}
	/* As a whole: anything but a place where it is only read is left alone. */
	return !dotted &&
	       (!finder_is(f, i + 1, ")") || !(finder_is(f, i - 1, ",") || finder_is(f, i - 1, "(")));
}

/* `row.column` at i. False when that cannot be, which was told. */
static bool note_column(struct finder *f, struct site *site, size_t i)
{
	int column = fields_find_name(&site->table->columns, finder_at(f, i + 2)->text);
	if (column < 0 || (finder_is(f, i + 3, "=") && !finder_is(f, i + 4, "="))) {
		finder_fail(f, i,
			    column < 0 ? "the row has no column" : "a row cannot be changed: use update, not",
			    finder_at(f, i + 2)->text);
		return false;
	}
	for (size_t k = 0; k < site->column_count; k++) {
		if (site->columns[k] == column) {
			return true;
		}
	}
	site->columns[site->column_count++] = (uint8_t)column;
	return true;
}

/* The columns that are used, and whether the whole row is. False when it has to stay a table, or was told
 * wrong. */
static bool note_uses(struct finder *f, struct site *site, size_t local, struct slice name, bool *whole)
{
	int depth = 0; /* of brackets around i: statements stand outside of them */
	*whole = false;
	site->column_count = 0;
	for (size_t i = 0; i < f->count; i++) {
		depth += finder_bracket(finder_at(f, i));
		if (i == local + 1 || !is_local(f, name, i)) {
			continue;
		}
		if (keeps_table(f, local, i)) {
			site->column_count = 0;
			return false;
		}
		if (!finder_is(f, i + 1, ".")) {
			*whole = true;
		} else if (!note_column(f, site, i)) {
			return false;
		} else if (depth == 0 && is_assigned(f, i + 2)) {
			site->column_count = 0; /* a mistake that the table tells when it is made */
			return false;
		}
	}
	return site->column_count > 0;
}

/* `local row` becomes `local row__a,row__b`, behind the row itself when it is used whole. */
static void declare_columns(struct finder *f, const struct site *site, size_t local, struct slice name)
{
	struct buf locals;
	buf_init(&locals, 8192);
	if (site->whole) {
		buf_append_slice(&locals, name);
	}
	for (size_t k = 0; k < site->column_count; k++) {
		buf_appendf(&locals, "%s%.*s__%s", k > 0 || site->whole ? "," : "", (int)name.len,
			    (const char *)name.data,
			    (const char *)site->table->columns.items[site->columns[k]].name.data);
	}
	finder_edit(f, finder_at(f, local + 1)->from, finder_at(f, local + 1)->to,
		    arena_copy(f->arena, buf_slice(&locals)));
	buf_fini(&locals);
}

void spread_row(struct finder *f, struct site *site, size_t local, size_t call)
{
	struct slice name = finder_at(f, local + 1)->text;
	bool whole;
	site->column_count = 0;
	if (!f->alone || !finder_statement_begins(f, finder_behind_call(f, call)) ||
	    !note_uses(f, site, local, name, &whole)) {
		return;
	}
	site->whole = whole;
	declare_columns(f, site, local, name);
	for (size_t i = local + 2; i < f->count; i++) {
		if (is_local(f, name, i) && finder_is(f, i + 1, ".")) {
			finder_edit_text(f, finder_at(f, i + 1)->from, finder_at(f, i + 1)->to, "__");
		}
	}
}

void spread_arguments(struct finder *f, size_t i)
{
	const struct fields *args = f->file->args;
	struct slice name = finder_at(f, i + 3)->text;
	if (args == NULL || !f->alone || f->file->plain || args->count == 0 ||
	    finder_at(f, i + 3)->kind != TOKEN_NAME || !finder_is(f, i + 4, ")")) {
		return;
	}
	int depth = 0; /* of brackets around k: statements stand outside of them */
	for (size_t k = 0; k < f->count; k++) {
		depth += k > i + 4 ? finder_bracket(finder_at(f, k)) : 0;
		if (k == i + 3 || finder_at(f, k)->kind != TOKEN_NAME ||
		    !slice_equal(finder_at(f, k)->text, name) ||
		    (k > 0 && (finder_is(f, k - 1, ".") || finder_is(f, k - 1, ":")))) {
			continue;
		}
		if (k < i || !finder_joined(f, k) || (depth == 0 && is_assigned(f, k + 2)) ||
		    fields_find_name(args, finder_at(f, k + 2)->text) < 0) {
			return;
		}
	}
	struct buf list;
	buf_init(&list, 8192);
	for (size_t k = 0; k < args->count; k++) {
		buf_appendf(&list, "%s%.*s__%s", k > 0 ? "," : "", (int)name.len, (const char *)name.data,
			    (const char *)args->items[k].name.data);
	}
	finder_edit(f, finder_at(f, i + 3)->from, finder_at(f, i + 3)->to,
		    arena_copy(f->arena, buf_slice(&list)));
	buf_fini(&list);
	for (size_t k = i + 4; k < f->count; k++) {
		if (finder_at(f, k)->kind == TOKEN_NAME && slice_equal(finder_at(f, k)->text, name) &&
		    finder_is(f, k + 1, ".") && !finder_is(f, k - 1, ".") && !finder_is(f, k - 1, ":")) {
			finder_edit_text(f, finder_at(f, k + 1)->from, finder_at(f, k + 1)->to, "__");
		}
	}
	f->file->spread = true;
	f->param = name;
}

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void spread_find_unread(struct finder *f)
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
