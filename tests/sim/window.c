#include "tests/sim/window.h"

#include "tests/sim/shop.h"

#include <stdio.h>
#include <string.h>

#define LEAVES_IN 20 /* reads after which it looks anew who leads, about */
/* Short: of a node that was silent for a while the last question counts, not the first. */
#define TIMEOUT_MIN_MS 50
#define TIMEOUT_MS 500

static void reader_next(struct reader *reader)
{
	const struct window *window = reader->window;
	struct sim *sim = window->shops->sim;
	sim_event_in(sim, &reader->next, 1 + prng_below(sim_prng(sim), window->think_us));
}

static void answered_cb(struct tally_call *call)
{
	struct reader *reader = call->data;
	struct shops *shops = reader->window->shops;
	char name[24], line[96];
	shops->busy--;
	work_name(&reader->work, name, sizeof(name));
	if (tally_call_outcome(call) == TALLY_REFUSED) {
		judge_fail(shops->judge, "%s was refused: %s", name, tally_call_message(call));
	}
	if (!work_end(&reader->work, call, sim_now_us(shops->sim), &shops->judge->history)) {
		judge_fail(shops->judge, "the answer to %s is garbage", name);
	}
	shops_count(shops, tally_call_outcome(call));
	snprintf(line, sizeof(line), "%s at n%u %d", name, reader->work.op.node,
		 (int)tally_call_outcome(call));
	sim_trace(shops->sim, reader->window->host, "seen", slice_str(line));
	reader_next(reader);
}

static void look_who_leads(struct window *window)
{
	int leader = fleet_leader(window->shops->fleet);
	if (leader >= 0 && prng_chance(sim_prng(window->shops->sim), 1, LEAVES_IN)) {
		window->at = (unsigned)leader;
	}
}

static void next_fire(struct sim_event *event)
{
	struct reader *reader = list_entry(event, struct reader, next);
	struct window *window = reader->window;
	struct shops *shops = window->shops;
	struct prng *prng = sim_prng(shops->sim);
	if (!shops->open) {
		return;
	}
	look_who_leads(window);
	work_draw_read(&reader->work, &shops->works, prng);
	shops->busy++;
	shops->works.started++;
	reader->call.data = reader;
	reader->work.op.client = reader->client;
	reader->work.op.node = window->at + 1;
	reader->work.op.invoked_us = sim_now_us(shops->sim);
	reader->work.op.returned_us = HISTORY_NEVER;
	work_ask(&reader->work, window->doors[window->at], &reader->call,
		 TIMEOUT_MIN_MS + (unsigned)prng_below(prng, TIMEOUT_MS), answered_cb);
}

static void start_fire(struct sim_event *event)
{
	struct window *window = list_entry(event, struct window, start);
	const struct fleet *fleet = window->shops->fleet;
	window->env = sim_host_start(window->host);
	for (unsigned i = 0; i < fleet->count; i++) {
		struct tally_options options = {.servers = fleet->members[i].config.listen, .direct = true};
		struct err err = {0};
		window->doors[i] = client_open(window->env, &options, &err);
		if (window->doors[i] == NULL) {
			fatal("the simulator's window does not open: %s", err.text);
		}
	}
	for (unsigned i = 0; i < WINDOW_READERS; i++) {
		reader_next(&window->readers[i]);
	}
}

void window_init(struct window *window, struct shops *shops, uint32_t first_client, unsigned think_us)
{
	memset(window, 0, sizeof(*window));
	window->shops = shops;
	window->host = sim_host_new(shops->sim, "w");
	window->think_us = think_us;
	for (unsigned i = 0; i < WINDOW_READERS; i++) {
		window->readers[i].window = window;
		window->readers[i].client = first_client + i;
		sim_event_init(&window->readers[i].next, next_fire);
	}
	sim_event_init(&window->start, start_fire);
	sim_event_in(shops->sim, &window->start, 1000);
}

void window_stand(struct window *window, unsigned member)
{
	window->at = member;
}

void window_fini(struct window *window)
{
	struct sim *sim = window->shops->sim;
	sim_event_cancel(sim, &window->start);
	if (window->env == NULL) {
		return;
	}
	sim_host_kill(window->host, SIM_KILL_PROCESS);
	for (unsigned i = 0; i < WINDOW_READERS; i++) {
		sim_event_cancel(sim, &window->readers[i].next);
	}
	for (unsigned i = 0; i < window->shops->fleet->count; i++) {
		client_free(window->doors[i]);
	}
	sim_env_free(window->env);
}
