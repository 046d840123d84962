/* The watchdog around a shard: what it ends, what is left, what is refused afterwards. Each ending is a
 * process of its own; its limit is so short that a pattern, which looks at its steps only, does not come back
 * in time, and it is called again and again until the end has come. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/shard_private.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

#define SHORT_MS 8
#define LONG_MS 600000 /* nothing of a test takes so much, whatever it is built with */
#define STARTS 100

/* All steps of a call, in one. */
#define BOMB "(('ab'):rep(2000)):find('.-.-.-c')"

/* 99 of them: for ever, as far as the alarm goes. */
static const char endless_lua[] =
	"procedure { name = 'pool.take', writes = true, once = 'take_id', keep = 'success',\n"
	"  args = { take_id = id, sku = id, qty = int(1, 100) }, result = { left = int } }\n"
	"return function(call)\n"
	"  if call.qty == 99 and " BOMB " then return { left = 0 } end\n"
	"  return { left = db.pool:need(call.sku).avail }\n"
	"end";
static const char endless_eval[] = "return ARGV[1]=='99' and " BOMB " and 2 or 1";
static const char endless_library[] = "#!lua name=slow\nredis.register_function('spin', function(keys, args) "
				      "return args[1]=='99' and " BOMB " and 2 or 1 end)";

struct scene {
	struct world world;
	char dir[512];
	int status;      /* exit status of whoever ended */
	char said[2048]; /* by it, on standard error */
	struct log log;
	char line[512]; /* the last of the log that tells what is refused */
};

static void line_cb(void *owner, enum log_level level, const char *line)
{
	struct scene *scene = owner;
	if (strstr(line, "refused") != NULL) { /* where all is slow, scripts are late as well */
		snprintf(scene->line, sizeof scene->line, "%s", line);
	}
}

static void lead(struct scene *scene, uint64_t limit_ms)
{
	scene->line[0] = '\0';
	scene->log = (struct log){LOG_DEBUG, "n1", line_cb, scene};
	struct shard_config config = {.dir = scene->dir, .script_limit_ms = limit_ms, .log = &scene->log};
	world_lead(&scene->world, scene->dir, &config);
}

/* Words that may hold spaces. */
static const char *ask_words_of(struct world *w, const char *const *words, size_t count)
{
	static char text[512];
	struct ask ask;
	ask_init(w, &ask);
	for (size_t i = 0; i < count; i++) {
		ask.argv[i] = slice_str(words[i]);
	}
	ask.commands[0] = (struct request_command){command_find(ask.argv[0]), ask.argv, count, 0};
	ask.request.commands = ask.commands;
	ask.request.command_count = 1;
	ask_send(&ask);
	snprintf(text, sizeof text, "%s", ask_wait(&ask));
	ask_end(&ask);
	return text;
}
#define ASK(w, ...)                                                                                          \
	ask_words_of(w, (const char *const[]){__VA_ARGS__},                                                  \
		     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void read_all(const char *path, char *text, size_t size)
{
	FILE *in = fopen(path, "r");
	size_t got = in == NULL ? 0 : fread(text, 1, size - 1, in);
	text[got] = '\0';
	if (in != NULL) {
		fclose(in);
	}
}

static void new_dir(struct scene *scene, const char *name)
{
	memset(scene, 0, sizeof *scene);
	snprintf(scene->dir, sizeof scene->dir, "%s/%s", tap_dir(), name);
	mkdir(scene->dir, 0700);
}

/* A process plays the story until it is ended. Before this one has threads: the thread sanitizer forks no
 * other. */
static void end(struct scene *scene, void (*story)(struct world *w))
{
	char path[600];
	int status = -1;
	snprintf(path, sizeof path, "%s.said", scene->dir);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		if (freopen(path, "w", stderr) == NULL) {
			_exit(99);
		}
		lead(scene, SHORT_MS);
		for (int i = 0; i < STARTS; i++) {
			story(&scene->world);
		}
		_exit(98);
	}
	waitpid(child, &status, 0);
	read_all(path, scene->said, sizeof scene->said);
	scene->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- a procedure ---- */

static void call_for_ever(struct world *w)
{
	world_bundle(w, "PUSH", endless_lua);
	world_ask(w, "CALL pool.fill sku s qty 5");
	world_ask(w, "CALL pool.take take_id before sku s qty 1");
	world_ask(w, "CALL pool.take take_id t sku s qty 99");
}

static void test_procedure(struct scene *scene)
{
	struct shard_stats stats;
	char path[600], file[2048];
	is_int(scene->status, 1, "a call that does not come back ends the process with 1");
	ok(strstr(scene->said, "fatal: a call of procedure pool.take (hash ") != NULL &&
		   strstr(scene->said, "/procedure/refused: start the node again; push a changed source\n") !=
			   NULL,
	   "and a line says what it was, where that is written, and what to do");
	snprintf(path, sizeof path, "%s/refused", scene->dir);
	read_all(path, file, sizeof file);
	struct refused refused = {.count = 0};
	ok(refused_decode(slice_str(file), &refused) == 0 && refused.count == 1 &&
		   strcmp(refused.scripts[0].name, "pool.take") == 0,
	   "the file in its directory names the procedure");

	struct world *w = &scene->world;
	lead(scene, LONG_MS);
	ok(strstr(scene->line, "script_refused procedure=pool.take hash=") != NULL,
	   "the log of the next start tells what is refused");
	ok(strncmp(world_ask(w, "CALL pool.take take_id t sku s qty 99"),
		   "-SCRIPT_REFUSED {\"outcome\":\"refused\",\"procedure\":\"pool.take\",\"hash\":\"",
		   60) == 0,
	   "the script is refused before it runs");
	ok(strncmp(world_ask(w, "CALL pool.take take_id u sku s qty 1"), "-SCRIPT_REFUSED ", 16) == 0,
	   "with any arguments");
	ok(strstr(world_ask(w, "CALL pool.take take_id before sku s qty 1"), "replayed") != NULL,
	   "a request that was done before gets its answer");
	is_int(world_ask(w, "CALL pool.fill sku s qty 5")[0], '%', "the bundle's other procedures run");
	shard_stats(w->shard, &stats);
	ok(stats.script.refused == 1 && stats.script.refused_calls == 2, "both are counted");
	is_int(world_bundle(w, "PUSH", world_take_lua)[0], '%', "a changed source is pushed");
	is_int(world_ask(w, "CALL pool.take take_id t sku s qty 1")[0], '%', "and runs under the same name");
	world_bundle(w, "PUSH", endless_lua);
	ok(strncmp(world_ask(w, "CALL pool.take take_id v sku s qty 1"), "-SCRIPT_REFUSED ", 16) == 0,
	   "the old source, pushed again, does not");
	world_close(w);

	unlink(path);
	lead(scene, LONG_MS);
	is_int(world_ask(w, "CALL pool.take take_id w sku s qty 1")[0], '%',
	       "without the file it is as any other");
	world_close(w);
}

/* ---- EVAL and FUNCTION ---- */

static void eval_for_ever(struct world *w)
{
	ASK(w, "EVAL", endless_eval, "0", "1");
	ASK(w, "EVAL", endless_eval, "0", "99");
}

static void test_eval(struct scene *scene)
{
	is_int(scene->status, 1, "EVAL is watched as well");
	struct world *w = &scene->world;
	lead(scene, LONG_MS);
	ok(strncmp(ASK(w, "EVAL", endless_eval, "0", "1"), "-SCRIPT_REFUSED ", 16) == 0,
	   "and refused afterwards");
	ok(strncmp(ASK(w, "SCRIPT", "LOAD", endless_eval), "-SCRIPT_REFUSED ", 16) == 0,
	   "so it does not come in by SCRIPT LOAD either");
	is_str(ASK(w, "EVAL", "return 2", "0"), ":2||", "another script runs");
	world_close(w);
}

static void fcall_for_ever(struct world *w)
{
	ASK(w, "FUNCTION", "LOAD", "REPLACE", endless_library);
	ASK(w, "FUNCTION", "LOAD", "REPLACE",
	    "#!lua name=quick\nredis.register_function('two', function() return 2 end)");
	ASK(w, "FCALL", "spin", "0", "1");
	ASK(w, "FCALL", "spin", "0", "99");
}

static void test_function(struct scene *scene)
{
	is_int(scene->status, 1, "FCALL too");
	ok(strstr(scene->said, "a call of library slow (hash ") != NULL, "it is its library that is named");
	struct world *w = &scene->world;
	lead(scene, LONG_MS);
	ok(strncmp(ASK(w, "FCALL", "spin", "0", "1"), "-SCRIPT_REFUSED ", 16) == 0 &&
		   strncmp(ASK(w, "FUNCTION", "LOAD", "REPLACE", endless_library), "-SCRIPT_REFUSED ", 16) ==
			   0,
	   "and refused, called or loaded");
	is_str(ASK(w, "FCALL", "two", "0"), ":2||", "another library's functions run");
	world_close(w);
}

/* ---- EXEC ---- */

#define QUEUE_MS 40 /* an eighth of it is less than the queue takes anywhere, and more than most scripts */
#define QUEUE_SCRIPTS 40
#define QUEUE_SCRIPT "for i = 1, 400000 do end return redis.call('INCR', KEYS[1])"

/* Each script is within its own bounds, and all are within those of the queue's steps. */
static const char *exec_scripts(struct world *w, const char *key)
{
	static struct request_command commands[QUEUE_SCRIPTS];
	static char text[512];
	const struct slice argv[] = {SLICE_LIT("EVAL"), SLICE_LIT(QUEUE_SCRIPT), SLICE_LIT("1"), slice_str(key)};
	struct ask ask;
	ask_init(w, &ask);
	for (size_t i = 0; i < QUEUE_SCRIPTS; i++) {
		commands[i] = (struct request_command){command_find(argv[0]), argv, 4, 0};
	}
	ask.request.kind = REQUEST_EXEC;
	ask.request.commands = commands;
	ask.request.command_count = QUEUE_SCRIPTS;
	ask_send(&ask);
	snprintf(text, sizeof text, "%s", ask_wait(&ask));
	ask_end(&ask);
	return text;
}

static void test_queue(void)
{
	struct scene scene;
	new_dir(&scene, "queue");
	lead(&scene, LONG_MS);
	ok(strncmp(exec_scripts(&scene.world, "k"), "*40||:1||", 9) == 0, "an EXEC of many scripts runs in its time");
	world_close(&scene.world);
	lead(&scene, QUEUE_MS);
	static const char spent[] = "-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the commands and scripts of this EXEC";
	char before[64];
	bool refused = false; /* a machine that gives the alarm no processor lets some through */
	for (int i = 0; i < STARTS && !refused; i++) {
		snprintf(before, sizeof before, "%s", world_ask(&scene.world, "GET k"));
		refused = strncmp(exec_scripts(&scene.world, "k"), spent, sizeof spent - 1) == 0;
	}
	ok(refused, "all of an EXEC has the processor time of one script");
	is_str(world_ask(&scene.world, "GET k"), before, "and nothing of what took longer is written");
	ok(strncmp(ASK(&scene.world, "EVAL", "return 2", "0"), ":2||", 4) == 0, "the next request has its own");
	world_close(&scene.world);
}

/* ---- the file ---- */

static void test_second_entry(struct scene *scene)
{
	is_int(scene->status, 1, "a second script ends the process once as well");
	struct world *w = &scene->world;
	lead(scene, LONG_MS);
	ok(strncmp(ASK(w, "EVAL", endless_eval, "0", "1"), "-SCRIPT_REFUSED ", 16) == 0 &&
		   strncmp(world_ask(w, "CALL pool.take take_id t sku s qty 1"), "-SCRIPT_REFUSED ", 16) == 0,
	   "then both are refused");
	world_close(w);
}

/* Started on a file with this text: it is told, kept aside, and nothing is refused. */
static void damaged(const char *name, const char *text, const char *sentence)
{
	struct scene scene;
	char path[600], kept[2048];
	new_dir(&scene, name);
	snprintf(path, sizeof path, "%s/refused", scene.dir);
	FILE *out = fopen(path, "w");
	fputs(text, out);
	fclose(out);
	lead(&scene, LONG_MS);
	bool told = strstr(scene.line, "refused_damaged file=") != NULL;
	bool serves = strcmp(ASK(&scene.world, "EVAL", "return 2", "0"), ":2||") == 0;
	world_close(&scene.world);
	bool gone = access(path, F_OK) != 0;
	snprintf(path, sizeof path, "%s/refused.damaged", scene.dir);
	snprintf(kept, sizeof kept, "no such file");
	read_all(path, kept, sizeof kept);
	if (!ok(told && serves && gone && strcmp(kept, text) == 0 && access(path, F_OK) == 0, "%s",
		sentence)) {
		tap_note("told %d serves %d gone %d kept %s", told, serves, gone, kept);
	}
}

static void test_damaged(void)
{
	damaged("damaged", "tally-refused 1\ncheck 0123456789abcdef\n",
		"a damaged file is told and set aside, and the node serves");
	damaged("empty", "", "so is an empty one");
	damaged("newer", "tally-refused 2\n", "and one of another format");
}

static void test_unwritable(const struct scene *scene)
{
	is_int(scene->status, 1, "a list that cannot be written does not keep a node alive");
	ok(strstr(scene->said, "it could not be written to ") != NULL, "the line says so");
}

/* ---- all of it ---- */

static void end_all(struct scene *procedure, struct scene *eval, struct scene *function, struct scene *second,
		    struct scene *unwritable)
{
	char path[600];
	new_dir(procedure, "procedure");
	end(procedure, call_for_ever);
	new_dir(eval, "eval");
	end(eval, eval_for_ever);
	new_dir(function, "function");
	end(function, fcall_for_ever);
	new_dir(second, "second");
	end(second, eval_for_ever);
	end(second, call_for_ever);
	new_dir(unwritable, "unwritable");
	snprintf(path, sizeof path, "%s/refused.new", unwritable->dir);
	mkdir(path, 0700);
	end(unwritable, eval_for_ever);
}

int main(void)
{
	struct scene procedure, eval, function, second, unwritable;
	end_all(&procedure, &eval, &function, &second, &unwritable);
	test_procedure(&procedure);
	test_eval(&eval);
	test_function(&function);
	test_second_entry(&second);
	test_queue();
	test_damaged();
	test_unwritable(&unwritable);
	return tap_done();
}
