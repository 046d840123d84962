/* Registers and lists over Redis commands. A key is retired after a while, so that
 * the search for a linear order stays small. */
#include "tests/nemesis/load.h"

#include "tests/check/linear.h"
#include "tests/check/once.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define KEYS 5
#define KEY_LIFE 1000 /* operations on all keys before they are retired */
#define STEPS_MAX 50000000
#define APPEND_PARTS 3

static int prepare(struct load *load, struct tally_sync *sync, struct err *err)
{
	const char *words[] = {"PING"};
	const struct tally_call *call = tally_sync_command(sync, NULL, words, NULL, 1, TALLY_READ, 20000);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "no server answers: %s", tally_call_message(call));
	}
	return 0;
}

static int64_t pick_key(struct load *load)
{
	return (int64_t)(load->made / KEY_LIFE * KEYS + prng_below(&load->prng, KEYS));
}

/* ---- registers ---- */

static const char cas_script[] =
	"if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end "
	"return 0";

static void register_draw(struct load_client *client)
{
	struct load *load = client->load;
	struct history_op *op = &client->op;
	uint64_t dice = prng_below(&load->prng, 10);
	op->function = dice < 4 ? HISTORY_READ : dice < 8 ? HISTORY_WRITE : HISTORY_CAS;
	op->key = pick_key(load);
	op->value = (int64_t)++load->made;
	if (op->function == HISTORY_CAS) { /* something recent, so that it sometimes matches */
		op->expected = op->value - 1 - (int64_t)prng_below(&load->prng, 12);
	}
}

static void register_ask(struct load_client *client)
{
	const struct load *load = client->load;
	const struct history_op *op = &client->op;
	char key[64], value[24], expected[24];
	snprintf(key, sizeof(key), "reg:%" PRIu64 ":%" PRId64, load->seed, op->key);
	snprintf(value, sizeof(value), "%" PRId64, op->value);
	snprintf(expected, sizeof(expected), "%" PRId64, op->expected);
	const char *get[] = {"GET", key}, *set[] = {"SET", key, value},
		   *cas[] = {"EVAL", cas_script, "1", key, expected, value};
	if (op->function == HISTORY_READ) {
		tally_command_start(client->tally, &client->call, NULL, get, NULL, 2, TALLY_READ,
				    load->timeout_ms, load_done);
		return;
	}
	bool write = op->function == HISTORY_WRITE;
	tally_command_start(client->tally, &client->call, client->request_id, write ? set : cas, NULL,
			    write ? 3 : 6, 0, load->timeout_ms, load_done);
}

static bool register_answer(struct load_client *client, const struct tally_value *value)
{
	struct history_op *op = &client->op;
	if (op->function == HISTORY_READ) {
		const char *text = tally_value_text(value, NULL);
		op->found = text != NULL;
		op->value = text != NULL ? strtoll(text, NULL, 10) : 0;
		return text != NULL || tally_value_type(value) == TALLY_NIL;
	}
	if (op->function == HISTORY_CAS) {
		op->found = tally_value_int(value, -1) == 1;
		return tally_value_int(value, -1) >= 0;
	}
	return tally_value_text(value, NULL) != NULL;
}

static int register_judge(struct load *load, struct tally_sync *sync, struct err *err)
{
	(void)sync;
	size_t keys = 0, undecided = 0;
	struct history whole;
	history_init(&whole);
	int rc = once_merge(&load->history, &whole, err);
	if (rc == 0 && linear_check(&whole, STEPS_MAX, &keys, &undecided, err) == LINEAR_NO) {
		rc = ERR_INVALID;
	}
	printf("judge linear requests=%zu keys=%zu undecided=%zu\n", whole.count, keys, undecided);
	history_fini(&whole);
	if (rc != 0) {
		return rc;
	}
	return undecided * 100 > keys
		       ? err_set(err, ERR_BUDGET, "%zu of %zu keys without a verdict", undecided, keys)
		       : 0;
}

const struct workload workload_register = {"register",   prepare,         register_draw,
					   register_ask, register_answer, register_judge};

/* ---- lists ---- */

/* Each argument is "a value" or "r" for its key; reads give the list as text. */
static const char txn_script[] = "local out = {} "
				 "for i, key in ipairs(KEYS) do "
				 "  local list = redis.call('GET', key) or '' "
				 "  if ARGV[i] == 'r' then out[i] = list else redis.call('SET', key, list .. "
				 "ARGV[i] .. ' ') out[i] = '' end "
				 "end return out";

static void append_draw(struct load_client *client)
{
	struct load *load = client->load;
	size_t count = 1 + prng_below(&load->prng, APPEND_PARTS);
	client->op.function = HISTORY_TXN;
	client->op.parts = client->parts;
	client->op.part_count = count;
	for (size_t i = 0; i < count; i++) {
		client->parts[i] = (struct history_part){.append = prng_chance(&load->prng, 1, 2),
							 .key = pick_key(load),
							 .value = (int64_t)++load->made};
	}
}

static void append_ask(struct load_client *client)
{
	const struct load *load = client->load;
	size_t parts = client->op.part_count;
	char count[24], keys[APPEND_PARTS][64], what[APPEND_PARTS][24];
	const char *words[3 + 2 * APPEND_PARTS] = {"EVAL", txn_script, count};
	assert(parts <= APPEND_PARTS);
	snprintf(count, sizeof(count), "%zu", parts);
	for (size_t i = 0; i < parts; i++) {
		const struct history_part *part = &client->parts[i];
		snprintf(keys[i], sizeof(keys[i]), "list:%" PRIu64 ":%" PRId64, load->seed, part->key);
		snprintf(what[i], sizeof(what[i]), part->append ? "%" PRId64 : "r", part->value);
		words[3 + i] = keys[i];
		words[3 + parts + i] = what[i];
	}
	tally_command_start(client->tally, &client->call, client->request_id, words, NULL, 3 + 2 * parts, 0,
			    load->timeout_ms, load_done);
}

static bool read_list(struct load *load, const char *text, struct history_part *part)
{
	size_t cap = strlen(text) / 2 + 1;
	int64_t *list = arena_alloc(&load->history.arena, cap * sizeof(*list));
	part->list = list;
	part->count = 0;
	for (char *end; *text != '\0'; text = end + 1) {
		list[part->count++] = strtoll(text, &end, 10);
		if (*end != ' ') {
			return false;
		}
	}
	return true;
}

static bool append_answer(struct load_client *client, const struct tally_value *value)
{
	for (size_t i = 0; i < client->op.part_count; i++) {
		const char *text = tally_value_text(tally_value_at(value, i), NULL);
		if (text == NULL ||
		    (!client->parts[i].append && !read_list(client->load, text, &client->parts[i]))) {
			return false;
		}
	}
	return true;
}

static int append_judge(struct load *load, struct tally_sync *sync, struct err *err)
{
	(void)sync;
	return load_verdict(load, err);
}

const struct workload workload_append = {"append",   prepare,       append_draw,
					 append_ask, append_answer, append_judge};
