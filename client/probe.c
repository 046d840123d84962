#include "client/probe.h"

#include <assert.h>
#include <stdio.h>

#include "client/body.h"

#define FIRST_BACK_OFF_MS 10
/* A search of some seconds pauses longer than this by itself (compass.c). */
#define BACK_OFF_MAX_MS 80
/* A status is small; this is a server that talks and talks. */
#define STATUS_MAX KIB(256)

static const char question[] = "*2\r\n$5\r\nTALLY\r\n$6\r\nSTATUS\r\n";
static const char greeting[] = "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n";

void probe_init(struct probe *probe, struct compass *compass, const char *address)
{
	*probe = (struct probe){.compass = compass};
	assert(strlen(address) < sizeof(probe->address));
	memcpy(probe->address, address, strlen(address) + 1);
	buf_init(&probe->input, STATUS_MAX);
}

void probe_fini(struct probe *probe)
{
	buf_fini(&probe->input);
}

/* ---- answers ---- */

static void probe_learn(struct probe *probe, const struct resp_value *members)
{
	if (members == NULL || (members->type != RESP_ARRAY && members->type != RESP_SET)) {
		return;
	}
	for (size_t i = 0; i < members->count; i++) {
		const struct resp_value *client = resp_map_get(&members->items[i], "client");
		if (client != NULL && client->type == RESP_BULK) {
			compass_learn(probe->compass, client->text);
		}
	}
}

bool probe_read(struct probe *probe, struct slice reply, uint64_t now_us)
{
	struct arena *arena = compass_arena(probe->compass);
	struct resp_value status;
	size_t used;
	bool fine = false;
	if (resp_reply_parse(reply, arena, &status, &used) == 0 &&
	    (status.type == RESP_MAP || status.type == RESP_ARRAY)) {
		const struct resp_value *role = resp_map_get(&status, "role");
		const struct resp_value *leader = resp_map_get(&status, "leader_client");
		const struct resp_value *term = resp_map_get(&status, "term");
		fine = role != NULL && (role->type == RESP_BULK || role->type == RESP_SIMPLE);
		probe->leads = fine && slice_is_word(role->text, "leader");
		probe->term = term != NULL && term->type == RESP_INTEGER ? (uint64_t)term->integer : 0;
		probe->leader[0] = '\0';
		if (leader != NULL && leader->type == RESP_BULK && leader->text.len < sizeof(probe->leader)) {
			snprintf(probe->leader, sizeof(probe->leader), "%.*s", (int)leader->text.len,
				 (const char *)leader->text.data);
			compass_learn(probe->compass, leader->text);
		}
		probe_learn(probe, resp_map_get(&status, "members"));
	}
	arena_reset(arena);
	if (fine) {
		probe->answered_us = now_us;
		probe->failures = 0;
		probe->not_before_us = 0;
	}
	return fine;
}

void probe_fail(struct probe *probe)
{
	probe->failed = true;
	probe_rest(probe);
}

static void probe_data_cb(void *owner, struct slice bytes)
{
	struct probe *probe = owner;
	if (probe->closing) {
		return;
	}
	buf_append_slice(&probe->input, bytes);
	while (probe->input.len > 0) {
		size_t used;
		int status = resp_reply_measure(buf_slice(&probe->input), STATUS_MAX, &used);
		if (status == ERR_MORE && !buf_failed(&probe->input)) {
			return;
		}
		bool fine = status == 0;
		if (fine && probe->input.data[0] == '>') {
			/* a push: not an answer */
		} else if (fine && probe->skip > 0) {
			probe->skip--;
			fine = probe->input.data[0] != '-';
		} else if (fine) {
			fine = probe->waiting && probe_read(probe, slice_of(probe->input.data, used),
							    compass_now_us(probe->compass));
			probe->waiting = false;
			if (fine) {
				compass_answered(probe->compass, probe);
			}
		}
		if (!fine) {
			probe_fail(probe);
			return;
		}
		if (probe->closing) {
			return; /* the search is over */
		}
		buf_consume(&probe->input, used);
	}
}

/* ---- the connection ---- */

static void probe_write_cb(struct env_write *write, int status)
{
	struct probe *probe = list_entry(write, struct probe, write);
	probe->writing = false;
}

static void probe_write(struct probe *probe, bool greet)
{
	assert(!probe->writing);
	struct slice texts[2] = {slice_of(greeting, sizeof(greeting) - 1),
				 slice_of(question, sizeof(question) - 1)};
	probe->writing = true;
	probe->write.cb = probe_write_cb;
	if (greet) {
		probe->skip = 1;
		env_stream_write(probe->stream, &probe->write, texts, 2);
	} else {
		env_stream_write(probe->stream, &probe->write, texts + 1, 1);
	}
}

static void probe_opened_cb(void *owner, int status)
{
	struct probe *probe = owner;
	if (status != 0 || probe->closing) {
		return;
	}
	probe->opened = true;
	probe_write(probe, true);
}

static void probe_closed_cb(void *owner, int status)
{
	struct probe *probe = owner;
	bool failed = !probe->closing || probe->failed;
	probe->stream = NULL;
	probe->closing = probe->failed = probe->waiting = false;
	buf_reset(&probe->input);
	if (failed) {
		uint64_t back_off_ms = FIRST_BACK_OFF_MS;
		for (unsigned i = 0; i < probe->failures && back_off_ms < BACK_OFF_MAX_MS; i++) {
			back_off_ms *= 2;
		}
		probe->failures++;
		probe->answered_us = 0;
		probe->leads = false;
		probe->not_before_us = compass_now_us(probe->compass) + back_off_ms * 1000;
	}
	compass_probe_closed(probe->compass, probe, failed);
}

static const struct env_stream_events probe_events = {
	.opened = probe_opened_cb,
	.data = probe_data_cb,
	.closed = probe_closed_cb,
};

void probe_ask(struct probe *probe, uint64_t now_us)
{
	if (probe->waiting || probe->closing || now_us < probe->not_before_us) {
		return;
	}
	if (probe->stream == NULL) {
		probe->opened = false;
		probe->skip = 0;
		probe->waiting = true;
		probe->asked_us = now_us;
		probe->stream =
			env_connect(compass_env(probe->compass), probe->address, &probe_events, probe);
		return;
	}
	if (!probe->opened || probe->writing) {
		return;
	}
	probe->waiting = true;
	probe->asked_us = now_us;
	probe_write(probe, false);
}

void probe_rest(struct probe *probe)
{
	if (probe->stream == NULL || probe->closing) {
		return;
	}
	probe->closing = true;
	env_stream_close(probe->stream);
}
