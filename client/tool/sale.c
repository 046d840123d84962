#include "client/tool/sale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/tool/print.h"

/* How long a buyer waits at most: longer than any failover. */
#define BUYER_MS 30000
#define TICK_MS 1
#define REVIVE_MS 1500
/* Half of all arrivals come while exp(-t / this) falls to a half. */
#define ARRIVAL_S 2.0
/* The last of them do not keep the sale open for ever: the curve ends here. */
#define ARRIVAL_END_S 10.0
#define PROGRESS_US 100000
#define DOUBLE_CLICKS_PERCENT 3
#define HURRY_PERCENT 2
#define SLAB_SLOTS 1024

/* A request under way. Slots come and go; buyers stay. */
struct sale_slot {
	struct tally_call call;
	struct sale *sale;
	struct sale_slot *next;
	uint64_t buyer;
	bool second;
	bool hurried;
};
struct sale_slab {
	struct sale_slab *next;
	struct sale_slot slots[SLAB_SLOTS];
};

static struct sale_slot *sale_slot_take(struct sale *sale)
{
	if (sale->free_slots == NULL) {
		struct sale_slab *slab = calloc(1, sizeof(*slab));
		if (slab == NULL) {
			fatal("out of memory for %llu buyers", (unsigned long long)sale->buyers);
		}
		slab->next = sale->slabs;
		sale->slabs = slab;
		for (size_t i = 0; i < SLAB_SLOTS; i++) {
			slab->slots[i].next = sale->free_slots;
			sale->free_slots = &slab->slots[i];
		}
	}
	struct sale_slot *slot = sale->free_slots;
	sale->free_slots = slot->next;
	return slot;
}

static void sale_slot_give(struct sale *sale, struct sale_slot *slot)
{
	slot->next = sale->free_slots;
	sale->free_slots = slot;
}

/* ---- the campaign ---- */

static uint64_t wall_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define HOUR_MS 3600000

int sale_allot(struct bench *bench, const char *campaign, uint64_t units, uint64_t per_customer)
{
	const struct tally_arg args[] = {
		tally_str("allot_id", campaign),
		tally_str("campaign", campaign),
		tally_str("sku", "phone-x"),
		tally_int("qty", (int64_t)units),
		tally_int("from_ms", (int64_t)(wall_now_ms() - HOUR_MS)),
		tally_int("until_ms", (int64_t)(wall_now_ms() + 24 * HOUR_MS)),
		tally_int("per_customer", (int64_t)per_customer),
		tally_int("price", 199900),
		tally_int("pay_ttl_ms", HOUR_MS),
	};
	const struct tally_call *call;
	return bench_call(bench, "campaign.allot", args, sizeof(args) / sizeof(args[0]), &call);
}

/* ---- the kill ---- */

/* What happens once is a line of its own; progress goes on below it. */
static void sale_tell(struct sale *sale, const char *what)
{
	bench_progress_end(sale->bench);
	fprintf(stderr, "sale: %4.1f s  %s n%zu\n",
		(double)(env_now_us(sale->bench->env) - sale->started_us) / 1e6, what, sale->killed_node + 1);
}

static void sale_revival_cb(struct env_timer *timer)
{
	struct sale *sale = list_entry(timer, struct sale, revival);
	sale_tell(sale, "starting it again:");
	local_revive(&sale->bench->local, sale->killed_node);
	sale->back_us = env_now_us(sale->bench->env);
}

static void sale_kill(struct sale *sale)
{
	struct bench *bench = sale->bench;
	struct tally_stats stats;
	tally_stats(bench->tally, &stats);
	size_t node = local_find(&bench->local, stats.leader);
	if (node == bench->local.count) {
		return; /* served through a follower right now: the next sale decides */
	}
	local_kill(&bench->local, node);
	sale->killed_us = env_now_us(bench->env);
	sale->killed_node = node;
	sale->killed_at_sale = sale->counts[SALE_SOLD];
	sale->under_way_at_kill = sale->under_way;
	sale->last_answer_us = sale->killed_us;
	sale_tell(sale, "KILL -9 of the leader:");
	env_timer_start(&sale->revival, REVIVE_MS);
}

/* ---- answers ---- */

static enum sale_answer sale_answer_of(enum tally_outcome outcome)
{
	switch (outcome) {
	case TALLY_DONE:
		return SALE_SOLD;
	case TALLY_REFUSED:
		return SALE_REFUSED;
	case TALLY_CONFLICT:
		return SALE_CONFLICT;
	case TALLY_RETRY:
		return SALE_RETRY;
	case TALLY_UNKNOWN:
		return SALE_UNKNOWN;
	}
	return SALE_NONE;
}

static void sale_sold(struct sale *sale, struct sale_buyer *buyer, uint64_t now_us,
		      const struct tally_call *call)
{
	int64_t number = tally_value_int(tally_value_get(tally_call_value(call), "number"), -1);
	if (buyer->answer == SALE_SOLD || buyer->second == SALE_SOLD) {
		/* The other click was told before: it must be the same order. */
		sale->verdict.doubled += number != buyer->number;
		return;
	}
	buyer->number = number;
	sale->last_sold_us = now_us;
	sale->counts[SALE_SOLD]++;
	uint64_t step = (now_us - sale->started_us) / SALE_STEP_US;
	sale->curve[step < SALE_STEPS ? step : SALE_STEPS - 1]++;
	histogram_add(&sale->sold, now_us - buyer->due_us);
	if (sale->counts[SALE_SOLD] == sale->units) {
		sale->sold_out_us = now_us;
	}
	if (sale->kill_leader && sale->killed_us == 0 && sale->counts[SALE_SOLD] >= sale->kill_at) {
		sale_kill(sale);
	}
}

static void sale_buy(struct sale *sale, uint64_t at, bool second, bool hurried);

static void sale_cb(struct tally_call *call)
{
	struct sale_slot *slot = call->data;
	struct sale *sale = slot->sale;
	struct sale_buyer *buyer = &sale->list[slot->buyer];
	uint64_t now_us = env_now_us(sale->bench->env);
	enum sale_answer answer = sale_answer_of(tally_call_outcome(call));
	if (slot->hurried && (answer == SALE_RETRY || answer == SALE_UNKNOWN)) {
		/* Whether he has bought he does not know: the same id tells. */
		sale->gave_up++;
		sale->under_way--;
		sale_buy(sale, slot->buyer, false, false);
		sale_slot_give(sale, slot);
		return;
	}
	if (answer == SALE_SOLD) {
		sale_sold(sale, buyer, now_us, call);
	} else if (!slot->second) {
		sale->counts[answer]++;
		sale->sold_out_answers += strcmp(tally_call_code(call), "SOLD_OUT") == 0;
		if (answer == SALE_REFUSED) {
			histogram_add(&sale->refused, now_us - buyer->due_us);
		}
	}
	if (slot->second) {
		buyer->second = (uint8_t)answer;
	} else {
		buyer->answer = (uint8_t)answer;
	}
	if (tally_call_was_unknown(call)) {
		sale->were_unknown++;
		sale->resolved += answer == SALE_SOLD || answer == SALE_REFUSED || answer == SALE_CONFLICT;
	}
	sale->replayed += tally_call_replayed(call);
	if (sale->killed_us != 0 && now_us > sale->last_answer_us) {
		uint64_t gap_us = now_us - sale->last_answer_us;
		sale->gap_us = gap_us > sale->gap_us ? gap_us : sale->gap_us;
		sale->last_answer_us = now_us;
	}
	sale->ended_us = now_us;
	sale->under_way--;
	sale->answered += !slot->second;
	sale_slot_give(sale, slot);
}

/* ---- arrivals ---- */

static void sale_buy(struct sale *sale, uint64_t at, bool second, bool hurried)
{
	char order_id[64];
	char customer[32];
	struct sale_slot *slot = sale_slot_take(sale);
	slot->sale = sale;
	slot->buyer = at;
	slot->second = second;
	slot->hurried = hurried;
	slot->call.data = slot;
	snprintf(order_id, sizeof(order_id), "%s-%08llu", sale->prefix, (unsigned long long)at);
	snprintf(customer, sizeof(customer), "c%llu", (unsigned long long)at);
	const struct tally_arg args[] = {tally_str("order_id", order_id),
					 tally_str("campaign", sale->campaign), tally_str("sku", "phone-x"),
					 tally_str("customer", customer), tally_int("qty", 1)};
	sale->under_way++;
	tally_call_start_once(sale->bench->tally, &slot->call, order_id, "order.flash_buy", args, 5,
			      hurried ? SALE_HURRY_MS : BUYER_MS, sale_cb);
}

static void sale_arrivals_cb(struct env_timer *timer)
{
	struct sale *sale = list_entry(timer, struct sale, arrivals);
	uint64_t now_us = env_now_us(sale->bench->env);
	while (sale->next < sale->buyers && sale->list[sale->next].due_us <= now_us) {
		struct sale_buyer *buyer = &sale->list[sale->next];
		sale_buy(sale, sale->next, false, buyer->hurries);
		if (buyer->clicks_twice) {
			sale_buy(sale, sale->next, true, false);
		}
		sale->next++;
	}
	if (sale->next < sale->buyers) {
		env_timer_start(timer, TICK_MS);
	}
	if (now_us >= sale->shown_us + PROGRESS_US) {
		sale->shown_us = now_us;
		char sold[32];
		char refused[32];
		char under_way[32];
		bench_progress(sale->bench, "sale: %4.1f s  sold %s  refused %s  under way %s",
			       (double)(now_us - sale->started_us) / 1e6,
			       print_count(sale->counts[SALE_SOLD], sold, sizeof(sold)),
			       print_count(sale->counts[SALE_REFUSED], refused, sizeof(refused)),
			       print_count(sale->under_way, under_way, sizeof(under_way)));
	}
}

static bool sale_is_over(void *owner)
{
	struct sale *sale = owner;
	bool returned = sale->killed_us == 0 || sale->back_us != 0;
	return sale->next == sale->buyers && sale->under_way == 0 && returned;
}

/* Buyer i of B comes when B (1 - exp(-t / 2 s)) reaches i. */
static void sale_draw(struct sale *sale)
{
	for (uint64_t i = 0; i < sale->buyers; i++) {
		double share = ((double)i + 0.5) / (double)sale->buyers * -expm1(-ARRIVAL_END_S / ARRIVAL_S);
		sale->list[i].due_us = sale->started_us + (uint64_t)(-ARRIVAL_S * log1p(-share) * 1e6);
		sale->list[i].clicks_twice = prng_chance(&sale->bench->prng, DOUBLE_CLICKS_PERCENT, 100);
		sale->list[i].hurries = prng_chance(&sale->bench->prng, HURRY_PERCENT, 100);
	}
}

int sale_run(struct sale *sale)
{
	struct bench *bench = sale->bench;
	snprintf(sale->prefix, sizeof(sale->prefix), "o%012llx", (unsigned long long)wall_now_ms());
	snprintf(sale->campaign, sizeof(sale->campaign), "sale-%s", sale->prefix + 1);
	int code = sale_allot(bench, sale->campaign, sale->units, 1);
	if (code != 0) {
		return code;
	}
	sale->list = calloc(sale->buyers, sizeof(*sale->list));
	if (sale->list == NULL) {
		return tool_fail(bench->tool, TOOL_FAILED, "out of memory for %llu buyers",
				 (unsigned long long)sale->buyers);
	}
	histogram_init(&sale->sold);
	histogram_init(&sale->refused);
	sale->killed_node = bench->local.count;
	if (sale->kill_leader) {
		/* Between 30 % and 70 % of the stock. */
		sale->kill_at = sale->units * 3 / 10 + prng_below(&bench->prng, sale->units * 4 / 10 + 1);
	}
	env_timer_init(bench->env, &sale->arrivals, sale_arrivals_cb);
	env_timer_init(bench->env, &sale->revival, sale_revival_cb);
	sale->started_us = env_now_us(bench->env);
	sale_draw(sale);
	env_timer_start(&sale->arrivals, 0);
	bench_wait(bench, sale_is_over, sale);
	env_timer_stop(&sale->arrivals);
	env_timer_stop(&sale->revival);
	bench_progress_end(bench);
	struct tally_stats stats;
	tally_stats(bench->tally, &stats);
	sale->repeats = stats.repeats;
	return bench->interrupted ? tool_fail(bench->tool, TOOL_FAILED, "interrupted") : 0;
}

void sale_free(struct sale *sale)
{
	while (sale->slabs != NULL) {
		struct sale_slab *slab = sale->slabs;
		sale->slabs = slab->next;
		free(slab);
	}
	free(sale->list);
}
