#include "script/finder.h"

#include <stdio.h>

int finder_bracket(const struct token *token)
{
	if (token->kind != TOKEN_MARK) {
		return 0;
	}
	uint8_t c = token->text.data[0];
	return (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
}

size_t finder_expression_end(const struct finder *f, size_t i)
{
	int depth = 0;
	for (; finder_at(f, i)->kind != TOKEN_END; i++) {
		if (finder_is(f, i, "function")) {
			return 0;
		}
		int change = finder_bracket(finder_at(f, i));
		if (depth + change < 0 || (depth == 0 && (finder_is(f, i, ",") || finder_is(f, i, ";")))) {
			return i;
		}
		depth += change;
	}
	return 0;
}

size_t finder_behind_call(const struct finder *f, size_t i)
{
	int depth = 0;
	for (; finder_at(f, i)->kind != TOKEN_END; i++) {
		depth += finder_bracket(finder_at(f, i));
		if (depth == 0) {
			return i + 1;
		}
	}
	return i;
}

bool finder_statement_begins(const struct finder *f, size_t i)
{
	const struct token *token = finder_at(f, i);
	return token->kind == TOKEN_END || finder_is(f, i, ";") ||
	       (token->kind == TOKEN_NAME && !finder_is(f, i, "and") && !finder_is(f, i, "or"));
}

bool finder_joined(const struct finder *f, size_t i)
{
	return finder_is(f, i + 1, ".") && finder_at(f, i)->to == finder_at(f, i + 1)->from &&
	       finder_at(f, i + 1)->to == finder_at(f, i + 2)->from;
}

void finder_fail(struct finder *f, size_t i, const char *why, struct slice what)
{
	if (!f->failed) {
		f->failed = true;
		err_set(f->err, ERR_INVALID, "%.*s:%u: %s '%.*s'", (int)f->source->name.len,
			(const char *)f->source->name.data, finder_at(f, i)->line, why, (int)what.len,
			(const char *)what.data);
	}
}

void finder_edit(struct finder *f, size_t from, size_t to, struct slice with)
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

void finder_edit_text(struct finder *f, size_t from, size_t to, const char *with)
{
	finder_edit(f, from, to, slice_str(with));
}

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

void finder_apply(struct finder *f)
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
	if (buf_failed(&out)) {
		finder_fail(f, 0, "the calls make too much of", f->source->name);
	}
	f->file->text = arena_copy(f->arena, buf_slice(&out));
	buf_fini(&out);
}
