/* Outcomes: what a program does about each way a call can end. Three of the five
 * come here: done, refused and retry.
 *
 *   ./outcomes 127.0.0.1:7401 */
#include <stdio.h>
#include <tally.h>

static void show(const char *what, const struct tally_call *call)
{
	static const char *const actions[] = {
		[TALLY_DONE] = "go on",
		[TALLY_REFUSED] = "tell the user; asking again cannot help",
		[TALLY_CONFLICT] = "read again, decide again, ask under a new id",
		[TALLY_RETRY] = "nothing happened: ask again later, same id",
		[TALLY_UNKNOWN] = "it may have happened: ask again now, same id",
	};
	enum tally_outcome outcome = tally_call_outcome(call);
	printf("%-34s %-9s %-20s -> %s\n", what, tally_outcome_name(outcome), tally_call_code(call),
	       actions[outcome]);
}

int main(int argc, char **argv)
{
	char error[256];
	struct tally_options options = {.servers = argc > 1 ? argv[1] : "127.0.0.1:7401"};
	struct tally_sync *shop = tally_sync_open(&options, error, sizeof(error));
	if (shop == NULL) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	char id[TALLY_ID_SIZE];
	tally_id_make(tally_sync_client(shop), id);
	const char *const set[] = {"SET", "word", "text"};
	show("a write", tally_sync_command(shop, id, set, NULL, 3, 0, 5000));

	const char *const other[] = {"SET", "word", "other text"};
	show("another one under the same id", tally_sync_command(shop, id, other, NULL, 3, 0, 5000));

	const char *const add[] = {"INCR", "word"};
	tally_id_make(tally_sync_client(shop), id);
	show("adding to a text", tally_sync_command(shop, id, add, NULL, 2, 0, 5000));
	tally_sync_close(shop);

	/* Nobody listens on this port: nothing can have happened. */
	options.servers = "127.0.0.1:1";
	shop = tally_sync_open(&options, error, sizeof(error));
	show("a write to a cluster that is away", tally_sync_command(shop, id, set, NULL, 3, 0, 200));
	tally_sync_close(shop);
	return 0;
}
