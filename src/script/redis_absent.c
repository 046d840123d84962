/* EVAL, SCRIPT, FUNCTION and FCALL have no body yet: this answers for them, so
 * that a whole node can be linked. Whoever writes script_redis_run deletes this file. */
#include "script/script.h"

int script_redis_run(struct script_redis *call)
{
	reply_error(call->reply, "ERR scripts of Redis are not served yet");
	return ERR_DENIED;
}
