/* Two workloads that look at all their keys at one moment: a bank, whose total
 * stays (tests/check/sums.h), and the Cycle ring, which stays one ring (tests/check/ring.h). */
#include "tests/nemesis/load.h"

#include <inttypes.h>
#include <stdlib.h>

#define ACCOUNTS 10
#define DEPOSIT 100
#define NODES 100
#define NAME_SIZE 48

static const char move_script[] =
	"if tonumber(redis.call('GET',KEYS[1])) < tonumber(ARGV[1]) then return 0 end "
	"redis.call('DECRBY',KEYS[1],ARGV[1]) redis.call('INCRBY',KEYS[2],ARGV[1]) return 1";
/* ARGV[1] is what names begin with. */
static const char swap_script[] =
	"local p=ARGV[1] local b=redis.call('GET',KEYS[1]) local c=redis.call('GET',p..b) "
	"local d=redis.call('GET',p..c) "
	"redis.call('MSET',KEYS[1],c,p..b,d,p..c,b) return 1";

struct names {
	char text[NODES][NAME_SIZE];
	const char *words[1 + 2 * NODES];
};

static bool is_bank(const struct load *load)
{
	return load->workload == &workload_bank;
}
static size_t key_count(const struct load *load)
{
	return is_bank(load) ? ACCOUNTS : NODES;
}

static void name_of(const struct load *load, int64_t key, char *name)
{
	snprintf(name, NAME_SIZE, "%s:%" PRIu64 ":%" PRId64, is_bank(load) ? "bank" : "ring", load->seed,
		 key);
}

/* MGET of all; the number of words. */
static size_t spell_read(const struct load *load, struct names *names)
{
	names->words[0] = "MGET";
	for (size_t i = 0; i < key_count(load); i++) {
		name_of(load, (int64_t)i, names->text[i]);
		names->words[1 + i] = names->text[i];
	}
	return 1 + key_count(load);
}

static bool hear_all(struct load *load, struct history_op *op, const struct tally_value *value)
{
	size_t count = key_count(load), found = 0;
	int64_t *list = arena_alloc(&load->history.arena, count * sizeof(*list));
	for (size_t i = 0; i < count && i < tally_value_count(value); i++) {
		const char *text = tally_value_text(tally_value_at(value, i), NULL);
		list[i] = text == NULL ? 0 : strtoll(text, NULL, 10);
		found += text != NULL;
	}
	op->found = found > 0;
	op->list = list;
	op->list_count = found;
	return tally_value_count(value) == count && (found == 0 || found == count);
}

static int lay(struct load *load, struct tally_sync *sync, struct err *err)
{
	struct names names;
	char values[NODES][24], id[NAME_SIZE];
	int64_t list[NODES];
	size_t count = key_count(load);
	struct history_op op = {.function = is_bank(load) ? HISTORY_BANK : HISTORY_RING,
				.client = load->client_count,
				.invoked_us = load_now_us(),
				.list = list,
				.list_count = count,
				.id = id,
				.code = ""};
	names.words[0] = "MSET";
	for (size_t i = 0; i < count; i++) {
		list[i] = is_bank(load) ? DEPOSIT : (int64_t)((i + 1) % count);
		name_of(load, (int64_t)i, names.text[i]);
		snprintf(values[i], sizeof(values[i]), "%" PRId64, list[i]);
		names.words[1 + 2 * i] = names.text[i];
		names.words[2 + 2 * i] = values[i];
	}
	name_of(load, -1, id);
	const struct tally_call *call =
		tally_sync_command(sync, id, names.words, NULL, 1 + 2 * count, 0, 20000);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "the first MSET: %s", tally_call_message(call));
	}
	op.returned_us = load_now_us();
	history_add(&load->history, &op);
	return 0;
}

static void draw(struct load_client *client)
{
	struct load *load = client->load;
	struct history_op *op = &client->op;
	size_t keys = key_count(load);
	if (prng_chance(&load->prng, 1, 4)) {
		op->function = is_bank(load) ? HISTORY_BALANCES : HISTORY_LINKS;
		return;
	}
	op->function = is_bank(load) ? HISTORY_MOVE : HISTORY_SWAP;
	op->key = (int64_t)prng_below(&load->prng, keys);
	if (is_bank(load)) {
		op->expected = (op->key + 1 + (int64_t)prng_below(&load->prng, keys - 1)) % (int64_t)keys;
		op->value = 1 + (int64_t)prng_below(&load->prng, DEPOSIT);
	}
}

static void ask_read(struct load_client *client)
{
	struct names names;
	size_t count = spell_read(client->load, &names);
	tally_command_start(client->tally, &client->call, NULL, names.words, NULL, count, TALLY_READ,
			    client->load->timeout_ms, load_done);
}

static void ask(struct load_client *client)
{
	const struct load *load = client->load;
	const struct history_op *op = &client->op;
	char from[NAME_SIZE], to[NAME_SIZE], units[24];
	if (client->request_id[0] == '\0') {
		ask_read(client);
		return;
	}
	name_of(load, op->key, from);
	if (op->function == HISTORY_SWAP) {
		const char *words[] = {"EVAL", swap_script, "1", from, to};
		snprintf(to, sizeof(to), "ring:%" PRIu64 ":", load->seed);
		tally_command_start(client->tally, &client->call, client->request_id, words, NULL, 5, 0,
				    load->timeout_ms, load_done);
		return;
	}
	name_of(load, op->expected, to);
	snprintf(units, sizeof(units), "%" PRId64, op->value);
	const char *words[] = {"EVAL", move_script, "2", from, to, units};
	tally_command_start(client->tally, &client->call, client->request_id, words, NULL, 6, 0,
			    load->timeout_ms, load_done);
}

static bool answer(struct load_client *client, const struct tally_value *value)
{
	struct history_op *op = &client->op;
	if (op->function == HISTORY_BALANCES || op->function == HISTORY_LINKS) {
		return hear_all(client->load, op, value);
	}
	op->found = tally_value_int(value, -1) == 1;
	return tally_value_int(value, -1) >= 0;
}

static int judge(struct load *load, struct tally_sync *sync, struct err *err)
{
	struct names names;
	size_t count = spell_read(load, &names);
	struct history_op op = {.function = is_bank(load) ? HISTORY_BALANCES : HISTORY_LINKS,
				.client = load->client_count,
				.invoked_us = load_now_us(),
				.code = ""};
	const struct tally_call *call =
		tally_sync_command(sync, NULL, names.words, NULL, count, TALLY_READ, 30000);
	if (tally_call_outcome(call) != TALLY_DONE || !hear_all(load, &op, tally_call_value(call))) {
		return err_set(err, ERR_TIMEOUT, "the last MGET: %s", tally_call_message(call));
	}
	op.returned_us = load_now_us();
	history_add(&load->history, &op);
	return load_verdict(load, err);
}

const struct workload workload_bank = {"bank", lay, draw, ask, answer, judge};
const struct workload workload_ring = {"ring", lay, draw, ask, answer, judge};
