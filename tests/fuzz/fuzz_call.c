/* A call of the commerce bundle: lines are the procedure and its arguments. Whatever
 * they are, there is exactly one reply, and only what went well has written. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/script_world.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 40
/* A call takes as long as a thousand of other bodies' inputs. */
#define CALL_EVERY 4
#define REPLY_MAX MIB(16)

/* One world for all inputs: the bundle takes too long to compile for each. */
static struct world *world(void)
{
	static struct world *kept;
	if (kept == NULL) {
		char dir[1024];
		struct err err = {0};
		const char *src = getenv("TALLY_SRC");
		snprintf(dir, sizeof(dir), "%s/commerce", src != NULL ? src : ".");
		char **files = world_read_bundle(dir);
		kept = malloc(sizeof(*kept));
		world_open(kept);
		int status = world_push(kept, (const char *const *)files, &err);
		assert(status == 0);
		world_free_bundle(files);
		world_apply(kept);
	}
	return kept;
}

static size_t split(struct slice text, struct slice words[WORDS_MAX])
{
	size_t count = 0;
	while (text.len > 0 && count < WORDS_MAX) {
		const uint8_t *newline = memchr(text.data, '\n', text.len);
		size_t len = newline != NULL ? (size_t)(newline - text.data) : text.len;
		words[count++] = slice_of(text.data, len);
		text = slice_skip(text, newline != NULL ? len + 1 : len);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice words[WORDS_MAX];
	size_t used = 0;
	unsigned sum = 0;
	for (size_t i = 0; i < size; i++) {
		sum = sum * 31 + data[i];
	}
	size_t count = split(slice_of(data, size), words);
	if (count == 0 || sum % CALL_EVERY != 0) {
		return 0;
	}
	struct world *w = world();
	int status = world_call_argv(w, words[0], words + 1, count - 1);
	assert(status == 0 || status == ERR_DENIED || status == ERR_FULL);
	assert(status == 0 || !w->wrote);
	if (status != ERR_FULL) {
		int whole = resp_reply_measure(buf_slice(&w->reply), REPLY_MAX, &used);
		assert(whole == 0 && used == w->reply.len);
		assert((status == ERR_DENIED) == (w->reply.data[0] == '-'));
	}
	world_apply(w);
	return 0;
}
