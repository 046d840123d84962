#include "engine/replay.h"

#include <assert.h>

#include "wire/json.h"
#include "wire/resp.h"

static void write_value(const struct resp_value *v, struct reply *out);

static void write_items(const struct resp_value *v, size_t count, struct reply *out)
{
	for (size_t i = 0; i < count; i++) {
		write_value(&v->items[i], out);
	}
}

static void write_line(char type, struct slice text, struct reply *out)
{
	buf_append_byte(out->out, (uint8_t)type);
	buf_append_slice(out->out, text);
	buf_append(out->out, "\r\n", 2);
}

/* One that came in RESP3's long form may hold lines; every other byte, NUL too, is as it was. */
static void write_error(struct slice text, struct reply *out)
{
	buf_append_byte(out->out, '-');
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		buf_append_byte(out->out, c == '\r' || c == '\n' ? ' ' : c);
	}
	buf_append(out->out, "\r\n", 2);
}

/* RESP2 has no type for it: a text. */
static void write_number(char type, struct slice text, struct reply *out)
{
	if (out->protocol == 3) {
		write_line(type, text, out);
	} else {
		reply_bulk(out, text);
	}
}

static void write_value(const struct resp_value *v, struct reply *out)
{
	switch (v->type) {
	case RESP_SIMPLE:
		write_line('+', v->text, out);
		break;
	case RESP_ERROR:
		write_error(v->text, out);
		break;
	case RESP_INTEGER:
		reply_integer(out, v->integer);
		break;
	case RESP_BULK:
		reply_bulk(out, v->text);
		break;
	case RESP_NULL:
		reply_null(out);
		break;
	case RESP_BOOL:
		reply_bool(out, v->integer != 0);
		break;
	case RESP_DOUBLE:
		write_number(',', v->text, out);
		break;
	case RESP_BIGNUM:
		write_number('(', v->text, out);
		break;
	case RESP_VERBATIM:
		reply_verbatim(out, "txt", v->text);
		break;
	case RESP_MAP:
		reply_map(out, v->count);
		write_items(v, 2 * v->count, out);
		break;
	case RESP_SET:
		reply_set(out, v->count);
		write_items(v, v->count, out);
		break;
	case RESP_ARRAY:
	case RESP_PUSH:
		reply_array(out, v->count);
		write_items(v, v->count, out);
		break;
	}
}

/* ---- results of CALL ---- */

static struct value neutral(const struct resp_value *v, struct arena *arena)
{
	struct value value = {.kind = VALUE_TEXT, .text = v->text};
	switch (v->type) {
	case RESP_INTEGER:
		return (struct value){.kind = VALUE_INT, .integer = v->integer};
	case RESP_BOOL:
		return (struct value){.kind = VALUE_BOOL, .boolean = v->integer != 0};
	case RESP_DOUBLE:
		return (struct value){.kind = VALUE_REAL, .real = v->number};
	case RESP_NULL:
		return (struct value){.kind = VALUE_NOTHING};
	case RESP_MAP:
		value = value_new_items(arena, VALUE_MAP, v->count);
		for (size_t i = 0; i < v->count; i++) {
			value.items->names[i] = v->items[2 * i].text;
			value.items->values[i] = neutral(&v->items[2 * i + 1], arena);
		}
		return value;
	case RESP_ARRAY:
	case RESP_SET:
	case RESP_PUSH:
		value = value_new_items(arena, VALUE_LIST, v->count);
		for (size_t i = 0; i < v->count; i++) {
			value.items->values[i] = neutral(&v->items[i], arena);
		}
		return value;
	default:
		return value;
	}
}

/* A call inside of a queue with an id may have been a replay when the queue ran. */
static bool is_marked(const struct resp_value *v)
{
	return v->count > 0 && slice_equal(v->items[2 * v->count - 2].text, SLICE_LIT("replayed"));
}

/* The map gains a pair at its end; v is ours, in the arena. */
static void mark_map(struct resp_value *v, struct arena *arena)
{
	assert(v->type == RESP_MAP);
	assert(!is_marked(v));
	struct resp_value *items = arena_alloc(arena, (2 * v->count + 2) * sizeof *items);
	if (v->count > 0) {
		memcpy(items, v->items, 2 * v->count * sizeof *items);
	}
	memset(&items[2 * v->count], 0, 2 * sizeof *items);
	items[2 * v->count].type = RESP_BULK;
	items[2 * v->count].text = SLICE_LIT("replayed");
	items[2 * v->count + 1].type = RESP_BOOL;
	items[2 * v->count + 1].integer = 1;
	v->items = items;
	v->count++;
}

static void write_result(struct resp_value *v, bool mark, struct arena *arena, struct reply *out)
{
	if (v->type == RESP_ERROR) {
		write_value(v, out);
		return;
	}
	if (mark && v->type == RESP_MAP && !is_marked(v)) {
		mark_map(v, arena);
	}
	if (out->protocol == 3) {
		write_value(v, out);
		return;
	}
	struct value value = neutral(v, arena);
	struct buf json;
	buf_init(&json, out->out->max);
	json_write(&json, &value);
	reply_bulk(out, buf_slice(&json));
	buf_fini(&json);
}

int replay_write(const struct replay *replay, struct arena *arena, struct reply *out)
{
	bool calls = false;
	struct resp_value v;
	size_t used;
	assert(replay->kept.len > 0);
	for (size_t i = 0; i < replay->command_count; i++) {
		calls = calls || replay->commands[i].command == replay->call;
	}
	if (out->protocol == 3 && !(calls && replay->mark)) {
		buf_append_slice(out->out, replay->kept);
		return 0;
	}
	if (resp_reply_parse(replay->kept, arena, &v, &used) != 0 || used != replay->kept.len) {
		return ERR_CORRUPT;
	}
	if (replay->exec && v.type == RESP_NULL) {
		reply_null_array(out);
	} else if (!calls) {
		write_value(&v, out);
	} else if (!replay->exec) {
		write_result(&v, replay->mark, arena, out);
	} else if (v.type != RESP_ARRAY || v.count != replay->command_count) {
		write_value(&v, out);
	} else {
		reply_array(out, v.count);
		for (size_t i = 0; i < v.count; i++) {
			if (replay->commands[i].command == replay->call) {
				write_result(&v.items[i], replay->mark, arena, out);
			} else {
				write_value(&v.items[i], out);
			}
		}
	}
	return 0;
}
