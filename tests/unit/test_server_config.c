/* Settings: what is taken, and the one line for everything else. */
#include "server/config.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As main gets them; words end with NULL. */
static int read_words(const char *const *words, struct node_config *config, enum config_action *action,
		      struct err *err)
{
	char *argv[12];
	int argc = 0;
	for (; words[argc] != NULL; argc++) {
		argv[argc] = (char *)(uintptr_t)words[argc];
	}
	memset(err, 0, sizeof *err);
	return config_read(config, argc, argv, action, err);
}

/* Writes text to a file of its own and reads it as the config file of node 1. */
static int read_text(const char *text, struct node_config *config, struct err *err)
{
	char path[512];
	snprintf(path, sizeof path, "%s/tally.conf", tap_dir());
	FILE *file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	const char *const words[] = {"tallyd", "--config", path, NULL};
	enum config_action action;
	return read_words(words, config, &action, err);
}

static void test_file(void)
{
	struct node_config config;
	struct err err;
	int status = read_text("# a comment\n"
			       "id = 2\n"
			       "cluster = shop\n"
			       "listen = 127.0.0.1:7402\n"
			       "peer-listen = 127.0.0.1:7502\n"
			       "member = 3=127.0.0.1:7503,127.0.0.1:7403\n"
			       "member = 1=127.0.0.1:7501, 127.0.0.1:7401\n"
			       "member = 2=127.0.0.1:7502,127.0.0.1:7402\n"
			       "memory = 1GiB ; budget\n"
			       "segment = 256KiB\n"
			       "election = 1s\n"
			       "slowlog-slower-than = 250us\n"
			       "bootstrap = no\n",
			       &config, &err);
	is_int(status, 0, "a file with all kinds of values is taken (%s)", err.text);
	is_int(config.member_count, 3, "three members");
	is_int(config.members[0].id, 1, "members are sorted by id");
	is_str(config.members[0].client, "127.0.0.1:7401", "a space behind the comma is allowed");
	is_int(config.memory_bytes, 1 << 30, "a size with a unit");
	is_int(config.segment_bytes, 256 << 10, "KiB");
	is_int(config.election_ms, 1000, "a time in seconds");
	is_int(config.slowlog_us, 250, "a time in microseconds");
	ok(!config.bootstrap, "a yes or no");
	is_str(config.name, "n2", "the name follows from the id");
	ok(config.cluster_id != 0, "the cluster id follows from its name");
	is_int(config.memtable_bytes, 256 << 20, "the memtable is a quarter of the memory");
}

static void test_flags(void)
{
	struct node_config config;
	struct err err;
	enum config_action action;
	char path[512];
	snprintf(path, sizeof path, "%s/flags.conf", tap_dir());
	FILE *file = fopen(path, "w");
	fputs("id = 7\ndir = from-file\nmember = 9=a:1,b:2\n", file);
	fclose(file);
	const char *const words[] = {"tallyd", "--dir=from-flag", "--config",  path, "--id",
				     "8",      "--member",        "8=c:1,d:2", NULL};
	is_int(read_words(words, &config, &action, &err), 0, "flags and a file (%s)", err.text);
	is_int(config.id, 8, "a flag wins over the file, also when it comes later");
	is_str(config.dir, "from-flag", "--key=value");
	is_int(config.member_count, 1, "members by flag replace those of the file");
	const char *const help[] = {"tallyd", "--help", NULL};
	is_int(read_words(help, &config, &action, &err), 0, "--help is taken");
	is_int(action, CONFIG_HELP, "and asks for help only");
	const char *const alone[] = {"tallyd", "--id", "1", NULL};
	is_int(read_words(alone, &config, &action, &err), 0, "an id is enough for a node alone");
	is_str(config.members[0].client, "127.0.0.1:7401", "which is its own member");
}

static void test_bad_flags(void)
{
	static const struct {
		const char *words[6];
		const char *line;
	} rows[] = {
		{{"tallyd"}, "--id: is missing: which of the members is this node?"},
		{{"tallyd", "--id"}, "--id: needs a value"},
		{{"tallyd", "--id", "1", "--id", "2"}, "--id: \"2\" is set a second time"},
		{{"tallyd", "id"}, "id: is no flag; see tallyd --help"},
		{{"tallyd", "--nonsense", "1"},
		 "--nonsense: \"1\" is set, but there is no such key; see tallyd --help"},
		{{"tallyd", "--id", "1", "--member", "2=a:1,b:2"}, "--member: none has this node's id 1"},
		{{"tallyd", "--id", "3"},
		 "--member: there is none, and this is node 3: name all members, or itself alone to be a "
		 "cluster of its own"},
		{{"tallyd", "--config", "/nowhere/x.conf"},
		 "/nowhere/x.conf: cannot be opened: No such file or directory"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct node_config config;
		struct err err;
		enum config_action action;
		ok(read_words(rows[i].words, &config, &action, &err) < 0, "flags %zu are refused", i);
		is_str(err.text, rows[i].line, "with this line");
	}
}

static void test_bad_files(void)
{
	static const struct {
		const char *text, *line; /* line behind the path */
	} rows[] = {
		{"id = 1\ncolour = red\n",
		 ":2: colour: \"red\" is set, but there is no such key; see tallyd --help"},
		{"id = 1\nid = 2\n", ":2: id: \"2\" is set a second time"},
		{"id = 0\n", ":1: id: \"0\" is not between 1 and 1073741824"},
		{"id = -1\n", ":1: id: \"-1\" is negative"},
		{"id = one\n", ":1: id: \"one\" is not a number"},
		{"id = 99999999999999999999\n", ":1: id: \"99999999999999999999\" is too large"},
		{"id = 1\nmemory = 1GB\n",
		 ":2: memory: \"1GB\" has a wrong unit; sizes are bytes, KiB, MiB or GiB"},
		{"id = 1\nmemory = 1KiB\n", ":2: memory: \"1KiB\" is not between 32MiB and 65536GiB"},
		{"id = 1\nelection = 1h\n", ":2: election: \"1h\" is not between 20ms and 10m"},
		{"id = 1\nelection = 300\n",
		 ":2: election: \"300\" has a wrong unit; times carry us, ms, s, m, h or d"},
		{"id = 1\nelection = 300MiB\n",
		 ":2: election: \"300MiB\" has a wrong unit; times carry us, ms, s, m, h or d"},
		{"id = 1\nelection = 1500us\n", ":2: election: \"1500us\" is finer than a millisecond"},
		{"id = 1\nlisten = 127.0.0.1:0\n",
		 ":2: listen: \"127.0.0.1:0\" has no port between 1 and 65535"},
		{"id = 1\nlisten = 127.0.0.1:65536\n",
		 ":2: listen: \"127.0.0.1:65536\" has no port between 1 and 65535"},
		{"id = 1\nlisten = localhost\n", ":2: listen: \"localhost\" is not host:port"},
		{"id = 1\nlisten = ::1:80\n",
		 ":2: listen: \"::1:80\" is not host:port (write an IPv6 address as [address]:port)"},
		{"id = 1\nmember = 1\n", ":2: member: \"1\" is not ID=PEER,CLIENT"},
		{"id = 1\nmember = x=a:1,b:2\n",
		 ":2: member: \"x=a:1,b:2\" has no id between 1 and 1073741824 before the ="},
		{"id = 1\nmember = 1=a:1,b:2\nmember = 1=c:1,d:2\n",
		 ":3: member: \"1=c:1,d:2\" names an id that another member has"},
		{"id = 1\nmember = 1=a:1,b:2\nmember = 2=a:1,d:2\n",
		 ":3: member: \"2=a:1,d:2\" names an address that another member has"},
		{"id = 1\nmember = 1=a:1,b:2\nmember = 2=c:1,b:2\n",
		 ":3: member: \"2=c:1,b:2\" names an address that another member has"},
		{"id = 1\nmember = 1=a:1,a:1\n", ":2: member: \"1=a:1,a:1\" names one address for both"},
		{"id = 1\nbootstrap = maybe\n", ":2: bootstrap: \"maybe\" is neither yes nor no"},
		{"id = 1\nlog-level = loud\n", ":2: log-level: \"loud\" is none of debug, info, warn, error"},
		{"id = 1\nname =\n", ":2: name: \"\" is empty"},
		{"[node]\nid = 1\n", ":2: [node]: there are no sections"},
		{"id = 1\n\1name = x\n", ":2: the line holds a control character"},
		{"id = 1\nwhat is this\n", ":2: this is no `key = value`"},
		{"id = 1\nelection = 100ms\n", NULL},
		{"id = 1\nmemory = 64MiB\nmemtable = 65MiB\n", NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct node_config config;
		struct err err;
		char want[700];
		ok(read_text(rows[i].text, &config, &err) < 0, "file %zu is refused: %s", i, err.text);
		if (rows[i].line != NULL) {
			snprintf(want, sizeof want, "%s/tally.conf%s", tap_dir(), rows[i].line);
			is_str(err.text, want, "with file, line and reason");
		}
	}
}

static void test_long_line(void)
{
	struct node_config config;
	struct err err;
	char text[600] = "id = 1\ndir = ";
	memset(text + strlen(text), 'x', 400);
	ok(read_text(text, &config, &err) < 0 && strstr(err.text, ":2: the line is too long") != NULL,
	   "a line over the reader's bound is refused, not cut: %s", err.text);
}

static void test_help(void)
{
	struct buf help;
	buf_init(&help, KIB(64));
	config_help(&help);
	buf_append_byte(&help, '\0');
	ok(!buf_failed(&help) && strstr((const char *)help.data, "--peer-listen HOST:PORT") != NULL,
	   "the help names every key");
	buf_fini(&help);
}

/* A page of the source tree, until the next call; NULL and skipped when it is not here. */
static char *read_page(const char *name)
{
	static char page[65536];
	char path[1024];
	const char *top = getenv("TALLY_SRC");
	snprintf(path, sizeof path, "%s/%s", top == NULL ? "." : top, name);
	FILE *file = fopen(path, "r");
	if (file == NULL) {
		tap_skip("a page is not here");
		return NULL;
	}
	page[fread(page, 1, sizeof page - 1, file)] = '\0';
	fclose(file);
	return page;
}

/* What an operator copies. */
static void test_example(void)
{
	struct node_config config;
	struct err err;
	char *page = read_page("docs/operations.md");
	if (page == NULL) {
		return;
	}
	char *begin = strstr(page, "\n```\n"), *end = begin == NULL ? NULL : strstr(begin + 5, "\n```\n");
	if (!ok(end != NULL, "docs/operations.md begins with an example of settings")) {
		return;
	}
	end[1] = '\0';
	int status = read_text(begin + 5, &config, &err);
	ok(status == 0 && config.member_count == 3, "its settings are taken, and name three members (%s)", err.text);
}

/* The manual tells every key that the help tells. */
static void test_manual(void)
{
	const char *page = read_page("src/server/tallyd.8");
	if (page == NULL) {
		return;
	}
	struct buf help;
	size_t missing = 0;
	buf_init(&help, KIB(64));
	config_help(&help);
	buf_append_byte(&help, '\0');
	for (const char *at = (const char *)help.data; (at = strstr(at, "\n  --")) != NULL; at += 5) {
		char flag[80];
		snprintf(flag, sizeof flag, "Fl Fl %.*s", (int)strcspn(at + 5, " ,\n"), at + 5);
		if (strstr(page, flag) == NULL) {
			tap_note("not in the manual: %s", flag);
			missing++;
		}
	}
	is_int(missing, 0, "the manual tells every key that the help tells");
	buf_fini(&help);
}

int main(void)
{
	test_file();
	test_flags();
	test_bad_flags();
	test_bad_files();
	test_long_line();
	test_help();
	test_manual();
	test_example();
	return tap_done();
}
