/* Whose data a directory holds. */
#include "server/identity.h"

#include "env/uv_env.h"
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[512];

static int open_as(struct env *env, uint64_t cluster, uint64_t node, bool bootstrap,
		   struct identity *identity, struct err *err)
{
	memset(err, 0, sizeof *err);
	return identity_open(env, dir, cluster, node, bootstrap, identity, err);
}

static void fresh_dir(const char *name)
{
	snprintf(dir, sizeof dir, "%s/%s", tap_dir(), name);
}

static void overwrite(const char *name, long at, const char *text)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *file = fopen(path, at < 0 ? "w" : "r+");
	fseek(file, at < 0 ? 0 : at, SEEK_SET);
	fputs(text, file);
	fclose(file);
}

static void test_new(struct env *env)
{
	struct identity identity, second;
	struct err err;
	struct stat is;
	fresh_dir("new");
	is_int(open_as(env, 7, 1, true, &identity, &err), 0, "an absent directory is made (%s)", err.text);
	ok(identity.fresh, "and is told to be new");
	ok(stat(dir, &is) == 0 && (is.st_mode & 0777) == 0700, "for its owner only");
	is_int(open_as(env, 7, 1, true, &second, &err), ERR_LOCKED, "a second process is refused");
	ok(strstr(err.text, "is this node running already?") != NULL, "with a line: %s", err.text);
	uint64_t incarnation = identity.incarnation;
	identity_close(&identity);
	is_int(open_as(env, 7, 1, false, &identity, &err), 0,
	       "later it is found again, also without bootstrap");
	ok(!identity.fresh && identity.incarnation == incarnation, "as the same one");
	identity_close(&identity);
	is_int(open_as(env, 8, 1, true, &identity, &err), ERR_INVALID, "another cluster is refused");
	ok(strstr(err.text, "is of another cluster") != NULL, "with a line: %s", err.text);
	is_int(open_as(env, 7, 2, true, &identity, &err), ERR_INVALID, "another node is refused");
	ok(strstr(err.text, "is of node 1, this is node 2") != NULL, "with a line: %s", err.text);
	is_int(open_as(env, 7, 1, true, &identity, &err), 0, "a refusal holds no lock");
	identity_close(&identity);
}

static void test_damage(struct env *env)
{
	struct identity identity;
	struct err err;
	fresh_dir("damaged");
	open_as(env, 7, 1, true, &identity, &err);
	identity_close(&identity);
	char path[600], whole[512] = "";
	snprintf(path, sizeof path, "%s/identity", dir);
	FILE *file = fopen(path, "r");
	size_t len = fread(whole, 1, sizeof whole, file);
	fclose(file);
	size_t taken = 0, silent = 0;
	for (size_t i = 0; i < len; i++) {
		char one[2] = {whole[i] == '0' ? '1' : '0', '\0'};
		overwrite("identity", (long)i, one);
		taken += open_as(env, 7, 1, true, &identity, &err) == 0;
		silent += err.text[0] == '\0';
		one[0] = whole[i];
		overwrite("identity", (long)i, one);
	}
	is_int(taken, 0, "no changed byte is taken");
	is_int(silent, 0, "each is told");
	overwrite("identity", 11, "2");
	is_int(open_as(env, 7, 1, true, &identity, &err), ERR_VERSION, "a newer format is told apart: %s",
	       err.text);
	overwrite("identity", -1, "");
	is_int(open_as(env, 7, 1, true, &identity, &err), ERR_CORRUPT, "an empty file is damage: %s",
	       err.text);
}

static void test_missing(struct env *env)
{
	struct identity identity;
	struct err err;
	char path[600];
	fresh_dir("lost");
	is_int(open_as(env, 7, 1, false, &identity, &err), ERR_NOT_FOUND,
	       "without bootstrap nothing is made up: %s", err.text);
	snprintf(path, sizeof path, "%s/log", dir);
	mkdir(path, 0700);
	is_int(open_as(env, 7, 1, true, &identity, &err), ERR_CORRUPT, "data without identity is refused: %s",
	       err.text);
	fresh_dir("no/such/parent");
	is_int(open_as(env, 7, 1, true, &identity, &err), ERR_NOT_FOUND, "no directory above: %s", err.text);
	fresh_dir("file");
	FILE *file = fopen(dir, "w");
	fclose(file);
	ok(open_as(env, 7, 1, true, &identity, &err) < 0, "a file in its place: %s", err.text);
}

int main(void)
{
	struct env *env = uv_env_new(NULL);
	test_new(env);
	test_damage(env);
	test_missing(env);
	uv_env_free(env, NULL, NULL);
	return tap_done();
}
