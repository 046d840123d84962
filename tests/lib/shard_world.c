#include "tests/lib/shard_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/tap.h"

static void done_cb(struct request *request)
{
	struct ask *ask = list_entry(request, struct ask, request);
	size_t len = request->reply.len < sizeof ask->text - 1 ? request->reply.len : sizeof ask->text - 1;
	ask->done = true;
	ask->order = ++ask->world->done_count;
	memcpy(ask->text, request->reply.data, len);
	ask->text[len] = 0;
	for (char *p = ask->text; *p != 0; p++) {
		*p = *p == '\r' || *p == '\n' ? '|' : *p;
	}
}

void ask_init(struct world *w, struct ask *ask)
{
	memset(ask, 0, sizeof *ask);
	ask->world = w;
	request_init(&ask->request);
	ask->request.protocol = 3;
	ask->request.user = SLICE_LIT("default");
	ask->request.done = done_cb;
}

/* Words of line; a command a semicolon. */
void ask_words(struct ask *ask, const char *line)
{
	struct reply reply = {&ask->request.reply, 3};
	size_t argc = 0, skip, begin = 0;
	while (*line != 0) {
		size_t len = strcspn(line, " ");
		ask->argv[argc++] = slice_of(line, len);
		line += len + (line[len] == ' ');
	}
	int rc = request_envelope_parse(ask->argv, argc, &ask->request.envelope, &skip, &reply);
	if (rc != 0) {
		tap_note("bad prefixes");
		abort();
	}
	begin = skip;
	for (size_t i = skip; i <= argc; i++) {
		if (i < argc && !slice_equal(ask->argv[i], SLICE_LIT(";"))) {
			continue;
		}
		struct request_command *c = &ask->commands[ask->request.command_count++];
		c->command = command_find(ask->argv[begin]);
		c->argv = &ask->argv[begin];
		c->argc = i - begin;
		begin = i + 1;
	}
	ask->request.commands = ask->commands;
}

void ask_send(struct ask *ask)
{
	ask->request.arrived_us = env_now_us(ask->world->env);
	shard_submit(ask->world->shard, &ask->request);
}

void ask_start(struct world *w, struct ask *ask, const char *line)
{
	ask_init(w, ask);
	ask_words(ask, line);
	ask_send(ask);
}

static bool is_done(void *owner)
{
	return ((struct ask *)owner)->done;
}

/* Keeps the loop awake for a number of turns. */
struct spin {
	struct env_timer timer;
	int left;
};

static void spin_cb(struct env_timer *timer)
{
	struct spin *spin = list_entry(timer, struct spin, timer);
	if (--spin->left > 0) {
		env_timer_start(timer, 0);
	}
}

static bool is_spun(void *owner)
{
	return ((struct spin *)owner)->left == 0;
}

const char *ask_wait(struct ask *ask)
{
	uv_env_run_until(ask->world->env, is_done, ask, WAIT_MS);
	return ask->done ? ask->text : "no answer";
}

/* A few turns: whatever can happen without the clock has happened. */
void world_turns(struct world *w)
{
	struct spin spin = {.left = 10};
	env_timer_init(w->env, &spin.timer, spin_cb);
	env_timer_start(&spin.timer, 0);
	uv_env_run_until(w->env, is_spun, &spin, WAIT_MS);
}

void ask_end(struct ask *ask)
{
	request_fini(&ask->request);
}

/* Sends, waits, returns the reply with | for line ends. */
const char *world_ask(struct world *w, const char *line)
{
	static char text[512];
	struct ask *ask = malloc(sizeof *ask);
	ask_start(w, ask, line);
	snprintf(text, sizeof text, "%s", ask_wait(ask));
	if (ask->done) {
		ask_end(ask);
		free(ask);
	}
	return text;
}

bool world_leads(void *owner)
{
	struct world *w = owner;
	return w->shard->phase == PHASE_LEADING;
}

void world_open(struct world *w, const char *dir, const struct shard_config *more)
{
	static unsigned count;
	static const struct replica_member member = {1, "127.0.0.1:0"};
	struct shard_config config = more != NULL ? *more : (struct shard_config){0};
	char log_dir[600], store_dir[600];
	struct err err = {0};
	memset(w, 0, sizeof *w);
	if (dir != NULL) {
		snprintf(w->dir, sizeof w->dir, "%s", dir);
	} else {
		snprintf(w->dir, sizeof w->dir, "%s/%u", tap_dir(), count++);
	}
	w->env = uv_env_new(NULL);
	env_mkdir(w->env, w->dir);
	snprintf(log_dir, sizeof log_dir, "%s/log", w->dir);
	snprintf(store_dir, sizeof store_dir, "%s/db", w->dir);
	env_mkdir(w->env, log_dir);
	config.env = w->env;
	config.log_dir = log_dir;
	config.store_dir = store_dir;
	config.cluster_id = 7;
	config.node_id = 1;
	config.members = &member;
	config.member_count = 1;
	config.bootstrap = true;
	config.memtable_bytes = MIB(4);
	config.cache_bytes = MIB(1);
	config.election_ms = 50;
	config.heartbeat_ms = 10;
	config.segment_bytes = KIB(256);
	config.keep_bytes = MIB(1);
	config.log_cache_bytes = MIB(4);
	config.default_deadline_ms = 60000;
	config.owner = w;
	int rc = shard_open(&config, &w->shard, &err);
	if (rc == 0) {
		rc = shard_start(w->shard, &err);
	}
	if (rc != 0) {
		tap_note("%s", err.text);
		abort();
	}
}

void world_lead(struct world *w, const char *dir, const struct shard_config *more)
{
	world_open(w, dir, more);
	uv_env_run_until(w->env, world_leads, w, WAIT_MS);
}

void world_closed_cb(void *owner)
{
	((struct world *)owner)->closed = true;
}

bool world_is_closed(void *owner)
{
	return ((struct world *)owner)->closed;
}

static void left_cb(void *owner)
{
	shard_close(((struct world *)owner)->shard, world_closed_cb);
}

void world_stop(struct world *w)
{
	shard_leave(w->shard, left_cb);
}

void world_close(struct world *w)
{
	world_stop(w);
	uv_env_run_until(w->env, world_is_closed, w, WAIT_MS);
	shard_free(w->shard);
	uv_env_free(w->env, NULL, NULL);
}

/* ---- scripts ---- */

static const char tables_lua[] =
	"tables { pool = { key = { 'sku' }, columns = { sku = id, avail = count } } }";
static const char fill_lua[] = "procedure { name = 'pool.fill', writes = true,\n"
			       "  args = { sku = id, qty = int(1, 100000) }, result = { left = int } }\n"
			       "return function(call)\n"
			       "  db.pool:add(call.sku, { avail = call.qty })\n"
			       "  return { left = db.pool:need(call.sku).avail }\n"
			       "end";
const char world_take_lua[] =
	"procedure { name = 'pool.take', writes = true, once = 'take_id', keep = 'success',\n"
	"  args = { take_id = id, sku = id, qty = int(1, 100) }, result = { left = int },\n"
	"  fails = { SOLD_OUT = 'refused' } }\n"
	"return function(call)\n"
	"  local pool = db.pool:need(call.sku)\n"
	"  db.pool:add(call.sku, { avail = -1 })\n"
	"  if pool.avail < call.qty then fail('SOLD_OUT') end\n"
	"  db.pool:add(call.sku, { avail = 1 - call.qty })\n"
	"  return { left = pool.avail - call.qty }\n"
	"end";

void world_push_start(struct world *w, struct ask *ask, const char *verb, const char *take)
{
	ask_init(w, ask);
	ask_words(ask, "BUNDLE verb shop tables.lua t pool/fill.lua f pool/take.lua k");
	ask->argv[1] = slice_str(verb);
	ask->argv[4] = slice_str(tables_lua);
	ask->argv[6] = slice_str(fill_lua);
	ask->argv[8] = slice_str(take);
	ask_send(ask);
}

const char *world_bundle(struct world *w, const char *verb, const char *take)
{
	static char text[512];
	struct ask ask;
	world_push_start(w, &ask, verb, take);
	snprintf(text, sizeof text, "%s", ask_wait(&ask));
	ask_end(&ask);
	return text;
}
