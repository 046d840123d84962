/* The finder of sites, inside the room: the tokens of one source, questions about them, and the edits that
 * make the new text. Nothing changes before finder_apply; edits may come in any order, and one that lies
 * inside of what another takes away does nothing. */
#ifndef SCRIPT_FINDER_H
#define SCRIPT_FINDER_H

#include "script/site.h"

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

/* Token i; behind the last one stands TOKEN_END for ever. */
static inline const struct token *finder_at(const struct finder *f, size_t i)
{
	return &f->tokens[i < f->count ? i : f->count - 1];
}

static inline bool finder_is(const struct finder *f, size_t i, const char *text)
{
	return token_is(finder_at(f, i), text);
}

/* Opening brackets raise, closing ones lower. */
int finder_bracket(const struct token *token);
/* The first token behind the expression at i: a ',' ';' or closing bracket of the surrounding level. 0 when
 * it holds a function, whose commas are not ours. */
size_t finder_expression_end(const struct finder *f, size_t i);
/* Behind the call whose bracket opens at i. */
size_t finder_behind_call(const struct finder *f, size_t i);
/* True when a new statement begins at i (or the block ends). */
bool finder_statement_begins(const struct finder *f, size_t i);
/* `a.b` without blanks: it can become `a__b`. */
bool finder_joined(const struct finder *f, size_t i);

/* The first complaint wins: file, line, why and what. */
void finder_fail(struct finder *f, size_t i, const char *why, struct slice what);
/* Bytes from up to to of the source become `with`, which is borrowed until finder_apply. */
void finder_edit(struct finder *f, size_t from, size_t to, struct slice with);
void finder_edit_text(struct finder *f, size_t from, size_t to, const char *with);
/* Makes the file's text. */
void finder_apply(struct finder *f);

/* ---- spread.c ---- */
/* `local row = db.t:need(…)`: when every other use of the name reads a column or the whole row, the
 * columns become locals of their own. local is the token `local`, call the one that opens the call. */
void spread_row(struct finder *f, struct site *site, size_t local, size_t call);
/* `return function(call)` at i whose other uses of the name all read a declared argument. */
void spread_arguments(struct finder *f, size_t i);
/* After finder_apply: notes the arguments whose name stands in the new text only where the parameters are
 * listed. */
void spread_find_unread(struct finder *f);

#endif /* SCRIPT_FINDER_H */
