/* The commands, one function each; see main.c's table. */
#ifndef CLIENT_TOOL_COMMANDS_H
#define CLIENT_TOOL_COMMANDS_H

#include "client/tool/tool.h"

int cmd_status(struct tool *tool, int argc, char **argv);
int cmd_hash(struct tool *tool, int argc, char **argv);
int cmd_transfer(struct tool *tool, int argc, char **argv);
int cmd_version(struct tool *tool, int argc, char **argv);
int cmd_get(struct tool *tool, int argc, char **argv);
int cmd_set(struct tool *tool, int argc, char **argv);
int cmd_del(struct tool *tool, int argc, char **argv);
int cmd_range(struct tool *tool, int argc, char **argv);
int cmd_call(struct tool *tool, int argc, char **argv);
int cmd_row(struct tool *tool, int argc, char **argv);
int cmd_rows(struct tool *tool, int argc, char **argv);
int cmd_script_check(struct tool *tool, int argc, char **argv);
int cmd_script_test(struct tool *tool, int argc, char **argv);
int cmd_script_push(struct tool *tool, int argc, char **argv);
int cmd_script_list(struct tool *tool, int argc, char **argv);
int cmd_bench_flash(struct tool *tool, int argc, char **argv);
int cmd_bench_sale(struct tool *tool, int argc, char **argv);
int cmd_bench_kv(struct tool *tool, int argc, char **argv);
int cmd_bench_follower(struct tool *tool, int argc, char **argv);
int cmd_bench_overload(struct tool *tool, int argc, char **argv);
int cmd_bench_failover(struct tool *tool, int argc, char **argv);
int cmd_bench_restart(struct tool *tool, int argc, char **argv);

#endif /* CLIENT_TOOL_COMMANDS_H */
