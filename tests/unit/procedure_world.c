#include "tests/unit/procedure_world.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/tap.h"

struct world w, plain;
static unsigned compared, differed;

void worlds_open(void)
{
	world_open(&w);
	world_open(&plain);
	plain.plain = true;
}

void worlds_close(unsigned least)
{
	ok(compared >= least && differed == 0, "compiled to sites and as written, %u calls end alike",
	   compared);
	world_close(&plain);
	world_close(&w);
}

void compare(const char *body, int status, int plain_status)
{
	const char *one = world_reply(&w), *other = world_reply(&plain);
	bool mistake = strncmp(one, "-SCRIPT_ERROR ", 14) == 0;
	bool same =
		status == plain_status && (mistake ? strncmp(one, other, 14) == 0 : strcmp(one, other) == 0);
	compared++;
	if (!same) {
		differed++;
		printf("# differs: %s\n# %d %s\n# %d %s\n", body, status, one, plain_status, other);
	}
}

int call_both(const char *body, const char *name, const char *value)
{
	plain.protocol = w.protocol;
	if (plain.now_ms != w.now_ms) {
		plain.now_ms = w.now_ms;
		world_apply(&plain);
	}
	int plain_status = world_call(&plain, "p", name, value, NULL);
	int status = world_call(&w, "p", name, value, NULL);
	compare(body, status, plain_status);
	return status;
}

int push_file(const char *text)
{
	const char *files[] = {
		"tables.lua",
		TABLES,
		"p.lua",
		text,
		"lib/box.lua",
		"local box = { n = 0 } function box.take() box.n = box.n + 1 return box.n end return box",
		NULL};
	struct err err = {0};
	int status = world_push(&w, files, &err);
	if (status < 0 || world_push(&plain, files, &err) < 0) {
		printf("# push: %s %s\n", err.text, world_reply(&w));
		return status < 0 ? status : ERR_INVALID;
	}
	return 0;
}

int run_with(const char *declaration, const char *body, const char *name, const char *value)
{
	static char source[70000];
	snprintf(source, sizeof source,
		 "procedure { name = 'p', writes = true, %s }\nreturn function(call)\n%s\nend", declaration,
		 body);
	int status = push_file(source);
	return status != 0 ? status : call_both(body, name, value);
}

int run(const char *body)
{
	return run_with("result = { v = optional(int), t = optional(text(100)) }, args = { n = optional(int) "
			"}, fails = { NO = 'refused', AGAIN = 'conflict' }, emits = { 'e' }",
			body, NULL, NULL);
}

void gives(const char *body, const char *want, const char *sentence)
{
	w.protocol = 2;
	int status = run(body);
	if (!ok(status == 0 && strstr(world_reply(&w), want) != NULL, "%s", sentence)) {
		printf("# %d %s\n", status, world_reply(&w));
	}
}

void ends(const char *body, const char *code, const char *sentence)
{
	w.protocol = 2;
	int status = run(body);
	char want[100];
	snprintf(want, sizeof want, "-%s ", code);
	bool good = status == ERR_DENIED && strncmp(world_reply(&w), want, strlen(want)) == 0;
	if (!ok(good && !w.wrote, "%s", sentence)) {
		printf("# %d %s\n", status, world_reply(&w));
	}
}

void says(const char *part, const char *sentence)
{
	if (!ok(strstr(world_reply(&w), part) != NULL, "%s", sentence)) {
		printf("# %s\n", world_reply(&w));
	}
}
