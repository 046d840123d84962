#include "script/source.h"

#include "base/limits.h"

struct lexer {
	struct source *source;
	struct slice text; /* the source's */
	size_t at;
	unsigned line;
	struct err *err;
	bool failed;
};

static struct token fail(struct lexer *lexer, unsigned line, const char *why)
{
	if (!lexer->failed) {
		lexer->failed = true;
		err_set(lexer->err, ERR_INVALID, "%.*s:%u: %s", (int)lexer->source->name.len,
			(const char *)lexer->source->name.data, line, why);
	}
	return (struct token){.kind = TOKEN_END};
}

static int peek(const struct lexer *lexer, size_t ahead)
{
	return lexer->at + ahead < lexer->text.len ? lexer->text.data[lexer->at + ahead] : -1;
}

static void step(struct lexer *lexer)
{
	lexer->line += peek(lexer, 0) == '\n';
	lexer->at++;
}

/* For Lua a carriage return does, too: what stands behind it is code. */
static bool ends_line(int c)
{
	return c == '\n' || c == '\r';
}

static size_t line_end(struct slice text, size_t at)
{
	while (at < text.len && !ends_line(text.data[at])) {
		at++;
	}
	return at;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}
static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* What names are made of, by byte: most of a source is names. */
static const uint8_t name_bytes[256] = {['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['_'] = 1, ['a' ... 'z'] = 1};

static size_t name_end(struct slice text, size_t at)
{
	while (at < text.len && name_bytes[text.data[at]]) {
		at++;
	}
	return at;
}
static bool is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At a '[': the level of a long bracket, or -1. */
static int long_level(const struct lexer *lexer)
{
	int level = 0;
	while (peek(lexer, 1 + (size_t)level) == '=') {
		level++;
	}
	return peek(lexer, 1 + (size_t)level) == '[' ? level : -1;
}

/* Goes behind the closing long bracket. False when there is none. */
static bool skip_long(struct lexer *lexer, int level, size_t *end)
{
	lexer->at += (size_t)level + 2;
	while (peek(lexer, 0) >= 0) {
		if (peek(lexer, 0) == ']') {
			int equals = 0;
			while (peek(lexer, 1 + (size_t)equals) == '=') {
				equals++;
			}
			if (equals == level && peek(lexer, 1 + (size_t)equals) == ']') {
				*end = lexer->at;
				lexer->at += (size_t)level + 2;
				return true;
			}
		}
		step(lexer);
	}
	return false;
}

static bool skip_blank(struct lexer *lexer)
{
	for (;;) {
		int c = peek(lexer, 0);
		if (c == ' ' || (c >= 9 && c <= 13)) {
			step(lexer);
		} else if (c == '-' && peek(lexer, 1) == '-') {
			lexer->at += 2;
			int level = peek(lexer, 0) == '[' ? long_level(lexer) : -1;
			size_t end;
			if (level >= 0) {
				if (!skip_long(lexer, level, &end)) {
					return false;
				}
				continue;
			}
			lexer->at = line_end(lexer->text, lexer->at);
		} else {
			return true;
		}
	}
}

static struct token number(struct lexer *lexer, struct token token)
{
	bool hex = peek(lexer, 0) == '0' && (peek(lexer, 1) | 0x20) == 'x';
	bool real = false, large = false;
	uint64_t value = 0;
	lexer->at += hex ? 2 : 0;
	for (;; lexer->at++) {
		int c = peek(lexer, 0);
		int folded = c < 0 ? c : c | 0x20;
		if (is_digit(c) && !hex) {
			large = large || value > (INT64_MAX - (uint64_t)(c - '0')) / 10;
			value = value * 10 + (uint64_t)(c - '0');
		} else if (c == '.' || folded == (hex ? 'p' : 'e')) {
			real = true;
			lexer->at += folded != '.' && (peek(lexer, 1) == '+' || peek(lexer, 1) == '-');
		} else if (!is_hex(c) && !is_letter(c)) {
			break;
		}
	}
	if (real) {
		return fail(lexer, token.line,
			    "a number with a point or an exponent: amounts are whole numbers");
	}
	if (large && !hex) {
		return fail(lexer, token.line, "an integer over 64 bits");
	}
	token.kind = TOKEN_NUMBER;
	return token;
}

static struct token quoted(struct lexer *lexer, struct token token)
{
	int quote = peek(lexer, 0);
	lexer->at++;
	size_t from = lexer->at;
	while (peek(lexer, 0) != quote) {
		int c = peek(lexer, 0);
		if (c < 0 || c == '\n') {
			return fail(lexer, token.line, "unfinished string");
		}
		if (c == '\\' && peek(lexer, 1) >= 0) {
			if (peek(lexer, 1) == 'z') {
				lexer->at += 2;
				while (peek(lexer, 0) == ' ' ||
				       (peek(lexer, 0) >= 9 && peek(lexer, 0) <= 13)) {
					step(lexer);
				}
				continue;
			}
			lexer->at++;
			if (ends_line(peek(lexer, 0)) && ends_line(peek(lexer, 1)) &&
			    peek(lexer, 0) != peek(lexer, 1)) {
				step(lexer); /* CR LF ends one line */
			}
		}
		step(lexer);
	}
	token.kind = TOKEN_TEXT;
	token.text = slice_of(lexer->text.data + from, lexer->at - from);
	lexer->at++;
	return token;
}

static struct token mark(struct lexer *lexer, struct token token)
{
	int c = peek(lexer, 0), next = peek(lexer, 1);
	if (c == '^') {
		return fail(lexer, token.line, "`^` makes a number that is not whole");
	}
	if (c == '/' && next != '/') {
		return fail(lexer, token.line, "`/` makes a number that is not whole: use `//`");
	}
	/* `::` and `...` are one each: a keyword behind them is no method and no field. */
	bool pair = c == '/' || ((c == '.' || c == ':') && next == c);
	lexer->at += pair && c == '.' && peek(lexer, 2) == '.' ? 3 : pair ? 2 : 1;
	token.kind = TOKEN_MARK;
	return token;
}

static struct token take(struct lexer *lexer)
{
	if (lexer->failed) {
		return (struct token){.kind = TOKEN_END};
	}
	if (!skip_blank(lexer)) {
		return fail(lexer, lexer->line, "unfinished comment");
	}
	struct token token = {.kind = TOKEN_END, .from = lexer->at, .line = lexer->line};
	int c = peek(lexer, 0);
	if (c < 0) {
		return token;
	}
	if (is_letter(c)) {
		lexer->at = name_end(lexer->text, lexer->at);
		token.kind = TOKEN_NAME;
	} else if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) {
		token = number(lexer, token);
	} else if (c == '"' || c == '\'') {
		token = quoted(lexer, token);
	} else if (c == '[' && long_level(lexer) >= 0) {
		int level = long_level(lexer);
		size_t end;
		if (!skip_long(lexer, level, &end)) {
			return fail(lexer, token.line, "unfinished string");
		}
		token.kind = TOKEN_TEXT;
		token.text = slice_of(lexer->text.data + token.from + level + 2,
				      end - token.from - (size_t)level - 2);
	} else {
		token = mark(lexer, token);
	}
	token.to = lexer->at;
	if (token.kind != TOKEN_TEXT && token.kind != TOKEN_END) {
		token.text = slice_of(lexer->text.data + token.from, token.to - token.from);
	}
	return token;
}

static bool is(struct token token, const char *text)
{
	return token_is(&token, text);
}

struct token *source_tokens(const struct source *source, struct arena *arena, size_t *count)
{
	struct source again = *source;
	struct lexer lexer = {.source = &again, .text = source->text, .line = 1};
	size_t room = source->text.len / 2 + 2, used = 0;
	struct token *tokens = arena_alloc(arena, room * sizeof *tokens);
	do {
		if (used == room) {
			struct token *wider = arena_alloc(arena, 2 * room * sizeof *tokens);
			memcpy(wider, tokens, used * sizeof *tokens);
			tokens = wider;
			room *= 2;
		}
		tokens[used] = take(&lexer);
	} while (tokens[used++].kind != TOKEN_END);
	*count = used;
	return tokens;
}

/* ---- names that are declared ---- */

/* Whether the bracket at i opens the parameters of a function: `function (`, `function a.b:c (`. */
static bool opens_parameters(const struct token *tokens, size_t i)
{
	while (i >= 2 && tokens[i - 1].kind == TOKEN_NAME &&
	       (is(tokens[i - 2], ".") || is(tokens[i - 2], ":"))) {
		i -= 2;
	}
	return (i >= 1 && is(tokens[i - 1], "function")) || (i >= 2 && is(tokens[i - 2], "function"));
}

/* Whether the name at i stands in a list behind `local`, `for`, `function` or among parameters; last: the
 * last name before it that does. */
static bool is_declared(const struct token *tokens, size_t last, size_t i)
{
	bool constant = i >= 5 && i - 5 == last && is(tokens[last + 3], ">"); /* name <const> */
	if (last > 0 && is(tokens[i - 1], ",") && (i - 2 == last || constant)) {
		return true;
	}
	return i >= 1 &&
	       (is(tokens[i - 1], "local") || is(tokens[i - 1], "for") || is(tokens[i - 1], "function") ||
		(is(tokens[i - 1], "(") && opens_parameters(tokens, i - 1)));
}

/* The bit of token among names, or none. */
static uint32_t name_bit(struct token token, const char *const *names)
{
	for (unsigned i = 0; names[i] != NULL; i++) {
		if (names[i][0] == (char)token.text.data[0] && slice_equal(token.text, slice_str(names[i]))) {
			return UINT32_C(1) << i;
		}
	}
	return 0;
}

uint32_t source_declares(const struct token *tokens, size_t count, const char *const *names)
{
	uint32_t declared = 0;
	size_t last = 0;
	for (size_t i = 0; i < count; i++) {
		if (tokens[i].kind == TOKEN_NAME && is_declared(tokens, last, i)) {
			declared |= name_bit(tokens[i], names);
			last = i;
		}
	}
	return declared;
}

/* ---- what a file says of itself ---- */

/* From behind `procedure` to the end of its table. */
static void take_declaration(struct lexer *lexer, struct token word)
{
	struct source *source = lexer->source;
	struct token token = take(lexer);
	if (!is(token, "{")) {
		fail(lexer, word.line, "`procedure` is followed by its declaration in braces");
		return;
	}
	if (source->declare_to > source->declare_from) {
		fail(lexer, word.line, "a file declares one procedure");
		return;
	}
	for (size_t depth = 1; depth > 0;) {
		token = take(lexer);
		if (token.kind == TOKEN_END) {
			fail(lexer, word.line, "the declaration has no end");
			return;
		}
		depth += is(token, "{");
		depth -= is(token, "}");
	}
	source->declare_from = word.from;
	source->declare_to = token.to;
}

static void take_import(struct lexer *lexer, struct token word)
{
	struct source *source = lexer->source;
	struct token token = take(lexer);
	if (is(token, "(")) {
		token = take(lexer);
	}
	if (token.kind != TOKEN_TEXT) {
		fail(lexer, word.line, "import takes a plain text: import \"lib.name\"");
		return;
	}
	for (size_t i = 0; i < source->import_count; i++) {
		if (slice_equal(source->imports[i], token.text)) {
			return;
		}
	}
	if (source->import_count == SOURCE_IMPORTS_MAX) {
		fail(lexer, word.line, "too many imports");
		return;
	}
	source->imports[source->import_count++] = token.text;
}

int source_check(struct source *source, struct slice name, struct slice text, const char *const *names,
		 struct err *err)
{
	*source = (struct source){.name = name, .text = text};
	struct lexer lexer = {.source = source, .text = text, .line = 1, .err = err};
	size_t depth = 0;
	struct token before = {.kind = TOKEN_END};

	if (text.len > LIMIT_SCRIPT_SOURCE) {
		fail(&lexer, 1, "the source is larger than 64 KiB");
	} else if (text.len > 0 && text.data[0] == 0x1b) {
		fail(&lexer, 1, "not a source text");
	}
	for (struct token token = take(&lexer); token.kind != TOKEN_END;
	     before = token, token = take(&lexer)) {
		if (token.kind == TOKEN_MARK) {
			depth += is(token, "{") || is(token, "(");
			depth -= (is(token, "}") || is(token, ")")) && depth > 0;
		}
		if (token.kind != TOKEN_NAME || is(before, ".") || is(before, ":")) {
			continue;
		}
		if (is(token, "_ENV")) {
			fail(&lexer, token.line, "_ENV is not for scripts");
		} else if (is(token, "close") && is(before, "<")) {
			fail(&lexer, token.line, "<close> is not for scripts");
		} else if (is(token, "procedure") && depth == 0) {
			take_declaration(&lexer, token);
		} else if (is(token, "import")) {
			take_import(&lexer, token);
		}
		source->uses |= name_bit(token, names);
	}
	return lexer.failed ? ERR_INVALID : 0;
}
