/* Replies as a client reads them. A reply is a head line (a type byte and its
 * text or length), then the bytes of a string or the elements of an aggregate.
 * Attributes ("|") in front of a value are passed over, nulls of RESP2 and
 * RESP3 are one RESP_NULL. */
#include "wire/resp.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/limits.h"

/* The shortest reply is "_\r\n": an aggregate that claims more elements than the bytes can hold lies or is not whole. */
#define ELEMENT_MIN 3
/* A head is a number, or a line that a server wrote about one request. */
#define LINE_MAX_BYTES KIB(64)
#define DOUBLE_MAX_BYTES 64
#define SHORT_DIGITS 18 /* fit 64 bits, with no need to look */

struct head {
	uint8_t type;
	struct slice text; /* behind the type byte */
	int64_t number;    /* of ':', and the length or count of strings and aggregates; -1: null */
	size_t next;       /* behind the line */
};

static bool is_string(uint8_t type)
{
	return type == '$' || type == '=' || type == '!';
}

static bool is_aggregate(uint8_t type)
{
	return type == '*' || type == '%' || type == '~' || type == '>' || type == '|';
}

/* Elements behind a head: two for each pair. */
static uint64_t head_elements(const struct head *head)
{
	if (!is_aggregate(head->type) || head->number < 0) {
		return 0;
	}
	return (uint64_t)head->number * (head->type == '%' || head->type == '|' ? 2 : 1);
}

static int check_head(struct head *head)
{
	switch (head->type) {
	case '+':
	case '-':
	case '(':
	case ',':
		return 0;
	case '_':
		return head->text.len == 0 ? 0 : ERR_INVALID;
	case '#':
		return head->text.len == 1 && (head->text.data[0] == 't' || head->text.data[0] == 'f') ? 0 : ERR_INVALID;
	case ':':
		return slice_to_int64(head->text, &head->number) ? 0 : ERR_INVALID;
	default:
		break;
	}
	if (!is_string(head->type) && !is_aggregate(head->type)) {
		return ERR_INVALID;
	}
	if (!slice_to_int64(head->text, &head->number)) {
		return ERR_INVALID;
	}
	if (head->number < 0 && !(head->number == -1 && (head->type == '$' || head->type == '*'))) {
		return ERR_INVALID;
	}
	if (head->type == '=' && head->number < 4) {
		return ERR_INVALID; /* "txt:" belongs to it */
	}
	return head->number > INT32_MAX ? ERR_TOO_LARGE : 0;
}

/* Most heads are a length or a number of a few digits, whole and as it should be: taken here. False when a
 * head is not of these; what it is, is found out at leisure. */
static bool take_short(const uint8_t *begin, size_t left, struct head *head)
{
	size_t digits = 0;
	int64_t number = 0;

	if (left < 1 + SHORT_DIGITS + 2) {
		return false;
	}
	while (digits < SHORT_DIGITS && begin[1 + digits] >= '0' && begin[1 + digits] <= '9') {
		number = number * 10 + (begin[1 + digits] - '0');
		digits++;
	}
	if (digits == 0 || (begin[1] == '0' && digits > 1) || begin[1 + digits] != '\r' || begin[2 + digits] != '\n') {
		return false;
	}
	head->type = begin[0];
	head->text = slice_of(begin + 1, digits);
	head->number = number;
	return head->type == ':' ||
	       (number <= INT32_MAX && (head->type == '$' || head->type == '*' || head->type == '%'));
}

static int take_head(struct slice input, size_t at, struct head *head)
{
	const uint8_t *begin = input.data + at;
	size_t left = input.len - at;
	const uint8_t *lf;

	if (left == 0) {
		return ERR_MORE;
	}
	if (take_short(begin, left, head)) {
		head->next = at + 1 + head->text.len + 2;
		return 0;
	}
	lf = memchr(begin, '\n', left);
	if (lf == NULL) {
		return left > LINE_MAX_BYTES ? ERR_TOO_LARGE : ERR_MORE;
	}
	if (lf - begin < 2 || lf[-1] != '\r') {
		return ERR_INVALID;
	}
	head->type = begin[0];
	head->text = slice_of(begin + 1, (size_t)(lf - begin) - 2);
	head->next = at + (size_t)(lf - begin) + 1;
	return check_head(head);
}

/* Bytes of a string whose head was taken: 0 and *next behind its CR LF. */
static int take_body(struct slice input, const struct head *head, struct slice *body, size_t *next)
{
	size_t len = (size_t)head->number;

	if (input.len - head->next < len + 2) {
		return ERR_MORE;
	}
	*body = slice_of(input.data + head->next, len);
	*next = head->next + len + 2;
	return body->data[len] == '\r' && body->data[len + 1] == '\n' ? 0 : ERR_INVALID;
}

/* One value at *at, its elements included; *at moves only over what is whole. */
static int measure(struct slice input, size_t *at, size_t max, unsigned depth)
{
	struct head head;
	struct slice body;
	uint64_t elements;
	int rc;

	if (depth > LIMIT_RESP_DEPTH) {
		return ERR_TOO_LARGE;
	}
	rc = take_head(input, *at, &head);
	if (rc != 0) {
		return rc;
	}
	if (is_string(head.type) && head.number >= 0) {
		if (head.next + (uint64_t)head.number + 2 > max) {
			return ERR_TOO_LARGE;
		}
		return take_body(input, &head, &body, at);
	}
	elements = head_elements(&head);
	if (head.next + elements * ELEMENT_MIN > max) {
		return ERR_TOO_LARGE;
	}
	*at = head.next;
	elements += head.type == '|'; /* the value that the attributes adorn */
	for (uint64_t i = 0; i < elements; i++) {
		rc = measure(input, at, max, depth + 1);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int resp_reply_measure(struct slice input, size_t max, size_t *used)
{
	size_t at = 0;
	int rc = measure(input, &at, max, 0);

	if (rc == ERR_MORE && input.len >= max) {
		return ERR_TOO_LARGE;
	}
	if (rc != 0) {
		return rc;
	}
	if (at > max) {
		return ERR_TOO_LARGE;
	}
	*used = at;
	return 0;
}

static int parse_double(struct slice text, double *number)
{
	char copy[DOUBLE_MAX_BYTES];
	char *end;

	if (text.len == 0 || text.len >= sizeof(copy)) {
		return ERR_INVALID;
	}
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	*number = strtod(copy, &end);
	return end == copy + text.len ? 0 : ERR_INVALID;
}

static int fill_string(struct slice input, const struct head *head, struct resp_value *value, size_t *at)
{
	if (head->number < 0) {
		value->type = RESP_NULL;
		*at = head->next;
		return 0;
	}
	value->type = head->type == '$' ? RESP_BULK : head->type == '=' ? RESP_VERBATIM : RESP_ERROR;
	int rc = take_body(input, head, &value->text, at);
	if (rc == 0 && head->type == '=') {
		value->text = slice_skip(value->text, 4);
	}
	return rc;
}

static int fill_scalar(const struct head *head, struct resp_value *value)
{
	value->text = head->text;
	switch (head->type) {
	case '+':
		value->type = RESP_SIMPLE;
		return 0;
	case '-':
		value->type = RESP_ERROR;
		return 0;
	case ':':
		value->type = RESP_INTEGER;
		value->integer = head->number;
		return 0;
	case '(':
		value->type = RESP_BIGNUM;
		return 0;
	case ',':
		value->type = RESP_DOUBLE;
		return parse_double(head->text, &value->number);
	case '#':
		value->type = RESP_BOOL;
		value->integer = head->text.data[0] == 't';
		return 0;
	default:
		assert(head->type == '_');
		value->type = RESP_NULL;
		return 0;
	}
}

static enum resp_type aggregate_type(uint8_t type)
{
	switch (type) {
	case '%':
		return RESP_MAP;
	case '~':
		return RESP_SET;
	case '>':
		return RESP_PUSH;
	default:
		return RESP_ARRAY;
	}
}

static int parse(struct slice input, size_t *at, struct arena *arena, unsigned depth, struct resp_value *value);

static int fill_aggregate(struct slice input, const struct head *head, size_t *at, struct arena *arena,
                          unsigned depth, struct resp_value *value)
{
	uint64_t elements = head_elements(head);
	struct resp_value ignored;
	int rc;

	*at = head->next;
	if (elements > (input.len - head->next) / ELEMENT_MIN) {
		return ERR_MORE;
	}
	if (head->type == '|') {
		for (uint64_t i = 0; i < elements; i++) {
			rc = parse(input, at, arena, depth + 1, &ignored);
			if (rc != 0) {
				return rc;
			}
		}
		return parse(input, at, arena, depth + 1, value);
	}
	if (head->number < 0) {
		value->type = RESP_NULL;
		return 0;
	}
	value->type = aggregate_type(head->type);
	value->count = (size_t)head->number;
	value->items = arena_alloc(arena, (size_t)elements * sizeof(*value->items)); /* parse fills each */
	for (uint64_t i = 0; i < elements; i++) {
		rc = parse(input, at, arena, depth + 1, &value->items[i]);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static int parse(struct slice input, size_t *at, struct arena *arena, unsigned depth, struct resp_value *value)
{
	struct head head;
	int rc;

	if (depth > LIMIT_RESP_DEPTH) {
		return ERR_TOO_LARGE;
	}
	rc = take_head(input, *at, &head);
	if (rc != 0) {
		return rc;
	}
	*value = (struct resp_value){0};
	if (is_string(head.type)) {
		return fill_string(input, &head, value, at);
	}
	if (is_aggregate(head.type)) {
		return fill_aggregate(input, &head, at, arena, depth, value);
	}
	*at = head.next;
	return fill_scalar(&head, value);
}

int resp_reply_parse(struct slice input, struct arena *arena, struct resp_value *value, size_t *used)
{
	struct resp_value parsed;
	size_t at = 0;
	int rc = parse(input, &at, arena, 0, &parsed);

	if (rc != 0) {
		return rc;
	}
	*value = parsed;
	*used = at;
	return 0;
}

static bool is_key(const struct resp_value *value, struct slice key)
{
	return (value->type == RESP_BULK || value->type == RESP_SIMPLE || value->type == RESP_VERBATIM) &&
	       slice_equal(value->text, key);
}

const struct resp_value *resp_map_get(const struct resp_value *map, const char *key)
{
	size_t items = map->type == RESP_MAP ? map->count * 2 : map->type == RESP_ARRAY ? map->count : 0;
	struct slice wanted = slice_str(key);

	for (size_t i = 0; i + 1 < items; i += 2) {
		if (is_key(&map->items[i], wanted)) {
			return &map->items[i + 1];
		}
	}
	return NULL;
}
