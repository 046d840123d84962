#include "tests/unit/script_world.h"

#include "command/command.h"
#include "script/internal.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const struct err *err)
{
	printf("Bail out! %s: %s\n", what, err->text);
	exit(1);
}

void world_open(struct world *w)
{
	*w = (struct world){.now_ms = 1000000, .protocol = 3};
	struct err err = {0};
	w->disk = store_disk_new();
	struct store_config config = {
		.dir = "/db", .disk = w->disk, .memtable_bytes = MIB(64), .cache_bytes = MIB(8)};
	if (store_open(&config, &w->store, &err) != 0) {
		die("store", &err);
	}
	w->overlay = overlay_new(w->store, MIB(1), 1);
	w->host = script_host_new(NULL);
	arena_init(&w->arena, KIB(256));
	buf_init(&w->reply, MIB(16));
	overlay_open(w->overlay, ++w->index, w->now_ms);
}

void world_close(struct world *w)
{
	script_host_free(w->host);
	overlay_free(w->overlay);
	store_close(w->store, false);
	store_disk_free(w->disk);
	arena_fini(&w->arena);
	buf_fini(&w->reply);
}

void world_apply(struct world *w)
{
	if (!overlay_open_empty(w->overlay)) {
		struct buf payload;
		struct entry_view view;
		struct err err = {0};
		buf_init(&payload, LIMIT_ENTRY);
		overlay_seal(w->overlay, &payload);
		struct store_meta meta = {.index = w->index, .term = 1};
		if (entry_check(buf_slice(&payload), &view) != 0 ||
		    store_apply(w->store, &view, &meta, &err) != 0) {
			die("apply", &err);
		}
		overlay_forget(w->overlay, w->index);
		buf_fini(&payload);
		overlay_open(w->overlay, ++w->index, w->now_ms);
	} else {
		overlay_restamp(w->overlay, w->now_ms);
	}
}

static size_t count_files(const char *const *files)
{
	size_t count = 0;
	while (files[2 * count] != NULL) {
		count++;
	}
	return count;
}

int world_push(struct world *w, const char *const *files, struct err *err)
{
	size_t count = count_files(files);
	struct script_file list[64];
	if (count > 64) {
		fatal("script_world: %zu files", count);
	}
	for (size_t i = 0; i < count; i++) {
		list[i] = (struct script_file){slice_str(files[2 * i]), slice_str(files[2 * i + 1])};
	}
	struct script_bundle *bundle;
	int status = bundle_compile(SLICE_LIT("commerce"), list, count, w->plain, &bundle, err);
	if (status == 0) {
		script_install(w->host, bundle);
		arena_reset(&w->arena);
		buf_reset(&w->reply);
		struct reply reply = {&w->reply, w->protocol};
		struct txn *txn = txn_begin(w->overlay, &w->arena);
		status = script_push(w->host, txn, &w->arena, SLICE_LIT("commerce"), list, count, &reply);
		if (status == 0) {
			txn_commit(txn);
		} else {
			txn_abort(txn);
		}
	}
	return status;
}

int world_call_argv(struct world *w, struct slice procedure, const struct slice *args, size_t count)
{
	struct script_call *call;
	arena_reset(&w->arena);
	buf_reset(&w->reply);
	struct reply reply = {&w->reply, w->protocol};
	struct txn *txn = txn_begin(w->overlay, &w->arena);
	w->outcome = OUTCOME_REFUSED;
	int status = script_prepare(w->host, txn, &w->arena, procedure, args, count, &call, &reply);
	if (status == 0) {
		script_call_fingerprint(call);
		status = script_run(call, &reply, &w->outcome);
	}
	w->wrote = status == 0 && txn_wrote(txn);
	if (status == 0) {
		txn_commit(txn);
	} else {
		txn_abort(txn);
	}
	return status;
}

int world_call(struct world *w, const char *procedure, ...)
{
	struct slice args[64];
	size_t count = 0;
	va_list list;
	va_start(list, procedure);
	for (const char *text; (text = va_arg(list, const char *)) != NULL;) {
		args[count++] = slice_str(text);
	}
	va_end(list);
	return world_call_argv(w, slice_str(procedure), args, count);
}

int world_command(struct world *w, struct txn *txn, const struct slice *argv, size_t argc)
{
	struct reply reply = {&w->reply, w->protocol};
	const struct command *command = command_find(argv[0]);
	if (command == NULL || !command_check(command, argv, argc, &reply)) {
		return 1;
	}
	if ((command->flags & COMMAND_SCRIPT) != 0) {
		struct script_redis call = {.host = w->host,
					    .txn = txn,
					    .arena = &w->arena,
					    .argv = argv,
					    .argc = argc,
					    .reply = &reply,
					    .random = w->random};
		return script_redis_run(&call);
	}
	struct command_call call = {.command = command,
				    .txn = txn,
				    .arena = &w->arena,
				    .argv = argv,
				    .argc = argc,
				    .reply = &reply,
				    .random = w->random};
	return command_run(&call);
}

const char *world_reply(const struct world *w)
{
	struct buf *reply = (struct buf *)(uintptr_t)&w->reply;
	uint8_t *end = buf_reserve(reply, 1);
	if (end == NULL) {
		return "(too long)";
	}
	*end = 0;
	return (const char *)reply->data;
}

/* ---- bundles from disk ---- */

static char *read_whole(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL) {
		printf("Bail out! cannot read %s\n", path);
		exit(1);
	}
	char *text = calloc(1, 70000);
	size_t len = fread(text, 1, 69999, file);
	text[len] = '\0';
	fclose(file);
	return text;
}

static void read_dir(const char *root, const char *below, char **files, size_t *count)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/%s", root, below);
	DIR *dir = opendir(path);
	if (dir == NULL) {
		printf("Bail out! cannot open %s\n", path);
		exit(1);
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char name[600];
		size_t len = strlen(entry->d_name);
		snprintf(name, sizeof name, "%s%s%s", below, below[0] == '\0' ? "" : "/", entry->d_name);
		if (entry->d_name[0] == '.' || strcmp(name, "tests") == 0) {
			continue;
		}
		if (len > 4 && strcmp(entry->d_name + len - 4, ".lua") == 0) {
			snprintf(path, sizeof path, "%s/%s", root, name);
			files[(*count)++] = strdup(name);
			files[(*count)++] = read_whole(path);
		} else if (strchr(entry->d_name, '.') == NULL) {
			read_dir(root, name, files, count);
		}
	}
	closedir(dir);
}

char **world_read_bundle(const char *dir)
{
	char **files = calloc(2 * 256 + 1, sizeof *files);
	size_t count = 0;
	read_dir(dir, "", files, &count);
	return files;
}

void world_free_bundle(char **files)
{
	for (size_t i = 0; files[i] != NULL; i++) {
		free(files[i]);
	}
	free(files);
}
