/* What ends a script's call that takes long, and the process when the call does not come back: the last
 * resort behind the budgets, for whatever they do not see. A call that used an eighth of limit_ms of the
 * loop's processor time is asked to end: where the budget is looked at it does, with BUDGET_EXCEEDED, writes
 * nothing, and a line in the log names the script. One that used limit_ms all the same is written to the file
 * `refused` (script/refused.h), and the process ends with status 1 and a line that names it. The other
 * members elect a leader, and this one refuses the script from its next start on.
 *
 * An EXEC has the time of one call: all that its commands use counts together, is asked to end at the same
 * eighth, and then no further one begins (run.c). Nothing rings for a command that is no script.
 *
 * Only calls are watched. They run at the leader alone, once, and what they wrote is what the others get; a
 * bundle is compiled by each member, which must come to the same end at any speed.
 *
 * Each member learns for itself: a client that repeats an unknown outcome brings the call to the next leader,
 * which ends as well. So the worst that one script can do is to end each member once. */
#ifndef ENGINE_WATCHDOG_H
#define ENGINE_WATCHDOG_H

#include "base/log.h"
#include "env/env.h"
#include "script/script.h"

struct watchdog;

/* Reads dir's file `refused`. One that is damaged is set aside as `refused.damaged` with a line in the log,
 * and the list is empty: a script that is forgotten so can end this node once more, and is then known again,
 * but a node that does not start protects nobody. Files that cannot be read or moved: err, as any other of
 * the disk. */
int watchdog_open(struct env *env, struct log *log, const char *dir, uint64_t limit_ms,
		  struct watchdog **watchdog, struct err *err);
/* NULL ok; not inside a call. */
void watchdog_close(struct watchdog *watchdog);
/* Around the commands of an EXEC. late: they have used what one call may. NULL ok. */
void watchdog_queue_begin(struct watchdog *watchdog);
bool watchdog_queue_late(const struct watchdog *watchdog);
void watchdog_queue_end(struct watchdog *watchdog);
/* What a host is to be watched with; the watchdog must outlive it. */
struct script_watch watchdog_watch(struct watchdog *watchdog);

#endif /* ENGINE_WATCHDOG_H */
