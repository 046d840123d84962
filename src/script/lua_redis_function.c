/* FUNCTION and FCALL: not served yet, and said so at once. */
#include "script/lua_redis.h"

static int refuse(struct script_redis *call)
{
	reply_error(call->reply, "ERR functions are not served yet");
	return ERR_DENIED;
}

int function_call(struct redis_machine *m, struct script_redis *call, bool read_only)
{
	(void)m;
	(void)read_only;
	return refuse(call);
}

int function_command(struct redis_machine *m, struct script_redis *call)
{
	(void)m;
	return refuse(call);
}

void function_forget_chunks(struct redis_machine *m)
{
	(void)m;
}

void function_free(struct redis_machine *m)
{
	(void)m;
}
