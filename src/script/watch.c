/* What stands around each run of a script: who watches is told, and what is refused does not begin. */
#include "script/host.h"

#include <assert.h>

void script_host_watch(struct script_host *host, const struct script_watch *watch)
{
	assert(watch->refused != NULL && watch->begin != NULL && watch->end != NULL);
	assert(watch->late != NULL);
	assert(host->stats.calls == 0);
	host->watch = *watch;
}

bool host_begin(struct script_host *host, struct budget *budget, const struct script_identity *running,
		struct arena *arena, struct reply *reply)
{
	const struct script_watch *watch = &host->watch;
	if (watch->begin == NULL) {
		return true;
	}
	if (watch->refused->count > 0 && refused_has(watch->refused, running)) {
		host->stats.refused_calls++;
		reply_code(reply, CODE_SCRIPT_REFUSED,
			   arena_printf(arena, "\"%s\":\"%.*s\",\"hash\":\"%s\",\"reason\":\"%s\"",
					script_kind_name(running->kind), (int)running->name.len,
					(const char *)running->name.data, running->hash,
					code_text(CODE_SCRIPT_REFUSED)));
		return false;
	}
	budget_watch(budget, watch->late, watch->late_bits);
	watch->begin(watch->owner, running);
	return true;
}

void host_end(struct script_host *host)
{
	if (host->watch.end != NULL) {
		host->watch.end(host->watch.owner);
	}
}

void host_end_late(struct script_host *host, struct reply *reply)
{
	host->stats.budget_exceeded++;
	reply_code(
		reply, CODE_BUDGET_EXCEEDED,
		"\"reason\":\"the script used up its processor time, nothing was written: let it do less in "
		"one call\"");
}
