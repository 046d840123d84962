#include "tests/lib/past.h"

#include "tests/lib/tap.h"

#include <string.h>

struct history_op *past_op(struct history *past, enum history_function function, const char *id,
			   uint64_t from, uint64_t to, int64_t key, int64_t value)
{
	struct history_op op = {.function = function,
				.id = id,
				.invoked_us = from,
				.returned_us = to,
				.key = key,
				.value = value,
				.found = true,
				.code = "",
				.outcome = to == HISTORY_NEVER ? HISTORY_INFO : HISTORY_OK};
	return history_add(past, &op);
}

void past_forget(struct history *past)
{
	history_fini(past);
	history_init(past);
}

void past_judged(int rc, const struct err *err, const char *want, const char *sentence)
{
	bool right = want == NULL ? rc == 0 : rc == ERR_INVALID && strstr(err->text, want) != NULL;
	ok(right, "%s", sentence);
	if (!right) {
		tap_note("%s", rc == 0 ? "accepted" : err->text);
	}
}
