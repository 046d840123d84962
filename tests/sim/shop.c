#include "tests/sim/shop.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_OPS 120 /* requests after which registers and lists move on */
#define REGISTERS 3
#define LISTS 2
#define LIST_VALUES_MAX 1024

enum work_kind { WORK_SET, WORK_GET, WORK_APPEND, WORK_LIST, WORK_INCR, WORK_COUNT };

static void work_next(struct worker *w);
static void answered_cb(struct tally_call *call);

/* ---- what an answer says ---- */

/* "1,22,333," → numbers. False when it is not that. */
static bool parse_list(const char *text, size_t len, int64_t *list, size_t *count)
{
	*count = 0;
	int64_t number = 0;
	bool digits = false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ',' && digits && *count < LIST_VALUES_MAX) {
			list[(*count)++] = number;
			number = 0;
			digits = false;
		} else if (text[i] >= '0' && text[i] <= '9') {
			number = number * 10 + (text[i] - '0');
			digits = true;
		} else {
			return false;
		}
	}
	return !digits;
}

static void note_value(struct worker *w, const struct tally_value *value)
{
	struct judge *judge = w->shop->shops->judge;
	size_t len = 0;
	const char *text = value == NULL ? NULL : tally_value_text(value, &len);
	if (w->kind == WORK_GET) {
		w->op.found = text != NULL;
		w->op.value = text == NULL ? 0 : strtoll(text, NULL, 10);
	} else if (w->kind == WORK_COUNT) {
		w->shop->shops->counters[w->counter].value = text == NULL ? 0 : strtoull(text, NULL, 10);
		w->shop->shops->counters[w->counter].read = true;
	} else if (w->kind == WORK_LIST) {
		int64_t list[LIST_VALUES_MAX];
		w->part.count = 0;
		if (text != NULL && !parse_list(text, len, list, &w->part.count)) {
			judge_fail(judge, "%s reads as garbage: %.200s", w->key, text);
		}
		w->part.list = list;
		history_add(&w->shop->shops->lists, &w->op);
		w->part.list = NULL;
	}
}

static void record(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	if (w->kind == WORK_SET || w->kind == WORK_GET) {
		history_add(&shops->registers, &w->op);
	} else if (w->kind == WORK_APPEND || (w->kind == WORK_LIST && w->op.outcome != HISTORY_OK)) {
		history_add(&shops->lists, &w->op);
	}
}

static void count_outcome(struct worker *w, enum tally_outcome outcome)
{
	struct shops *shops = w->shop->shops;
	uint64_t now = sim_now_us(shops->sim);
	shops->refused += outcome == TALLY_REFUSED || outcome == TALLY_CONFLICT;
	shops->retried += outcome == TALLY_RETRY;
	shops->unknown += outcome == TALLY_UNKNOWN;
	if (w->kind == WORK_INCR) {
		shops->counters[w->counter].done += outcome == TALLY_DONE;
		shops->counters[w->counter].unknown += outcome == TALLY_UNKNOWN;
	}
	if (outcome != TALLY_DONE) {
		return;
	}
	shops->acknowledged++;
	uint64_t gap = now - shops->last_done_us;
	shops->longest_gap_us = gap > shops->longest_gap_us ? gap : shops->longest_gap_us;
	shops->last_done_us = now;
}

static void answered_cb(struct tally_call *call)
{
	struct worker *w = call->data;
	struct shops *shops = w->shop->shops;
	enum tally_outcome outcome = tally_call_outcome(call);
	w->busy = false;
	shops->busy--;
	w->op.outcome = outcome == TALLY_DONE ? HISTORY_OK : outcome == TALLY_UNKNOWN ? HISTORY_INFO : HISTORY_FAIL;
	w->op.returned_us = outcome == TALLY_UNKNOWN ? HISTORY_NEVER : sim_now_us(shops->sim);
	w->op.attempts = tally_call_attempts(call);
	w->op.code = tally_call_code(call);
	if (outcome == TALLY_REFUSED) {
		judge_fail(shops->judge, "%s was refused: %s", w->key, tally_call_message(call));
	}
	if (outcome == TALLY_DONE) {
		note_value(w, tally_call_value(call));
	}
	record(w);
	count_outcome(w, outcome);
	char line[96];
	snprintf(line, sizeof(line), "%s %d %d", w->key, w->kind, (int)outcome);
	sim_trace(shops->sim, w->shop->host, "answer", slice_str(line));
	if (w->final && outcome == TALLY_DONE) {
		shops->final_done++;
		w->final = false;
	}
	work_next(w);
}

/* ---- asking ---- */

static void command(struct worker *w, const char *const *words, size_t count, bool read, unsigned timeout_ms)
{
	size_t lens[4];
	for (size_t i = 0; i < count; i++) {
		lens[i] = strlen(words[i]);
	}
	char id[TALLY_ID_SIZE];
	tally_id_make(w->shop->tally, id);
	tally_command_start(w->shop->tally, &w->call, read ? NULL : id, words, lens, count, read ? TALLY_READ : 0,
			    timeout_ms, answered_cb);
}

static void ask(struct worker *w, unsigned timeout_ms)
{
	struct shops *shops = w->shop->shops;
	w->busy = true;
	shops->busy++;
	shops->started++;
	w->call.data = w;
	w->op.client = w->shop->number * SHOP_WORKERS_MAX + (uint32_t)(w - w->shop->workers);
	w->op.invoked_us = sim_now_us(shops->sim);
	w->op.returned_us = HISTORY_NEVER;
	size_t key_len = strlen(w->key);
	size_t text_len = strlen(w->text);
	switch (w->kind) {
	case WORK_SET:
		tally_set_start(w->shop->tally, &w->call, w->key, key_len, w->text, text_len, timeout_ms, answered_cb);
		break;
	case WORK_GET:
	case WORK_LIST:
	case WORK_COUNT:
		tally_get_start(w->shop->tally, &w->call, w->key, key_len, timeout_ms, answered_cb);
		break;
	case WORK_APPEND:
		command(w, (const char *const[]){"APPEND", w->key, w->text}, 3, false, timeout_ms);
		break;
	case WORK_INCR:
		command(w, (const char *const[]){"INCR", w->key}, 2, false, timeout_ms);
		break;
	}
}

static void prepare(struct worker *w, int kind, int64_t key)
{
	struct shops *shops = w->shop->shops;
	w->kind = kind;
	w->op = (struct history_op){.key = key, .code = "", .function = kind == WORK_GET ? HISTORY_READ : HISTORY_WRITE};
	w->text[0] = '\0';
	if (kind == WORK_SET || kind == WORK_APPEND) {
		w->op.value = (int64_t)++shops->unique;
		snprintf(w->text, sizeof(w->text), kind == WORK_SET ? "%" PRId64 : "%" PRId64 ",", w->op.value);
	}
	if (kind == WORK_APPEND || kind == WORK_LIST) {
		w->op.function = HISTORY_TXN;
		w->part = (struct history_part){.append = kind == WORK_APPEND, .key = key, .value = w->op.value};
		w->op.parts = &w->part;
		w->op.part_count = 1;
	}
	char letter = kind == WORK_SET || kind == WORK_GET ? 'r' : kind == WORK_APPEND || kind == WORK_LIST ? 'l' : 'c';
	snprintf(w->key, sizeof(w->key), "%c%" PRId64, letter, key);
}

static void draw_work(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	struct prng *prng = sim_prng(shops->sim);
	int64_t epoch = (int64_t)(shops->started / KEY_OPS);
	uint64_t die = prng_below(prng, 100);
	if (w->shop->number == SHOP_WINDOW) {
		die = die < 50 ? 25 : 70; /* looks at registers and lists, buys nothing */
	}
	if (die < 25) {
		prepare(w, WORK_SET, epoch * REGISTERS + (int64_t)prng_below(prng, REGISTERS));
	} else if (die < 50) {
		prepare(w, WORK_GET, epoch * REGISTERS + (int64_t)prng_below(prng, REGISTERS));
	} else if (die < 70) {
		prepare(w, WORK_APPEND, epoch * LISTS + (int64_t)prng_below(prng, LISTS));
	} else if (die < 85) {
		prepare(w, WORK_LIST, epoch * LISTS + (int64_t)prng_below(prng, LISTS));
	} else {
		w->counter = (unsigned)prng_below(prng, SHOP_COUNTERS);
		prepare(w, WORK_INCR, w->counter);
	}
}

/* The next key to read back; false when all were handed out. */
static bool draw_final(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	if (!shops->reading_back || shops->final_at == shops->final_count) {
		return false;
	}
	int64_t at = (int64_t)shops->final_at++;
	int64_t registers = shops->final_epochs * REGISTERS;
	int64_t lists = shops->final_epochs * LISTS;
	w->final = true;
	if (at < registers) {
		prepare(w, WORK_GET, at);
	} else if (at < registers + lists) {
		prepare(w, WORK_LIST, at - registers);
	} else {
		w->counter = (unsigned)(at - registers - lists);
		prepare(w, WORK_COUNT, w->counter);
	}
	return true;
}

static void next_fire(struct sim_event *event)
{
	struct worker *w = list_entry(event, struct worker, next);
	struct shops *shops = w->shop->shops;
	assert(!w->busy);
	if (w->shop->tally == NULL) {
		return;
	}
	if (shops->open) {
		draw_work(w);
		ask(w, 200 + (unsigned)prng_below(sim_prng(shops->sim), 6000));
	} else if (w->final || draw_final(w)) {
		prepare(w, w->kind, w->op.key);
		ask(w, 5000);
	}
}

static void work_next(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	sim_event_in(shops->sim, &w->next, 1 + prng_below(sim_prng(shops->sim), shops->think_us));
}

/* ---- clients begin and end ---- */

static void shop_start_fire(struct sim_event *event)
{
	struct shop *shop = list_entry(event, struct shop, start);
	char servers[256];
	fleet_servers(shop->shops->fleet, servers, sizeof(servers));
	struct tally_options options = {.servers = servers, .connections = 1 + shop->number % 2};
	struct err err = {0};
	shop->env = sim_host_start(shop->host);
	shop->tally = client_open(shop->env, &options, &err);
	if (shop->tally == NULL) {
		fatal("the simulator's client does not open: %s", err.text);
	}
	for (unsigned i = 0; i < shop->worker_count; i++) {
		work_next(&shop->workers[i]);
	}
}

/* Nobody hears the answer any more: unknown. */
static void worker_dies(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	sim_event_cancel(shops->sim, &w->next);
	if (!w->busy) {
		return;
	}
	w->busy = false;
	shops->busy--;
	w->op.outcome = HISTORY_INFO;
	record(w);
	shops->unknown++;
	if (w->kind == WORK_INCR) {
		shops->counters[w->counter].unknown++;
	}
}

static void shop_end(struct shop *shop, enum sim_kill kill)
{
	if (shop->tally == NULL) {
		return;
	}
	sim_host_kill(shop->host, kill);
	for (unsigned i = 0; i < shop->worker_count; i++) {
		worker_dies(&shop->workers[i]);
	}
	client_free(shop->tally);
	sim_env_free(shop->env);
	shop->tally = NULL;
	shop->env = NULL;
}

void shops_kill(struct shops *shops, unsigned number, enum sim_kill kill)
{
	struct shop *shop = &shops->list[number];
	if (shop->tally == NULL) {
		return;
	}
	shop_end(shop, kill);
	shops->restarts++;
	sim_event_in(shops->sim, &shop->start, 10000 + prng_below(sim_prng(shops->sim), 1000000));
}

void shops_init(struct shops *shops, struct fleet *fleet, struct judge *judge, unsigned count, unsigned workers,
		unsigned think_us)
{
	assert(count <= SHOPS_MAX && workers <= SHOP_WORKERS_MAX && think_us > 0);
	memset(shops, 0, sizeof(*shops));
	shops->sim = fleet->sim;
	shops->fleet = fleet;
	shops->judge = judge;
	shops->count = count;
	shops->think_us = think_us;
	shops->open = true;
	history_init(&shops->registers);
	history_init(&shops->lists);
	for (unsigned i = 0; i < count; i++) {
		struct shop *shop = &shops->list[i];
		char name[16];
		snprintf(name, sizeof(name), "c%u", i + 1);
		shop->shops = shops;
		shop->number = i;
		shop->host = sim_host_new(shops->sim, name);
		shop->worker_count = workers;
		sim_event_init(&shop->start, shop_start_fire);
		sim_event_in(shops->sim, &shop->start, 1000 * (i + 1));
		for (unsigned j = 0; j < workers; j++) {
			shop->workers[j].shop = shop;
			sim_event_init(&shop->workers[j].next, next_fire);
		}
	}
	shops->last_done_us = sim_now_us(shops->sim);
}

void shops_fini(struct shops *shops)
{
	for (unsigned i = 0; i < shops->count; i++) {
		shop_end(&shops->list[i], SIM_KILL_PROCESS);
		sim_event_cancel(shops->sim, &shops->list[i].start);
	}
	history_fini(&shops->registers);
	history_fini(&shops->lists);
}

void shops_close(struct shops *shops) { shops->open = false; }

void shops_read_back(struct shops *shops)
{
	assert(!shops->open && shops->busy == 0);
	shops->reading_back = true;
	shops->final_epochs = (int64_t)(shops->started / KEY_OPS) + 1;
	shops->final_count = (size_t)shops->final_epochs * (REGISTERS + LISTS) + SHOP_COUNTERS;
	for (unsigned i = 0; i < shops->count; i++) {
		for (unsigned j = 0; shops->list[i].tally != NULL && j < shops->list[i].worker_count; j++) {
			work_next(&shops->list[i].workers[j]);
		}
	}
}

bool shops_are_read(const struct shops *shops) { return shops->final_done == shops->final_count; }

void shops_judge(struct shops *shops)
{
	judge_history(shops->judge, &shops->registers, &shops->lists);
	for (unsigned i = 0; i < SHOP_COUNTERS; i++) {
		const struct shop_counter *counter = &shops->counters[i];
		char key[16];
		snprintf(key, sizeof(key), "c%u", i);
		judge_counter(shops->judge, key, counter->done, counter->unknown, counter->value);
	}
}
