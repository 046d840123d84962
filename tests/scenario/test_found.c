/* What the simulator found, each told as a story of its own. */
#include "tests/scenario/plain.h"

#include "tests/lib/tap.h"
#include "tests/sim/run.h"

#include <stdio.h>
#include <string.h>

/* build/sim, seed 1002: followers commit what the leader's stalled disk does not hold yet. They must
 * not trim it either, or the leader comes back needing entries that nobody kept. */
static void test_stalled_leader(void)
{
	struct stage s;
	stage_open(&s, 11, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	struct sim_disk_faults *disk = sim_disk_faults(s.fleet.members[leader].host);
	disk->sync_us = 20000000;
	unsigned done = 0;
	/* Long values, so that segments fill and are trimmed. */
	char value[1000];
	for (unsigned i = 0; i < 400; i++) {
		snprintf(value, sizeof(value), "%0900u", i);
		done += stage_set(&s, "k", value) == TALLY_DONE;
		stage_run(&s, i % 20 == 0 ? 200 : 1); /* heartbeats tell what is kept */
	}
	is_int(done, 400, "a leader whose disk stalls costs no write: the others' disks commit");
	ok(fleet_leader(&s.fleet) >= 0 && fleet_leader(&s.fleet) != (int)leader, "it gives its place away");
	fleet_kill(&s.fleet, leader, SIM_KILL_PROCESS);
	disk->sync_us = 0;
	fleet_start_in(&s.fleet, leader, 100000);
	is_str(stage_get(&s, "k"), value, "it is killed; nothing acknowledged is lost");
	stage_run(&s, 2000);
	ok(s.fleet.members[leader].state == MEMBER_UP && stage_converges(&s), "it returns and catches up from the others' logs");
	stage_close(&s);
}

static void transferred(void *owner, int status) { *(int *)owner = status; }

/* build/sim, seed 20: a second transfer while one is under way ended the process. */
static void test_two_transfers(void)
{
	struct stage s;
	stage_open(&s, 12, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	struct shard *shard = node_shard(s.fleet.members[leader].node);
	int first = 1;
	int second = 1;
	shard_transfer(shard, 0, 1000, transferred, &first);
	shard_transfer(shard, 0, 1000, transferred, &second);
	ok(first == 1 && second == 1, "neither is answered from inside");
	stage_run(&s, 2000);
	is_int(first, 0, "the first transfer moves leadership");
	is_int(second, ERR_BUSY, "the second is told that one is under way");
	ok(fleet_leader(&s.fleet) >= 0 && fleet_leader(&s.fleet) != (int)leader, "another leads");
	is_int(stage_set(&s, "k", "v"), TALLY_DONE, "and serves");
	stage_close(&s);
}

/* ---- a buyer's request comes while the judge reads ---- */

#define LATE_KEY 90000
#define LATE_NAME "o-90000"
#define LATE_UNTIL_US 5000000 /* the network keeps it no longer, and its deadline has not passed */

/* Keeps what a client sent until the rows of the sale were read, and no longer than LATE_UNTIL_US. */
struct late {
	struct sim_event look;
	struct stage *stage;
	struct sale *sale;
	struct sim_link *link;
	uint64_t until_us;
	enum sale_state came; /* when it was let through */
};

static void look_fire(struct sim_event *event)
{
	struct late *late = list_entry(event, struct late, look);
	struct sim *sim = late->stage->sim;
	if (late->sale->state <= SALE_ROWS && sim_now_us(sim) < late->until_us) {
		sim_event_in(sim, event, 100);
		return;
	}
	late->came = late->sale->state;
	late->link->cut = false;
	sim_links_healed(sim);
}

static bool some_are_sold(void *owner)
{
	return ((struct sale *)owner)->sold >= 5;
}
static bool judge_failed(void *owner)
{
	return ((struct judge *)owner)->failed;
}

/* A buyer who stays in the dark: he told the leader his order, and hears no more of it. */
static void buy_late(struct late *late, struct plain *buyer, unsigned leader)
{
	struct stage *s = late->stage;
	plain_open(buyer, s, leader);
	is_str(plain_ask(buyer, "PING"), "PONG", "a buyer is connected to the leader");
	late->link = sim_link(s->sim, s->host, s->fleet.members[leader].host);
	late->link->cut = true;
	late->until_us = sim_now_us(s->sim) + LATE_UNTIL_US;
	sim_event_init(&late->look, look_fire);
	sim_event_in(s->sim, &late->look, 100);
	history_add(&s->judge.history, &(struct history_op){.client = 2000,
							    .invoked_us = sim_now_us(s->sim),
							    .returned_us = HISTORY_NEVER,
							    .outcome = HISTORY_INFO,
							    .function = HISTORY_BUY,
							    .key = LATE_KEY,
							    .value = 1,
							    .expected = 7,
							    .id = LATE_NAME,
							    .attempts = 1,
							    .code = ""});
	plain_send(buyer, "DEADLINE 10000 CALL order.flash_buy order_id " LATE_NAME
			  " campaign 11.11 sku phone-x customer b7 qty 1");
}

static bool row_was_read(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		if (history->ops[i].function == HISTORY_ORDER && history->ops[i].key == LATE_KEY) {
			return true;
		}
	}
	return false;
}

/* build/sim, seed 1795830445: the order rows were read, then a request whose buyer had given up was sold,
 * then the stock was read: "P3: live orders = held + committed + shipped: 123, must be 124". None of the
 * nodes: it was the judge, who did not wait until nobody's request could come any more. */
static void test_late_buyer(void)
{
	struct stage s;
	struct wares wares;
	struct err err = {0};
	struct shops shops;
	struct sale sale;
	struct plain buyer;
	ok(wares_read(&wares, SIM_COMMERCE, &err) == 0, "the commerce bundle is read %s", err.text);
	stage_open(&s, 13, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	shops_init(&shops, &s.fleet, &s.judge, 1, 1, 1000000);
	sale_init(&sale, &s.fleet, &s.judge, &wares);
	sim_run_until(s.sim, some_are_sold, &sale, 60000000);
	shops_close(&shops);
	sale_close(&sale);
	sim_run(s.sim, 10000000);
	ok(sale.sold >= 5 && sale.sold < 50 && sale.busy == 0 && shops.busy == 0 &&
		   fleet_leader(&s.fleet) == (int)leader,
	   "a sale closes with units left, and all who asked have their answers");
	struct late late = {.stage = &s, .sale = &sale};
	buy_late(&late, &buyer, leader);
	run_read_back(&s.judge, &shops, &sale, judge_failed, &s.judge);
	is_int(sale.state, SALE_READ, "the judge reads everything back");
	const char *told = plain_read(&buyer, 1000);
	ok(told != NULL && strstr(told, "number") != NULL, "the order that came late was sold: %s",
	   told == NULL ? "" : told);
	is_int(late.came, SALE_CLOSED, "before the first row was read");
	ok(row_was_read(&s.judge.history), "and its row is among those that were read");
	judge_verdict(&s.judge);
	plain_close(&buyer);
	sale_fini(&sale);
	shops_fini(&shops);
	stage_close(&s);
	wares_fini(&wares);
}

/* ---- a refusal, and a copy of the request that comes later ---- */

#define TAKE_SCRIPT                                                                                          \
	"return(redis.call('GET',KEYS[1])=='0')and(redis.error_reply('SOLD_OUT'))or(redis.call('DECR',"      \
	"KEYS[1]))"

struct asked {
	bool ended;
	enum tally_outcome outcome;
};

static void asked_cb(struct tally_call *call)
{
	struct asked *asked = call->data;
	*asked = (struct asked){true, tally_call_outcome(call)};
}
static bool has_ended(void *owner)
{
	return ((struct asked *)owner)->ended;
}

/* A program asks under the id of an earlier call, whose outcome it never learnt. */
static enum tally_outcome ask_again(struct stage *s, bool settle)
{
	const char *const words[] = {"SETTLE", "EVAL", TAKE_SCRIPT, "1", "stock"};
	struct asked asked = {0};
	struct tally_call call = {.data = &asked};
	tally_command_start(s->tally, &call, "o-1", settle ? words : words + 1, NULL, settle ? 5 : 4, 0,
			    30000, asked_cb);
	ok(sim_run_until(s->sim, has_ended, &asked, 60000000) && tally_call_attempts(&call) == 1,
	   "asked again: answered at once");
	return asked.outcome;
}

/* Beside seed 1796000823, where a request was refused twice, for two reasons: what a refusal is worth to who
 * asks again while an earlier copy is in the network. */
static void refuse_before_the_copy(uint64_t seed, bool settle)
{
	struct stage s;
	struct plain gone;
	stage_open(&s, seed, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	stage_set(&s, "stock", "0");
	struct stage away = s; /* the same world, from a host of its own */
	away.host = sim_host_new(s.sim, "away");
	away.env = sim_host_start(away.host);
	plain_open(&gone, &away, leader);
	plain_ask(&gone, "PING");
	struct sim_link *link = sim_link(s.sim, away.host, s.fleet.members[leader].host);
	link->cut = true;
	plain_send(&gone, "ONCE o-1 DEADLINE 60000 EVAL " TAKE_SCRIPT " 1 stock");
	is_int(ask_again(&s, settle), TALLY_REFUSED,
	       "asked again: refused, while the first copy is still under way");
	stage_set(&s, "stock", "5");
	link->cut = false;
	sim_links_healed(s.sim);
	is_str(plain_read(&gone, 30000), settle ? "-ERR SOLD_OUT" : "4",
	       "asked again: there is stock when the copy comes; %s",
	       settle ? "settled, it gets the refusal that is kept" : "not settled, it is executed");
	is_str(stage_get(&s, "stock"), settle ? "5" : "4", "asked again: %s is sold",
	       settle ? "nothing" : "a unit");
	plain_close(&gone);
	sim_host_kill(away.host, SIM_KILL_PROCESS);
	sim_env_free(away.env);
	stage_close(&s);
}

int main(void)
{
	test_stalled_leader();
	test_two_transfers();
	test_late_buyer();
	refuse_before_the_copy(14, true);
	refuse_before_the_copy(15, false);
	return tap_done();
}
