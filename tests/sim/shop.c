#include "tests/sim/shop.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void work_next(struct worker *w);

void shops_count(struct shops *shops, enum tally_outcome outcome)
{
	uint64_t now = sim_now_us(shops->sim);
	shops->refused += outcome == TALLY_REFUSED || outcome == TALLY_CONFLICT;
	shops->retried += outcome == TALLY_RETRY;
	shops->unknown += outcome == TALLY_UNKNOWN;
	if (outcome != TALLY_DONE) {
		return;
	}
	shops->acknowledged++;
	uint64_t gap = now - shops->last_done_us;
	shops->longest_gap_us = gap > shops->longest_gap_us ? gap : shops->longest_gap_us;
	shops->last_done_us = now;
}

/* Who was left in the dark is asked about again, by another client and so mostly over another node; sometimes
 * also what was answered: the answer must be the same. */
static void ask_again_later(struct worker *w, enum tally_outcome outcome)
{
	struct shops *shops = w->shop->shops;
	bool dark = outcome == TALLY_UNKNOWN;
	if (!work_repeats(&w->work) || (!dark && outcome != TALLY_DONE)) {
		return;
	}
	if (shops->again_count < SHOP_AGAIN_MAX && prng_chance(sim_prng(shops->sim), dark ? 3 : 1, dark ? 4 : 30)) {
		shops->again[shops->again_count++] = (struct again){w->work, w->shop->number};
	}
}

static void answered_cb(struct tally_call *call)
{
	struct worker *w = call->data;
	struct shops *shops = w->shop->shops;
	enum tally_outcome outcome = tally_call_outcome(call);
	char name[24], line[96];
	w->busy = false;
	shops->busy--;
	work_name(&w->work, name, sizeof(name));
	if (outcome == TALLY_REFUSED) {
		judge_fail(shops->judge, "%s was refused: %s", name, tally_call_message(call));
	}
	if (!work_end(&w->work, call, sim_now_us(shops->sim), &shops->judge->history)) {
		judge_fail(shops->judge, "the answer to %s is garbage", name);
	}
	shops->replayed += tally_call_replayed(call);
	if (outcome == TALLY_DONE) {
		work_told(&w->work, &shops->works);
	}
	shops_count(shops, outcome);
	snprintf(line, sizeof(line), "%s %d %d", name, (int)w->work.kind, (int)outcome);
	sim_trace(shops->sim, w->shop->host, "answer", slice_str(line));
	if (w->final && outcome == TALLY_DONE) {
		shops->final_done++;
		w->final = false;
	}
	ask_again_later(w, outcome);
	work_next(w);
}

/* ---- asking ---- */

static void ask(struct worker *w, unsigned timeout_ms)
{
	struct shops *shops = w->shop->shops;
	w->busy = true;
	shops->busy++;
	shops->works.started++;
	w->call.data = w;
	w->work.op.client = w->shop->number * SHOP_WORKERS_MAX + (uint32_t)(w - w->shop->workers);
	w->work.op.invoked_us = sim_now_us(shops->sim);
	w->work.op.returned_us = HISTORY_NEVER;
	work_ask(&w->work, w->shop->tally, &w->call, timeout_ms, answered_cb);
}

/* A request of another client that is to be asked again. */
static bool take_again(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	for (unsigned i = 0; i < shops->again_count; i++) {
		if (shops->again[i].shop != w->shop->number) {
			w->work = shops->again[i].work;
			shops->again[i] = shops->again[--shops->again_count];
			shops->repeated++;
			return true;
		}
	}
	return false;
}

/* The next thing to read back; false when all were handed out. */
static bool draw_final(struct worker *w)
{
	struct shops *shops = w->shop->shops;
	if (!shops->reading_back || shops->final_at == shops->final_count) {
		return false;
	}
	w->final_number = shops->final_at++;
	w->final = true;
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
		if (!prng_chance(sim_prng(shops->sim), 1, 2) || !take_again(w)) {
			work_draw(&w->work, &shops->works, sim_prng(shops->sim));
		}
		ask(w, 200 + (unsigned)prng_below(sim_prng(shops->sim), 6000));
	} else if (w->final || draw_final(w)) {
		work_final(&w->work, &shops->final, w->final_number);
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
	work_lose(&w->work, &shops->judge->history);
	shops->unknown++;
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
	window_init(&shops->window, shops, count * SHOP_WORKERS_MAX, 2 * think_us / workers);
	shops->last_done_us = sim_now_us(shops->sim);
}

void shops_fini(struct shops *shops)
{
	window_fini(&shops->window);
	for (unsigned i = 0; i < shops->count; i++) {
		shop_end(&shops->list[i], SIM_KILL_PROCESS);
		sim_event_cancel(shops->sim, &shops->list[i].start);
	}
}

void shops_close(struct shops *shops) { shops->open = false; }

void shops_read_back(struct shops *shops)
{
	assert(!shops->open && shops->busy == 0);
	shops->reading_back = true;
	shops->last_done_us = sim_now_us(shops->sim); /* nobody was asked anything since they closed */
	shops->final = shops->works; /* what is asked from now on are reads of no new keys */
	shops->final_count = work_final_count(&shops->final);
	for (unsigned i = 0; i < shops->count; i++) {
		for (unsigned j = 0; shops->list[i].tally != NULL && j < shops->list[i].worker_count; j++) {
			work_next(&shops->list[i].workers[j]);
		}
	}
}

bool shops_are_read(const struct shops *shops) { return shops->final_done == shops->final_count; }
