/* libtally over an env: what tally.h is on a libuv loop, this is on any env.
 * The simulator's shops are clients of this kind. tally_open makes a uv_env and
 * calls client_open. Everything else of tally.h works on the struct tally that
 * client_open gives. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/err.h"
#include "client/tally.h"
#include "env/env.h"

struct tally *client_open(struct env *env, const struct tally_options *options, struct err *err);
/* When the env was killed: frees without callbacks. */
void client_free(struct tally *tally);

#endif /* CLIENT_CLIENT_H */
