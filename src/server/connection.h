/* PING, ECHO, HELLO, AUTH, SELECT, RESET, QUIT, UNWATCH, TIME, WAIT: a client and its connection. */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "server/local.h"

void connection_ping(struct local_call *call);
void connection_echo(struct local_call *call);
void connection_select(struct local_call *call);
void connection_hello(struct local_call *call);
void connection_auth(struct local_call *call);
void connection_reset(struct local_call *call);
void connection_quit(struct local_call *call);
void connection_unwatch(struct local_call *call);
void connection_time(struct local_call *call);
/* An answer to a write came when a majority held it, so there is nothing to wait for. */
void connection_wait(struct local_call *call);
void connection_ok(struct local_call *call); /* accepted, nothing to do */

/* A connection's name: printable, no spaces, at most SESSION_NAME_MAX bytes; empty takes it away. Or the
 * error. */
bool connection_set_name(struct conn *conn, struct slice name, struct reply *reply);

#endif /* SERVER_CONNECTION_H */
