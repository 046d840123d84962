#include "tests/sim/work.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTERS 3
#define LISTS 2
#define LIST_VALUES_MAX 1024
#define ACCOUNTS 8
#define DEPOSIT 100
#define NODES 100 /* of the ring */
#define WORDS_MAX (1 + 2 * NODES)
#define WORD_SIZE 24

static const char move_script[] =
	"if tonumber(redis.call('GET',KEYS[1])) < tonumber(ARGV[1]) then return 0 end "
	"redis.call('DECRBY',KEYS[1],ARGV[1]) redis.call('INCRBY',KEYS[2],ARGV[1]) return 1";
static const char swap_script[] =
	"local a=KEYS[1] local b=redis.call('GET',a) local c=redis.call('GET','n'..b) "
	"local d=redis.call('GET','n'..c) "
	"redis.call('MSET',a,c,'n'..b,d,'n'..c,b) return 1";
/* Each argument is "a value," or "r" for its key. */
static const char txn_script[] = "local out={} for i,key in ipairs(KEYS) do "
				 "if ARGV[i]=='r' then out[i]=redis.call('GET',key) or '' "
				 "else out[i]=redis.call('APPEND',key,ARGV[i]) end end return out";
static const char cas_script[] =
	"if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end "
	"return 0";

static bool is_read(enum work_kind kind)
{
	return kind == WORK_GET || kind == WORK_LIST || kind == WORK_COUNT || kind == WORK_BALANCES ||
	       kind == WORK_LINKS || kind == WORK_SIZE;
}

static char letter(enum work_kind kind)
{
	static const char letters[] = "rrrlllccbbbnnnk";
	return letters[kind];
}

void work_name(const struct work *work, char *name, size_t size)
{
	snprintf(name, size, "%c%" PRId64, letter(work->kind), work->op.key);
}

bool work_repeats(const struct work *work)
{
	return !is_read(work->kind);
}

/* ---- what to ask ---- */

static void begin(struct work *work, enum work_kind kind, int64_t key)
{
	static const enum history_function functions[] = {
		HISTORY_WRITE,    HISTORY_READ, HISTORY_CAS,   HISTORY_TXN,   HISTORY_TXN,
		HISTORY_TXN,      HISTORY_ADD,  HISTORY_COUNT, HISTORY_BANK,  HISTORY_MOVE,
		HISTORY_BALANCES, HISTORY_RING, HISTORY_SWAP,  HISTORY_LINKS,
		HISTORY_SIZE,
	};
	*work = (struct work){.kind = kind, .op = {.function = functions[kind], .key = key, .code = ""}};
	if (kind == WORK_LIST) {
		work->part_count = 1;
		work->parts[0] = (struct history_part){.key = key};
	}
}

static void draw_register(struct work *work, struct works *works, enum work_kind kind, struct prng *prng)
{
	int64_t epoch = (int64_t)(works->started / WORK_KEY_OPS);
	begin(work, kind, epoch * REGISTERS + (int64_t)prng_below(prng, REGISTERS));
	if (kind != WORK_GET) {
		work->op.value = (int64_t)++works->unique;
	}
	if (kind == WORK_CAS) { /* something recent, so that it sometimes matches */
		work->op.expected = work->op.value - 1 - (int64_t)prng_below(prng, 12);
	}
}

static void draw_lists(struct work *work, struct works *works, enum work_kind kind, struct prng *prng)
{
	int64_t epoch = (int64_t)(works->started / WORK_KEY_OPS);
	size_t count = kind == WORK_TXN ? 1 + prng_below(prng, WORK_PARTS) : 1;
	begin(work, kind, 0);
	work->part_count = count;
	for (size_t i = 0; i < count; i++) {
		bool append = kind == WORK_APPEND || (kind == WORK_TXN && prng_chance(prng, 1, 2));
		work->parts[i] =
			(struct history_part){.append = append,
					      .key = epoch * LISTS + (int64_t)prng_below(prng, LISTS),
					      .value = append ? (int64_t)++works->unique : 0};
	}
	work->op.key = work->parts[0].key;
}

static void draw_bank(struct work *work, const struct works *works, enum work_kind kind, struct prng *prng)
{
	if (!works->bank_open) {
		begin(work, WORK_BANK, 0);
		snprintf(work->id, sizeof(work->id), "bank"); /* whoever opens it, it is opened once */
		return;
	}
	begin(work, kind, (int64_t)prng_below(prng, ACCOUNTS));
	if (kind == WORK_MOVE) {
		work->op.expected = (work->op.key + 1 + (int64_t)prng_below(prng, ACCOUNTS - 1)) % ACCOUNTS;
		work->op.value = 1 + (int64_t)prng_below(prng, DEPOSIT);
	} else {
		work->op.key = 0;
	}
}

static void draw_ring(struct work *work, const struct works *works, enum work_kind kind, struct prng *prng)
{
	if (!works->ring_laid) {
		begin(work, WORK_RING, 0);
		snprintf(work->id, sizeof(work->id), "ring");
		return;
	}
	begin(work, kind, kind == WORK_SWAP ? (int64_t)prng_below(prng, NODES) : 0);
}

void work_draw(struct work *work, struct works *works, struct prng *prng)
{
	uint64_t die = prng_below(prng, 100);
	if (die < 40) {
		draw_register(work, works, die < 18 ? WORK_SET : die < 36 ? WORK_GET : WORK_CAS, prng);
	} else if (die < 72) {
		draw_lists(work, works, die < 50 ? WORK_APPEND : die < 60 ? WORK_LIST : WORK_TXN, prng);
	} else if (die < 86) {
		begin(work, WORK_INCR, (int64_t)prng_below(prng, WORK_COUNTERS));
	} else if (die < 93) {
		draw_bank(work, works, die < 91 ? WORK_MOVE : WORK_BALANCES, prng);
	} else if (die < 94) {
		begin(work, WORK_SIZE, 0);
	} else {
		draw_ring(work, works, die < 99 ? WORK_SWAP : WORK_LINKS, prng);
	}
}

void work_draw_read(struct work *work, struct works *works, struct prng *prng)
{
	uint64_t die = prng_below(prng, 100);
	if (die < 70) {
		begin(work, works->list_told ? WORK_LIST : WORK_GET, works->told_key);
	} else if (die < 80) {
		draw_register(work, works, WORK_GET, prng);
	} else if (die < 96) {
		draw_lists(work, works, WORK_LIST, prng);
	} else {
		begin(work, die < 98 ? WORK_BALANCES : die < 99 ? WORK_LINKS : WORK_SIZE, 0);
	}
}

static int64_t epochs(const struct works *works)
{
	return (int64_t)(works->started / WORK_KEY_OPS) + 1;
}

size_t work_final_count(const struct works *works)
{
	return (size_t)epochs(works) * (REGISTERS + LISTS) + WORK_COUNTERS + works->bank_open +
	       works->ring_laid;
}

void work_final(struct work *work, const struct works *works, size_t number)
{
	int64_t at = (int64_t)number;
	int64_t registers = epochs(works) * REGISTERS;
	int64_t lists = epochs(works) * LISTS;
	if (at < registers) {
		begin(work, WORK_GET, at);
	} else if (at < registers + lists) {
		begin(work, WORK_LIST, at - registers);
	} else if (at < registers + lists + WORK_COUNTERS) {
		begin(work, WORK_COUNT, at - registers - lists);
	} else if (at == registers + lists + WORK_COUNTERS && works->bank_open) {
		begin(work, WORK_BALANCES, 0);
	} else {
		begin(work, WORK_LINKS, 0);
	}
}

/* ---- asking ---- */

struct words {
	const char *list[WORDS_MAX];
	size_t lens[WORDS_MAX];
	char room[WORDS_MAX][WORD_SIZE];
	size_t count;
};

static void word(struct words *words, const char *text)
{
	words->list[words->count] = text;
	words->lens[words->count++] = strlen(text);
}

static void word_key(struct words *words, char kind, int64_t key)
{
	char *room = words->room[words->count];
	snprintf(room, WORD_SIZE, "%c%" PRId64, kind, key);
	word(words, room);
}

static void word_int(struct words *words, int64_t value, const char *behind)
{
	char *room = words->room[words->count];
	snprintf(room, WORD_SIZE, "%" PRId64 "%s", value, behind);
	word(words, room);
}

static void all_keys(struct words *words, char kind, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		word_key(words, kind, (int64_t)i);
	}
}

/* MSET of all accounts or nodes; what they are is noted in op's list. */
static void lay(struct words *words, struct work *work, int64_t *list, size_t count)
{
	word(words, "MSET");
	for (size_t i = 0; i < count; i++) {
		list[i] = work->kind == WORK_BANK ? DEPOSIT : (int64_t)((i + 1) % NODES);
		word_key(words, letter(work->kind), (int64_t)i);
		word_int(words, list[i], "");
	}
}

static void spell_script(struct words *words, const struct work *work)
{
	const struct history_op *op = &work->op;
	word(words, "EVAL");
	if (work->kind == WORK_TXN) {
		word(words, txn_script);
		word_int(words, (int64_t)work->part_count, "");
		for (size_t i = 0; i < work->part_count; i++) {
			word_key(words, 'l', work->parts[i].key);
		}
		for (size_t i = 0; i < work->part_count; i++) {
			if (work->parts[i].append) {
				word_int(words, work->parts[i].value, ",");
			} else {
				word(words, "r");
			}
		}
	} else if (work->kind == WORK_MOVE) {
		word(words, move_script);
		word(words, "2");
		word_key(words, 'b', op->key);
		word_key(words, 'b', op->expected);
		word_int(words, op->value, "");
	} else if (work->kind == WORK_CAS) {
		word(words, cas_script);
		word(words, "1");
		word_key(words, 'r', op->key);
		word_int(words, op->expected, "");
		word_int(words, op->value, "");
	} else {
		assert(work->kind == WORK_SWAP);
		word(words, swap_script);
		word(words, "1");
		word_key(words, 'n', op->key);
	}
}

static void spell(struct words *words, struct work *work)
{
	int64_t list[NODES];
	switch (work->kind) {
	case WORK_SET:
		word(words, "SET");
		word_key(words, 'r', work->op.key);
		word_int(words, work->op.value, "");
		break;
	case WORK_APPEND:
		word(words, "APPEND");
		word_key(words, 'l', work->parts[0].key);
		word_int(words, work->parts[0].value, ",");
		break;
	case WORK_INCR:
		word(words, "INCR");
		word_key(words, 'c', work->op.key);
		break;
	case WORK_GET:
	case WORK_LIST:
	case WORK_COUNT:
		word(words, "GET");
		word_key(words, letter(work->kind), work->op.key);
		break;
	case WORK_BALANCES:
	case WORK_LINKS:
		word(words, "MGET");
		all_keys(words, letter(work->kind), work->kind == WORK_LINKS ? NODES : ACCOUNTS);
		break;
	case WORK_SIZE:
		word(words, "DBSIZE");
		break;
	case WORK_BANK:
		lay(words, work, list, ACCOUNTS);
		break;
	case WORK_RING:
		lay(words, work, list, NODES);
		break;
	default:
		spell_script(words, work);
	}
}

void work_ask(struct work *work, struct tally *tally, struct tally_call *call, unsigned timeout_ms,
	      tally_call_cb cb)
{
	struct words words;
	words.count = 0;
	bool read = is_read(work->kind);
	if (!read && work->id[0] == '\0') {
		tally_id_make(tally, work->id);
	}
	spell(&words, work);
	assert(words.count <= WORDS_MAX);
	tally_command_start(tally, call, read ? NULL : work->id, words.list, words.lens, words.count,
			    read ? TALLY_READ : 0, timeout_ms, cb);
}

/* ---- what an answer says ---- */

/* What an answer says of lists, before the history has copied it. */
struct heard {
	int64_t values[WORK_PARTS][LIST_VALUES_MAX];
};

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

static bool hear_part(struct history_part *part, const struct tally_value *value, int64_t *list)
{
	size_t len = 0;
	const char *text = value == NULL ? NULL : tally_value_text(value, &len);
	if (part->append) {
		return tally_value_int(value, -1) > 0;
	}
	part->list = list;
	part->count = 0;
	return text == NULL || parse_list(text, len, list, &part->count);
}

static bool hear_txn(struct work *work, const struct tally_value *value, struct heard *heard)
{
	if (work->kind != WORK_TXN) {
		return hear_part(&work->parts[0], value, heard->values[0]);
	}
	bool sense = tally_value_count(value) == work->part_count;
	for (size_t i = 0; i < work->part_count && sense; i++) {
		sense = hear_part(&work->parts[i], tally_value_at(value, i), heard->values[i]);
	}
	return sense;
}

/* All accounts or nodes, or none of them. */
static bool hear_all(struct work *work, const struct tally_value *value, int64_t *list)
{
	size_t count = tally_value_count(value), present = 0;
	for (size_t i = 0; i < count && i < NODES; i++) {
		const char *text = tally_value_text(tally_value_at(value, i), NULL);
		list[i] = text == NULL ? 0 : strtoll(text, NULL, 10);
		present += text != NULL;
	}
	work->op.found = present > 0;
	work->op.list = list;
	work->op.list_count = present;
	return count == (work->kind == WORK_LINKS ? NODES : ACCOUNTS) && (present == 0 || present == count);
}

static bool hear(struct work *work, const struct tally_value *value, struct heard *heard)
{
	struct history_op *op = &work->op;
	switch (work->kind) {
	case WORK_GET:
	case WORK_COUNT: {
		const char *text = value == NULL ? NULL : tally_value_text(value, NULL);
		op->found = text != NULL;
		op->value = text == NULL ? 0 : strtoll(text, NULL, 10);
		return true;
	}
	case WORK_INCR:
		op->value = tally_value_int(value, -1);
		return op->value > 0;
	case WORK_CAS:
	case WORK_MOVE:
	case WORK_SWAP:
		op->found = tally_value_int(value, -1) == 1;
		return tally_value_int(value, -1) >= 0;
	case WORK_APPEND:
	case WORK_LIST:
	case WORK_TXN:
		return hear_txn(work, value, heard);
	case WORK_SIZE:
		op->value = tally_value_int(value, -1);
		return op->value >= 0;
	case WORK_BALANCES:
	case WORK_LINKS:
		return hear_all(work, value, heard->values[0]);
	default:
		return true;
	}
}

static void remember(struct work *work, struct history *history)
{
	int64_t list[NODES];
	struct words words;
	work->op.parts = work->parts;
	work->op.part_count = work->part_count;
	work->op.id = work->id;
	if (work->kind == WORK_BANK || work->kind == WORK_RING) {
		words.count = 0;
		work->op.list = list;
		work->op.list_count = work->kind == WORK_RING ? NODES : ACCOUNTS;
		lay(&words, work, list, work->op.list_count);
	}
	history_add(history, &work->op);
	work->op.list = NULL;
	work->op.list_count = 0;
	for (size_t i = 0; i < work->part_count; i++) {
		work->parts[i].list = NULL;
		work->parts[i].count = 0;
	}
}

bool work_end(struct work *work, const struct tally_call *call, uint64_t now_us, struct history *history)
{
	struct heard heard;
	enum tally_outcome outcome = tally_call_outcome(call);
	struct history_op *op = &work->op;
	op->outcome = outcome == TALLY_DONE      ? HISTORY_OK
		      : outcome == TALLY_UNKNOWN ? HISTORY_INFO
						 : HISTORY_FAIL;
	op->returned_us = outcome == TALLY_UNKNOWN ? HISTORY_NEVER : now_us;
	op->attempts = tally_call_attempts(call);
	op->code = tally_call_code(call);
	op->replayed = tally_call_replayed(call);
	bool sense = outcome != TALLY_DONE || hear(work, tally_call_value(call), &heard);
	remember(work, history);
	return sense;
}

void work_told(const struct work *work, struct works *works)
{
	works->bank_open = works->bank_open || work->kind == WORK_BANK;
	works->ring_laid = works->ring_laid || work->kind == WORK_RING;
	if (work->kind == WORK_SET || (work->kind == WORK_CAS && work->op.found)) {
		works->list_told = false;
		works->told_key = work->op.key;
	}
	for (size_t i = 0; i < work->part_count; i++) {
		if (work->parts[i].append) {
			works->list_told = true;
			works->told_key = work->parts[i].key;
		}
	}
}

void work_lose(struct work *work, struct history *history)
{
	work->op.outcome = HISTORY_INFO;
	work->op.returned_us = HISTORY_NEVER;
	work->op.code = "";
	remember(work, history);
}
