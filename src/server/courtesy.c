#include "server/courtesy.h"

#include "server/node_private.h"
#include "server/version.h"

#include <ctype.h>

/* As much of a stranger's word as an error repeats. */
#define SHOWN_MAX 128

static int shown(struct slice word)
{
	return (int)(word.len > SHOWN_MAX ? SHOWN_MAX : word.len);
}

/* ---- ACL ---- */

static size_t count_of_category(struct slice category)
{
	size_t count = 0, found = 0;
	const struct command *commands = command_table(&count);
	for (size_t i = 0; i < count; i++) {
		found += command_in_category(&commands[i], category);
	}
	return found;
}

static void put_category(struct reply *reply, struct slice category)
{
	size_t count = 0;
	const struct command *commands = command_table(&count);
	for (size_t i = 0; i < count; i++) {
		char name[32];
		size_t len = 0;
		if (!command_in_category(&commands[i], category)) {
			continue;
		}
		for (; commands[i].name[len] != '\0' && len < sizeof name; len++) {
			name[len] = (char)tolower((unsigned char)commands[i].name[len]);
		}
		reply_bulk(reply, slice_of(name, len));
	}
}

/* CAT [category] */
void acl_cat(struct local_call *call)
{
	size_t count = 0;
	if (call->argc > 3) {
		reply_error(call->reply,
			    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
			    shown(call->argv[1]), (const char *)call->argv[1].data);
		return;
	}
	if (call->argc == 3) {
		size_t found = count_of_category(call->argv[2]);
		if (found == 0) {
			reply_error(call->reply, "ERR Unknown category '%.*s'", shown(call->argv[2]),
				    (const char *)call->argv[2].data);
			return;
		}
		reply_array(call->reply, found);
		put_category(call->reply, call->argv[2]);
		return;
	}
	while (command_category(count) != NULL) {
		count++;
	}
	reply_array(call->reply, count);
	for (size_t i = 0; i < count; i++) {
		reply_bulk_text(call->reply, command_category(i));
	}
}

void acl_getuser(struct local_call *call)
{
	struct reply *reply = call->reply;
	if (!slice_equal(call->argv[2], SLICE_LIT("default"))) {
		reply_null(reply);
		return;
	}
	reply_map(reply, 6);
	reply_bulk_text(reply, "flags");
	reply_set(reply, 2);
	reply_bulk_text(reply, "on");
	reply_bulk_text(reply, "nopass");
	reply_bulk_text(reply, "passwords");
	reply_array(reply, 0);
	reply_bulk_text(reply, "commands");
	reply_bulk_text(reply, "+@all");
	reply_bulk_text(reply, "keys");
	reply_bulk_text(reply, "~*");
	reply_bulk_text(reply, "channels");
	reply_bulk_text(reply, "&*");
	reply_bulk_text(reply, "selectors");
	reply_array(reply, 0);
}

void acl_list(struct local_call *call)
{
	reply_array(call->reply, 1);
	reply_bulk_text(call->reply, "user default on nopass ~* &* +@all");
}

void acl_users(struct local_call *call)
{
	reply_array(call->reply, 1);
	reply_bulk_text(call->reply, "default");
}

void acl_whoami(struct local_call *call)
{
	reply_bulk_text(call->reply, "default");
}

void acl_help(struct local_call *call)
{
	static const char *const lines[] = {
		"CAT [<category>]",
		"    List all categories, or the commands of one.",
		"GETUSER <username>",
		"    Get the user's details. There is one user, default, and it cannot be changed.",
		"LIST",
		"    Show users in the format of a configuration file.",
		"USERS",
		"    List the names of users.",
		"WHOAMI",
		"    Return the name of this connection's user.",
	};
	local_help(call->reply, "ACL", lines, sizeof lines / sizeof lines[0]);
}

/* ---- CLUSTER, LATENCY, MEMORY, MODULE ---- */

void cluster_disabled(struct local_call *call)
{
	reply_error(call->reply, "ERR This instance has cluster support disabled");
}

void latency_empty(struct local_call *call)
{
	reply_array(call->reply, 0);
}

void latency_histogram(struct local_call *call)
{
	reply_map(call->reply, 0);
}

void latency_doctor(struct local_call *call)
{
	reply_verbatim(call->reply, "txt",
		       SLICE_LIT("There is no latency monitor. Slow commands are in SLOWLOG GET, the log's "
				 "disk in INFO persistence (log_sync_us_p50, log_sync_us_p99).\n"));
}

void latency_graph(struct local_call *call)
{
	reply_error(call->reply, "ERR No samples available for event '%.*s'", shown(call->argv[2]),
		    (const char *)call->argv[2].data);
}

void latency_reset(struct local_call *call)
{
	reply_integer(call->reply, 0);
}

void latency_help(struct local_call *call)
{
	static const char *const lines[] = {
		"DOCTOR",
		"    Tell where to look instead: there is no latency monitor.",
		"GRAPH <event>",
		"    Always without samples.",
		"HISTORY <event>",
		"    Always empty.",
		"LATEST",
		"    Always empty.",
		"RESET [<event> ...]",
		"    Always 0.",
		"HISTOGRAM [COMMAND ...]",
		"    Always empty.",
	};
	local_help(call->reply, "LATENCY", lines, sizeof lines / sizeof lines[0]);
}

void memory_doctor(struct local_call *call)
{
	reply_verbatim(
		call->reply, "txt",
		SLICE_LIT("The setting `memory` bounds what this node holds in memory; INFO memory tells "
			  "what holds how much.\n"));
}

void memory_malloc_stats(struct local_call *call)
{
	reply_bulk_text(call->reply, "Stats not supported for the current allocator");
}

void module_list(struct local_call *call)
{
	reply_array(call->reply, 0);
}

void module_help(struct local_call *call)
{
	static const char *const lines[] = {
		"LIST",
		"    Always empty: there are no modules.",
	};
	local_help(call->reply, "MODULE", lines, sizeof lines / sizeof lines[0]);
}

/* ---- without subcommands ---- */

void lastsave(struct local_call *call)
{
	reply_integer(call->reply, (int64_t)(env_wall_ms(call->conn->node->env) / 1000));
}

void lolwut(struct local_call *call)
{
	reply_verbatim(call->reply, "txt", SLICE_LIT("Tally ver. " VERSION_TALLY "\n"));
}

void debug_denied(struct local_call *call)
{
	transaction_spoil(&call->conn->session.transaction);
	reply_error(call->reply, "ERR DEBUG command not allowed. If the enable-debug-command option is set "
				 "to \"local\", you can run "
				 "it from a local connection, otherwise you need to set this option in the "
				 "configuration file, and "
				 "then restart the server.");
}
