/* COMMAND and its subcommands: what this server understands, from the table of command/. */
#ifndef SERVER_CATALOG_H
#define SERVER_CATALOG_H

#include "server/local.h"

void catalog_all(struct local_call *call);
void catalog_count(struct local_call *call);
void catalog_list(struct local_call *call);
void catalog_info(struct local_call *call);
void catalog_docs(struct local_call *call);
void catalog_getkeys(struct local_call *call);
void catalog_getkeysandflags(struct local_call *call);
void catalog_help(struct local_call *call);

#endif /* SERVER_CATALOG_H */
