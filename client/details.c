/* A reader of JSON for small objects: a client library should not make its
 * users link a JSON library for the sake of an error's details. */
#include "client/details.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"

/* ---- the first word and the outcome ---- */

/* Servers that are not ours, or a Redis error: only the codes that Redis'
 * own clients repeat are worth a repeat. */
static enum outcome outcome_of_foreign(struct slice code)
{
	static const char *const retry[] = {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"};
	for (size_t i = 0; i < sizeof(retry) / sizeof(retry[0]); i++) {
		if (slice_is_word(code, retry[i])) {
			return OUTCOME_RETRY;
		}
	}
	return OUTCOME_REFUSED;
}

enum outcome details_outcome(struct slice line, struct slice *code)
{
	static const char intro[] = "{\"outcome\":\"";
	size_t len = 0;
	while (len < line.len && line.data[len] != ' ') {
		len++;
	}
	*code = slice_of(line.data, len);
	struct slice rest = slice_skip(line, len < line.len ? len + 1 : len);
	enum outcome outcome;
	if (slice_starts_with(rest, SLICE_LIT(intro))) {
		struct slice word = slice_skip(rest, sizeof(intro) - 1);
		size_t end = 0;
		while (end < word.len && word.data[end] != '"') {
			end++;
		}
		if (outcome_parse(slice_of(word.data, end), &outcome) && outcome != OUTCOME_DONE) {
			return outcome;
		}
	}
	enum code known = code_find(*code);
	return known != CODE_NONE ? code_outcome(known) : outcome_of_foreign(*code);
}

/* ---- JSON ---- */

struct json {
	struct slice rest;
	struct arena *arena;
	unsigned depth;
};

static bool json_value(struct json *json, struct resp_value *value);

static void json_space(struct json *json)
{
	while (json->rest.len > 0) {
		uint8_t c = json->rest.data[0];
		if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
			return;
		}
		json->rest = slice_skip(json->rest, 1);
	}
}

static bool json_take(struct json *json, char wanted)
{
	json_space(json);
	if (json->rest.len == 0 || json->rest.data[0] != (uint8_t)wanted) {
		return false;
	}
	json->rest = slice_skip(json->rest, 1);
	return true;
}

static bool json_take_word(struct json *json, const char *word)
{
	struct slice wanted = slice_str(word);
	if (!slice_starts_with(json->rest, wanted)) {
		return false;
	}
	json->rest = slice_skip(json->rest, wanted.len);
	return true;
}

static bool json_hex4(struct json *json, uint32_t *value)
{
	if (json->rest.len < 4) {
		return false;
	}
	uint32_t sum = 0;
	for (size_t i = 0; i < 4; i++) {
		uint8_t c = json->rest.data[i];
		uint32_t digit;
		if (c >= '0' && c <= '9') {
			digit = c - '0';
		} else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
			digit = (uint32_t)(c | 32) - 'a' + 10;
		} else {
			return false;
		}
		sum = sum * 16 + digit;
	}
	json->rest = slice_skip(json->rest, 4);
	*value = sum;
	return true;
}

static size_t utf8_put(uint8_t *out, uint32_t rune)
{
	if (rune < 0x80) {
		out[0] = (uint8_t)rune;
		return 1;
	}
	if (rune < 0x800) {
		out[0] = (uint8_t)(0xC0 | rune >> 6);
		out[1] = (uint8_t)(0x80 | (rune & 63));
		return 2;
	}
	if (rune < 0x10000) {
		out[0] = (uint8_t)(0xE0 | rune >> 12);
		out[1] = (uint8_t)(0x80 | (rune >> 6 & 63));
		out[2] = (uint8_t)(0x80 | (rune & 63));
		return 3;
	}
	out[0] = (uint8_t)(0xF0 | rune >> 18);
	out[1] = (uint8_t)(0x80 | (rune >> 12 & 63));
	out[2] = (uint8_t)(0x80 | (rune >> 6 & 63));
	out[3] = (uint8_t)(0x80 | (rune & 63));
	return 4;
}

/* Behind "\u": one code point, of a surrogate pair if need be. */
static bool json_rune(struct json *json, uint32_t *rune)
{
	uint32_t high;
	if (!json_hex4(json, &high)) {
		return false;
	}
	if (high < 0xD800 || high > 0xDBFF) {
		*rune = high;
		return high < 0xDC00 || high > 0xDFFF;
	}
	uint32_t low;
	if (!json_take_word(json, "\\u") || !json_hex4(json, &low) || low < 0xDC00 || low > 0xDFFF) {
		return false;
	}
	*rune = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
	return true;
}

static bool json_escape(struct json *json, uint8_t *out, size_t *len)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	uint8_t c = json->rest.data[0];
	json->rest = slice_skip(json->rest, 1);
	if (c == 'u') {
		uint32_t rune;
		if (!json_rune(json, &rune)) {
			return false;
		}
		*len += utf8_put(out + *len, rune);
		return true;
	}
	for (size_t i = 0; i < sizeof(from) - 1; i++) {
		if (c == (uint8_t)from[i]) {
			out[(*len)++] = (uint8_t)to[i];
			return true;
		}
	}
	return false;
}

/* Bytes before the quote that ends the text. */
static size_t json_text_bytes(struct slice rest)
{
	size_t len = 0;
	while (len < rest.len && rest.data[len] != '"') {
		len += rest.data[len] == '\\' ? 2 : 1;
	}
	return len < rest.len ? len : rest.len;
}

/* Behind the opening quote. A text never grows by unescaping. */
static bool json_text(struct json *json, struct slice *text)
{
	uint8_t *out = arena_alloc(json->arena, json_text_bytes(json->rest) + 1);
	size_t len = 0;
	while (json->rest.len > 0) {
		uint8_t c = json->rest.data[0];
		json->rest = slice_skip(json->rest, 1);
		if (c == '"') {
			out[len] = '\0';
			*text = slice_of(out, len);
			return true;
		}
		if (c != '\\') {
			out[len++] = c;
		} else if (json->rest.len == 0 || !json_escape(json, out, &len)) {
			return false;
		}
	}
	return false;
}

static bool json_number(struct json *json, struct resp_value *value)
{
	char text[64];
	size_t len = 0;
	bool whole = true;
	while (len < json->rest.len && len < sizeof(text) - 1) {
		char c = (char)json->rest.data[len];
		if ((c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E') {
			break;
		}
		whole = whole && c != '.' && c != 'e' && c != 'E';
		text[len++] = c;
	}
	text[len] = '\0';
	if (whole && slice_to_int64(slice_of(text, len), &value->integer)) {
		value->type = RESP_INTEGER;
	} else {
		char *end;
		value->type = RESP_DOUBLE;
		value->number = strtod(text, &end);
		if (len == 0 || *end != '\0') {
			return false;
		}
		value->text = arena_copy(json->arena, slice_of(text, len));
	}
	json->rest = slice_skip(json->rest, len);
	return true;
}

struct json_item {
	struct json_item *next;
	struct resp_value value;
};

/* Behind '[' or '{': elements are chained first, because their count is not known. */
static bool json_items(struct json *json, struct resp_value *value, bool map)
{
	struct json_item *first = NULL;
	struct json_item **last = &first;
	size_t count = 0;
	char end = map ? '}' : ']';
	bool more = !json_take(json, end);
	while (more) {
		for (int part = 0; part < (map ? 2 : 1); part++) {
			struct json_item *item = arena_zalloc(json->arena, sizeof(*item));
			if (!json_value(json, &item->value)) {
				return false;
			}
			*last = item;
			last = &item->next;
			count++;
			if (map && part == 0 && (item->value.type != RESP_BULK || !json_take(json, ':'))) {
				return false;
			}
		}
		more = json_take(json, ',');
		if (!more && !json_take(json, end)) {
			return false;
		}
	}
	value->type = map ? RESP_MAP : RESP_ARRAY;
	value->count = map ? count / 2 : count;
	value->items = arena_alloc(json->arena, count * sizeof(*value->items) + 1);
	for (size_t i = 0; i < count; i++, first = first->next) {
		value->items[i] = first->value;
	}
	return true;
}

static bool json_value(struct json *json, struct resp_value *value)
{
	if (json->depth == LIMIT_VALUE_DEPTH) {
		return false;
	}
	*value = (struct resp_value){.type = RESP_NULL};
	if (json_take(json, '"')) {
		value->type = RESP_BULK;
		return json_text(json, &value->text);
	}
	bool map = json_take(json, '{');
	if (map || json_take(json, '[')) {
		json->depth++;
		bool fine = json_items(json, value, map);
		json->depth--;
		return fine;
	}
	if (json_take_word(json, "null")) {
		return true;
	}
	value->integer = json_take_word(json, "true");
	if (value->integer || json_take_word(json, "false")) {
		value->type = RESP_BOOL;
		return true;
	}
	return json_number(json, value);
}

struct resp_value *details_parse(struct slice line, struct arena *arena)
{
	size_t start = 0;
	while (start < line.len && line.data[start] != ' ') {
		start++;
	}
	if (start + 1 >= line.len || line.data[start + 1] != '{') {
		return NULL;
	}
	struct json json = {.rest = slice_skip(line, start + 1), .arena = arena};
	struct resp_value *value = arena_zalloc(arena, sizeof(*value));
	return json_value(&json, value) ? value : NULL;
}
