/* Values are the parser's own nodes under a public name: nothing is converted. */
#include "client/value.h"

#include <assert.h>

static const struct resp_value *value_of(const struct tally_value *value)
{
	return (const struct resp_value *)value;
}

/* Texts of a reply are followed by CR LF: the CR becomes the NUL that C wants.
 * An empty text may have no bytes of its own; its reader gets "". */
void value_terminate(struct resp_value *value)
{
	size_t parts = value->type == RESP_MAP ? 2 * value->count : value->count;
	for (size_t i = 0; i < parts; i++) {
		value_terminate(&value->items[i]);
	}
	if (value->text.data != NULL) {
		((uint8_t *)value->text.data)[value->text.len] = '\0';
	}
}

enum tally_type tally_value_type(const struct tally_value *value)
{
	if (value == NULL) {
		return TALLY_NIL;
	}
	switch (value_of(value)->type) {
	case RESP_INTEGER:
		return TALLY_INT;
	case RESP_ARRAY:
	case RESP_SET:
	case RESP_PUSH:
		return TALLY_LIST;
	case RESP_MAP:
		return TALLY_MAP;
	case RESP_DOUBLE:
		return TALLY_FLOAT;
	case RESP_BOOL:
		return TALLY_BOOL;
	case RESP_NULL:
		return TALLY_NIL;
	case RESP_SIMPLE:
	case RESP_ERROR:
	case RESP_BULK:
	case RESP_BIGNUM:
	case RESP_VERBATIM:
		return TALLY_TEXT;
	}
	return TALLY_NIL;
}

int64_t tally_value_int(const struct tally_value *value, int64_t otherwise)
{
	switch (tally_value_type(value)) {
	case TALLY_INT:
	case TALLY_BOOL:
		return value_of(value)->integer;
	case TALLY_TEXT: {
		int64_t number;
		return slice_to_int64(value_of(value)->text, &number) ? number : otherwise;
	}
	default:
		return otherwise;
	}
}

double tally_value_float(const struct tally_value *value, double otherwise)
{
	switch (tally_value_type(value)) {
	case TALLY_FLOAT:
		return value_of(value)->number;
	case TALLY_INT:
		return (double)value_of(value)->integer;
	default:
		return otherwise;
	}
}

const char *tally_value_text(const struct tally_value *value, size_t *len)
{
	if (tally_value_type(value) != TALLY_TEXT) {
		return NULL;
	}
	struct slice text = value_of(value)->text;
	if (len != NULL) {
		*len = text.len;
	}
	return text.len == 0 ? "" : (const char *)text.data;
}

size_t tally_value_count(const struct tally_value *value)
{
	enum tally_type type = tally_value_type(value);
	return type == TALLY_LIST || type == TALLY_MAP ? value_of(value)->count : 0;
}

const struct tally_value *tally_value_at(const struct tally_value *value, size_t at)
{
	if (at >= tally_value_count(value)) {
		return NULL;
	}
	const struct resp_value *list = value_of(value);
	return (const struct tally_value *)&list->items[list->type == RESP_MAP ? 2 * at + 1 : at];
}

const char *tally_value_key_at(const struct tally_value *value, size_t at, size_t *len)
{
	if (tally_value_type(value) != TALLY_MAP || at >= tally_value_count(value)) {
		return NULL;
	}
	return tally_value_text((const struct tally_value *)&value_of(value)->items[2 * at], len);
}

const struct tally_value *tally_value_get(const struct tally_value *value, const char *key)
{
	if (tally_value_type(value) != TALLY_MAP || key == NULL) {
		return NULL;
	}
	return (const struct tally_value *)resp_map_get(value_of(value), key);
}
