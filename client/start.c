/* The doors of tally.h that start a call: they copy what was asked into the
 * call's text and let it begin. */
#include <assert.h>
#include <stdio.h>

#include "client/call.h"
#include "client/request.h"

/* Every field is set: the struct may hold whatever was in the caller's memory. */
static struct call *start_prepare(struct tally *tally, struct tally_call *public, uint64_t doubt,
				  unsigned timeout_ms, tally_call_cb cb)
{
	assert(tally != NULL);
	assert(public != NULL);
	assert(cb != NULL);
	struct call *call = call_of(public);
	*call = (struct call){.data = public->data, .tally = tally, .cb = cb};
	call_prepare(call, doubt, timeout_ms);
	return call;
}

/* What a request under the caller's id is known by. */
static uint64_t start_doubt(const char *id)
{
	return id != NULL && id[0] != '\0' ? doubts_sum(slice_str(id), 0) : 0;
}

/* The procedure may have its id among its arguments, which the client cannot know: the same words are taken
 * for the same request. 0 for what is no request. */
static uint64_t start_call_doubt(const char *procedure, const struct tally_arg *args, size_t arg_count)
{
	if (procedure == NULL || (args == NULL && arg_count > 0) || arg_count > LIMIT_RESP_ARGS) {
		return 0;
	}
	uint64_t sum = doubts_sum(slice_str(procedure), 0);
	for (size_t i = 0; i < arg_count; i++) {
		const struct tally_arg *arg = &args[i];
		bool is_integer = arg->type == ARG_INTEGER;
		bool is_text = arg->type == ARG_TEXT && (arg->text != NULL || arg->len == 0);
		if (arg->name == NULL || !(is_integer || is_text)) {
			return 0;
		}
		sum = doubts_sum(slice_str(arg->name), sum);
		sum = doubts_sum(is_integer ? slice_of(&arg->integer, sizeof(arg->integer))
					    : slice_of(arg->text, arg->len),
				 sum);
	}
	return sum;
}

/* NULL is no text, which request.h refuses; "" is one. */
static struct slice start_text(const char *text)
{
	return text != NULL ? slice_str(text) : slice_of(NULL, 1);
}

/* The caller's id, or a fresh one in room. */
static struct slice start_id(struct tally *tally, const char *id, char room[ID_TEXT])
{
	if (id != NULL) {
		return slice_str(id);
	}
	id_make(&tally->ids, env_wall_ms(tally->env), room);
	return slice_of(room, ID_TEXT);
}

void tally_call_start(struct tally *tally, struct tally_call *public, const char *procedure,
		      const struct tally_arg *args, size_t arg_count, unsigned timeout_ms, tally_call_cb cb)
{
	char room[ID_TEXT];
	uint64_t doubt = start_call_doubt(procedure, args, arg_count);
	struct call *call = start_prepare(tally, public, doubt, timeout_ms, cb);
	request_make_call(call, start_id(tally, NULL, room), procedure, args, arg_count);
	call_begin(call);
}

void tally_call_start_once(struct tally *tally, struct tally_call *public, const char *id,
			   const char *procedure, const struct tally_arg *args, size_t arg_count,
			   unsigned timeout_ms, tally_call_cb cb)
{
	struct call *call = start_prepare(tally, public, start_doubt(id), timeout_ms, cb);
	request_make_call(call, id != NULL ? slice_str(id) : SLICE_NONE, procedure, args, arg_count);
	call_begin(call);
}

static void start_command(struct call *call, struct slice id, const struct slice *words, size_t count,
			  unsigned flags)
{
	call->dryrun = (flags & TALLY_DRYRUN) != 0;
	call->read = call->dryrun || (flags & TALLY_READ) != 0;
	request_make(call, call->read ? SLICE_NONE : id, words, count);
	call_begin(call);
}

void tally_command_start(struct tally *tally, struct tally_call *public, const char *id,
			 const char *const *words, const size_t *lens, size_t count, unsigned flags,
			 unsigned timeout_ms, tally_call_cb cb)
{
	const char *named = (flags & (TALLY_READ | TALLY_DRYRUN)) != 0 ? NULL : id; /* reads leave no doubt */
	struct call *call = start_prepare(tally, public, start_doubt(named), timeout_ms, cb);
	if (count == 0) {
		call_refuse(call, "VALIDATION", "there is no command");
	}
	if (!request_counts(call, words, count, 1)) {
		call_begin(call);
		return;
	}
	struct slice *slices = pool_take(&tally->pool, count * sizeof(*slices));
	for (size_t i = 0; i < count; i++) {
		slices[i] = lens != NULL ? slice_of(words[i], lens[i]) : start_text(words[i]);
	}
	start_command(call, id != NULL ? slice_str(id) : SLICE_NONE, slices, count, flags);
	pool_give(&tally->pool, slices, count * sizeof(*slices));
}

void tally_get_start(struct tally *tally, struct tally_call *public, const char *key, size_t key_len,
		     unsigned timeout_ms, tally_call_cb cb)
{
	const struct slice words[] = {SLICE_LIT("GET"), slice_of(key, key_len)};
	start_command(start_prepare(tally, public, 0, timeout_ms, cb), SLICE_NONE, words, 2, TALLY_READ);
}

void tally_set_start(struct tally *tally, struct tally_call *public, const char *key, size_t key_len,
		     const void *value, size_t value_len, unsigned timeout_ms, tally_call_cb cb)
{
	char room[ID_TEXT];
	const struct slice words[] = {SLICE_LIT("SET"), slice_of(key, key_len), slice_of(value, value_len)};
	start_command(start_prepare(tally, public, 0, timeout_ms, cb), start_id(tally, NULL, room), words, 3,
		      0);
}

void tally_del_start(struct tally *tally, struct tally_call *public, const char *key, size_t key_len,
		     unsigned timeout_ms, tally_call_cb cb)
{
	char room[ID_TEXT];
	const struct slice words[] = {SLICE_LIT("DEL"), slice_of(key, key_len)};
	start_command(start_prepare(tally, public, 0, timeout_ms, cb), start_id(tally, NULL, room), words, 2,
		      0);
}

void tally_range_start(struct tally *tally, struct tally_call *public, const char *from, const char *to,
		       unsigned limit, unsigned timeout_ms, tally_call_cb cb)
{
	char digits[16];
	int len = snprintf(digits, sizeof(digits), "%u", limit);
	const struct slice words[] = {SLICE_LIT("RANGE"), start_text(from), start_text(to),
				      SLICE_LIT("LIMIT"), slice_of(digits, (size_t)len)};
	struct call *call = start_prepare(tally, public, 0, timeout_ms, cb);
	if (limit < 1 || limit > LIMIT_SCAN_ROWS) {
		call_refuse(call, "VALIDATION", "limit is 1 to 10000");
	}
	start_command(call, SLICE_NONE, words, 5, TALLY_READ);
}

/* ---- arguments ---- */

struct tally_arg tally_str(const char *name, const char *value)
{
	return tally_bytes(name, value, value != NULL ? strlen(value) : 1);
}

struct tally_arg tally_bytes(const char *name, const void *value, size_t len)
{
	struct tally_arg arg = {name, ARG_TEXT, value, len, 0};
	return arg;
}
