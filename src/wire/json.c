#include "wire/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/limits.h"

/* ---- reading ---- */

/* jansson recurses a level per bracket and has a bound of its own (2048); ours is
 * lower and is checked before it runs, as is the number of values. */
static int check_bounds(struct slice text, struct err *err)
{
	size_t depth = 0, values = 1;
	bool in_text = false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if (in_text) {
			i += c == '\\';
			in_text = c != '"';
		} else if (c == '"') {
			in_text = true;
		} else if (c == '[' || c == '{') {
			if (++depth > LIMIT_VALUE_DEPTH) {
				return err_set(err, ERR_TOO_LARGE,
					       "JSON is nested deeper than %d at byte %zu", LIMIT_VALUE_DEPTH,
					       i);
			}
		} else if (c == ']' || c == '}') {
			depth -= depth > 0;
		} else if (c == ',' && ++values > LIMIT_RESULT_ITEMS) {
			return err_set(err, ERR_TOO_LARGE, "JSON has more than %d values",
				       LIMIT_RESULT_ITEMS);
		}
	}
	return 0;
}

static struct value convert(const json_t *node, struct arena *arena)
{
	switch (json_typeof(node)) {
	case JSON_NULL:
		return (struct value){.kind = VALUE_NOTHING};
	case JSON_TRUE:
	case JSON_FALSE:
		return (struct value){.kind = VALUE_BOOL, .boolean = json_is_true(node)};
	case JSON_INTEGER:
		return (struct value){.kind = VALUE_INT, .integer = json_integer_value(node)};
	case JSON_REAL:
		return (struct value){.kind = VALUE_REAL, .real = json_real_value(node)};
	case JSON_STRING: {
		struct slice text = slice_of(json_string_value(node), json_string_length(node));
		return (struct value){.kind = VALUE_TEXT, .text = arena_copy(arena, text)};
	}
	case JSON_ARRAY: {
		struct value list = value_new_items(arena, VALUE_LIST, json_array_size(node));
		for (size_t i = 0; i < list.items->count; i++) {
			list.items->values[i] = convert(json_array_get(node, i), arena);
		}
		return list;
	}
	case JSON_OBJECT: {
		struct value map = value_new_items(arena, VALUE_MAP, json_object_size(node));
		size_t i = 0;
		const char *name;
		json_t *member;
		json_object_foreach((json_t *)(uintptr_t)node, name, member)
		{
			map.items->names[i] = arena_copy(arena, slice_str(name));
			map.items->values[i++] = convert(member, arena);
		}
		assert(i == map.items->count);
		return map;
	}
	}
	return (struct value){.kind = VALUE_NOTHING};
}

int json_parse(struct slice text, struct arena *arena, struct value *value, struct err *err)
{
	int status = check_bounds(text, err);
	if (status < 0) {
		return status;
	}
	json_error_t why;
	json_t *root = json_loadb(text.len == 0 ? "" : (const char *)text.data, text.len,
				  JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
	if (root == NULL) {
		return err_set(err, ERR_INVALID, "not JSON: %s at byte %d", why.text, why.position);
	}
	*value = convert(root, arena);
	json_decref(root);
	return 0;
}

/* ---- writing ---- */

static void write_escape(struct buf *out, uint8_t c)
{
	static const char names[] = "btnvfr"; /* 8, 9, 10, (11), 12, 13 */
	if (c == '"' || c == '\\') {
		uint8_t pair[2] = {'\\', c};
		buf_append(out, pair, 2);
	} else if (c >= 8 && c <= 13 && c != 11) {
		uint8_t pair[2] = {'\\', (uint8_t)names[c - 8]};
		buf_append(out, pair, 2);
	} else {
		buf_appendf(out, "\\u%04x", c);
	}
}

/* Plain bytes at the front: nothing to escape, ASCII. */
static size_t plain_run(struct slice text)
{
	size_t i = 0;
	while (i < text.len && text.data[i] >= 0x20 && text.data[i] < 0x7f && text.data[i] != '"' &&
	       text.data[i] != '\\') {
		i++;
	}
	return i;
}

void json_write_text(struct buf *out, struct slice text)
{
	buf_append_byte(out, '"');
	while (text.len > 0) {
		size_t run = plain_run(text);
		buf_append(out, text.data, run);
		text = slice_skip(text, run);
		if (text.len == 0) {
			break;
		}
		if (text.data[0] <= 0x7f) {
			write_escape(out, text.data[0]);
			text = slice_skip(text, 1);
			continue;
		}
		size_t len = 2;
		while (len <= 4 && len <= text.len && !value_is_utf8(slice_of(text.data, len))) {
			len++;
		}
		if (len <= 4 && len <= text.len) {
			buf_append(out, text.data, len);
			text = slice_skip(text, len);
		} else {
			buf_append_text(out, "\xef\xbf\xbd");
			text = slice_skip(text, 1);
		}
	}
	buf_append_byte(out, '"');
}

void json_write_int(struct buf *out, int64_t value)
{
	char digits[24];
	char *at = digits + sizeof digits;
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
	do {
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest != 0);
	if (value < 0) {
		*--at = '-';
	}
	buf_append(out, at, (size_t)(digits + sizeof digits - at));
}

void json_write_real(struct buf *out, double value)
{
	if (!isfinite(value)) {
		buf_append_text(out, "null");
		return;
	}
	char text[32];
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value) {
			break;
		}
	}
	buf_append_text(out, text);
	if (strpbrk(text, ".en") == NULL) {
		buf_append_text(out, ".0");
	}
}

static void write_items(struct buf *out, const struct value *value)
{
	bool map = value->kind == VALUE_MAP;
	buf_append_byte(out, map ? '{' : '[');
	for (size_t i = 0; i < value->items->count; i++) {
		if (i > 0) {
			buf_append_byte(out, ',');
		}
		if (map) {
			json_write_text(out, value->items->names[i]);
			buf_append_byte(out, ':');
		}
		json_write(out, &value->items->values[i]);
	}
	buf_append_byte(out, map ? '}' : ']');
}

void json_write(struct buf *out, const struct value *value)
{
	switch (value->kind) {
	case VALUE_NOTHING:
		buf_append_text(out, "null");
		return;
	case VALUE_BOOL:
		buf_append_text(out, value->boolean ? "true" : "false");
		return;
	case VALUE_INT:
		json_write_int(out, value->integer);
		return;
	case VALUE_REAL:
		json_write_real(out, value->real);
		return;
	case VALUE_TEXT:
		json_write_text(out, value->text);
		return;
	case VALUE_LIST:
	case VALUE_MAP:
		write_items(out, value);
		return;
	}
}
