/* Registers and lists over Redis commands. A key is retired after a while, so that
 * the search for a linear order stays small. */
#include "tests/nemesis/load.h"

#include "tests/check/append.h"
#include "tests/check/linear.h"

#include <inttypes.h>
#include <stdlib.h>

#define KEYS 5
#define KEY_LIFE 1000 /* operations on all keys before they are retired */
#define STEPS_MAX 50000000

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

static const char cas_script[] = "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end "
				 "return 0";

static void register_start(struct load_client *client)
{
	struct load *load = client->load;
	struct history_op *op = &client->op;
	uint64_t dice = prng_below(&load->prng, 10);
	char id[TALLY_ID_SIZE];
	tally_id_make(client->tally, id);
	op->key = pick_key(load);
	op->value = (int64_t)++load->made;
	snprintf(client->text[0], 64, "reg:%" PRIu64 ":%" PRId64, load->seed, op->key);
	snprintf(client->text[1], 64, "%" PRId64, op->value);
	if (dice < 4) {
		const char *words[] = {"GET", client->text[0]};
		op->function = HISTORY_READ;
		tally_command_start(client->tally, &client->call, NULL, words, NULL, 2, TALLY_READ, load->timeout_ms,
		                    load_done);
	} else if (dice < 8) {
		const char *words[] = {"SET", client->text[0], client->text[1]};
		op->function = HISTORY_WRITE;
		tally_command_start(client->tally, &client->call, id, words, NULL, 3, 0, load->timeout_ms, load_done);
	} else {
		/* Something recent is expected, so that it sometimes matches. */
		op->function = HISTORY_CAS;
		op->expected = op->value - 1 - (int64_t)prng_below(&load->prng, 12);
		snprintf(client->text[2], 64, "%" PRId64, op->expected);
		const char *words[] = {"EVAL", cas_script, "1", client->text[0], client->text[2], client->text[1]};
		tally_command_start(client->tally, &client->call, id, words, NULL, 6, 0, load->timeout_ms, load_done);
	}
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
	size_t keys, undecided;
	enum linear_verdict verdict = linear_check(&load->history, STEPS_MAX, &keys, &undecided, err);
	printf("judge linear keys=%zu undecided=%zu\n", keys, undecided);
	if (verdict == LINEAR_NO) {
		return ERR_INVALID;
	}
	return undecided * 100 > keys ? err_set(err, ERR_BUDGET, "%zu of %zu keys without a verdict", undecided, keys) : 0;
}

const struct workload workload_register = {"register", prepare, register_start, register_answer, register_judge};

/* ---- lists ---- */

/* Each argument is "a value" or "r" for its key; reads give the list as text. */
static const char txn_script[] =
	"local out = {} "
	"for i, key in ipairs(KEYS) do "
	"  local list = redis.call('GET', key) or '' "
	"  if ARGV[i] == 'r' then out[i] = list else redis.call('SET', key, list .. ARGV[i] .. ' ') out[i] = '' end "
	"end return out";

static void append_start(struct load_client *client)
{
	struct load *load = client->load;
	const char *words[3 + 8] = {"EVAL", txn_script, client->text[3]};
	static const size_t most = 3;
	size_t count = 1 + prng_below(&load->prng, most);
	char id[TALLY_ID_SIZE], keys[3][64];
	tally_id_make(client->tally, id);
	client->op.function = HISTORY_TXN;
	snprintf(client->text[3], 64, "%zu", count);
	for (size_t i = 0; i < count; i++) {
		struct history_part *part = &client->parts[i];
		*part = (struct history_part){.append = prng_chance(&load->prng, 1, 2), .key = pick_key(load),
		                              .value = (int64_t)++load->made};
		snprintf(keys[i], 64, "list:%" PRIu64 ":%" PRId64, load->seed, part->key);
		snprintf(client->text[i], 64, part->append ? "%" PRId64 : "r", part->value);
		words[3 + i] = keys[i];
		words[3 + count + i] = client->text[i];
	}
	client->op.parts = client->parts;
	client->op.part_count = count;
	tally_command_start(client->tally, &client->call, id, words, NULL, 3 + 2 * count, 0, load->timeout_ms, load_done);
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
		if (text == NULL || (!client->parts[i].append && !read_list(client->load, text, &client->parts[i]))) {
			return false;
		}
	}
	return true;
}

static int append_judge(struct load *load, struct tally_sync *sync, struct err *err)
{
	(void)sync;
	enum append_anomaly anomaly = append_check(&load->history, err);
	printf("judge append anomaly=%s\n", append_anomaly_name(anomaly));
	return anomaly == APPEND_NONE ? 0 : ERR_INVALID;
}

const struct workload workload_append = {"append", prepare, append_start, append_answer, append_judge};
