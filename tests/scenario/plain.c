#include "tests/scenario/plain.h"

#include "wire/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_write {
	struct env_write write;
	struct list link;
	struct buf bytes;
};

static void opened_cb(void *owner, int status)
{
	(void)owner;
	(void)status; /* closed follows when it is none */
}

static void data_cb(void *owner, struct slice bytes)
{
	buf_append_slice(&((struct plain *)owner)->in, bytes);
}
static void closed_cb(void *owner, int status)
{
	(void)status;
	((struct plain *)owner)->stream = NULL;
}

static const struct env_stream_events events = {.opened = opened_cb, .data = data_cb, .closed = closed_cb};

void plain_open(struct plain *plain, struct stage *stage, unsigned member)
{
	memset(plain, 0, sizeof(*plain));
	plain->stage = stage;
	list_init(&plain->writes);
	buf_init(&plain->in, MIB(1));
	plain->stream = env_connect(stage->env, stage->fleet.members[member].config.listen, &events, plain);
}

static void write_free(struct plain_write *write)
{
	list_remove(&write->link);
	buf_fini(&write->bytes);
	free(write);
}

static void written_cb(struct env_write *write, int status)
{
	(void)status;
	write_free(list_entry(write, struct plain_write, write));
}

void plain_close(struct plain *plain)
{
	if (plain->stream != NULL) {
		env_stream_close(plain->stream);
		stage_run(plain->stage, 1);
	}
	while (!list_empty(&plain->writes)) {
		write_free(list_entry(plain->writes.next, struct plain_write, link));
	}
	buf_fini(&plain->in);
}

void plain_send(struct plain *plain, const char *line)
{
	const char *words[16];
	size_t lens[16], count = 0;
	for (const char *at = line; *at != '\0' && count < 16; count++) {
		words[count] = at;
		lens[count] = strcspn(at, " ");
		at += lens[count] + (at[lens[count]] == ' ');
	}
	if (plain->stream == NULL) {
		return;
	}
	struct plain_write *write = calloc(1, sizeof(*write));
	if (write == NULL) {
		fatal("out of memory: a line");
	}
	buf_init(&write->bytes, MIB(1));
	buf_appendf(&write->bytes, "*%zu\r\n", count);
	for (size_t i = 0; i < count; i++) {
		buf_appendf(&write->bytes, "$%zu\r\n%.*s\r\n", lens[i], (int)lens[i], words[i]);
	}
	list_append(&plain->writes, &write->link);
	write->write.cb = written_cb;
	const struct slice bytes = buf_slice(&write->bytes);
	env_stream_write(plain->stream, &write->write, &bytes, 1);
}

/* ---- replies ---- */

static bool has_reply(void *owner)
{
	struct plain *plain = owner;
	size_t used;
	return resp_reply_measure(buf_slice(&plain->in), MIB(1), &used) != ERR_MORE || plain->stream == NULL;
}

static void show(struct plain *plain, const struct resp_value *value)
{
	size_t at = strlen(plain->text), room = sizeof(plain->text) - at;
	char *out = plain->text + at;
	switch (value->type) {
	case RESP_NULL:
		snprintf(out, room, "(nil)");
		return;
	case RESP_INTEGER:
		snprintf(out, room, "%lld", (long long)value->integer);
		return;
	case RESP_ARRAY:
		for (size_t i = 0; i < value->count; i++) {
			snprintf(plain->text + strlen(plain->text), sizeof(plain->text) - strlen(plain->text),
				 "%s", i == 0 ? "[" : " ");
			show(plain, &value->items[i]);
		}
		snprintf(plain->text + strlen(plain->text), sizeof(plain->text) - strlen(plain->text), "%s",
			 value->count == 0 ? "[]" : "]");
		return;
	default:
		snprintf(out, room, "%s%.*s", value->type == RESP_ERROR ? "-" : "", (int)value->text.len,
			 (const char *)value->text.data);
	}
}

const char *plain_read(struct plain *plain, uint64_t ms)
{
	struct arena arena;
	struct resp_value value;
	size_t used = 0;
	sim_run_until(plain->stage->sim, has_reply, plain, ms * 1000);
	arena_init(&arena, KIB(4));
	int status = resp_reply_parse(buf_slice(&plain->in), &arena, &value, &used);
	if (status == 0) {
		plain->text[0] = '\0';
		show(plain, &value);
		buf_consume(&plain->in, used);
	}
	arena_fini(&arena);
	return status == 0 ? plain->text : NULL;
}

const char *plain_ask(struct plain *plain, const char *line)
{
	plain_send(plain, line);
	return plain_read(plain, 30000);
}
