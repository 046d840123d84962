/* judge-history FILE...: reads recorded histories (docs/history.md) and holds
 * each against every judge. Exit 0: all accepted, 1: a demand is broken, 2: cannot be read. */
#include "tests/check/verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int judge(const char *path)
{
	struct history history;
	struct verdict verdict;
	struct err err = {0};
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (in == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 2;
	}
	history_init(&history);
	int status = 2;
	if (history_read(&history, in, &err) != 0) {
		fprintf(stderr, "%s: %s\n", path, err.text);
	} else {
		status = verdict_of(&history, &verdict, &err) == 0 ? 0 : 1;
		printf("%s %s: %zu requests (%zu ok, %zu failed, %zu unknown), %zu registers (%zu "
		       "undecided), %zu log entries, "
		       "%zu databases%s%s\n",
		       status == 0 ? "holds" : "BROKEN", path, verdict.operations, verdict.ok, verdict.failed,
		       verdict.unknown, verdict.keys, verdict.undecided, verdict.entries, verdict.hashes,
		       status == 0 ? "" : ": ", status == 0 ? "" : err.text);
	}
	history_fini(&history);
	if (in != stdin) {
		fclose(in);
	}
	return status;
}

int main(int argc, char **argv)
{
	int worst = argc < 2 ? 2 : 0;
	if (argc < 2) {
		fprintf(stderr, "usage: judge-history FILE...   (- is standard input)\n");
	}
	for (int i = 1; i < argc; i++) {
		int status = judge(argv[i]);
		worst = status > worst ? status : worst;
	}
	return worst;
}
