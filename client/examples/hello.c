/* Hello: set a key and read it back, one call at a time.
 *
 *   cc hello.c -o hello $(pkg-config --cflags --libs tally)
 *   ./hello 127.0.0.1:7401 */
#include <stdio.h>
#include <tally.h>

int main(int argc, char **argv)
{
	char error[256];
	struct tally_options options = {.servers = argc > 1 ? argv[1] : "127.0.0.1:7401"};
	struct tally_sync *shop = tally_sync_open(&options, error, sizeof(error));
	if (shop == NULL) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}

	/* A write carries a request id: it is repeated after a lost connection, and happens once. */
	char id[TALLY_ID_SIZE];
	tally_id_make(tally_sync_client(shop), id);
	const char *const set[] = {"SET", "greeting", "hello"};
	const struct tally_call *call = tally_sync_command(shop, id, set, NULL, 3, 0, 5000);
	if (tally_call_outcome(call) != TALLY_DONE) {
		fprintf(stderr, "%s: %s\n", tally_outcome_name(tally_call_outcome(call)),
			tally_call_message(call));
		tally_sync_close(shop);
		return 1;
	}

	/* A read needs none. */
	const char *const get[] = {"GET", "greeting"};
	call = tally_sync_command(shop, NULL, get, NULL, 2, TALLY_READ, 5000);
	const char *text = tally_value_text(tally_call_value(call), NULL);
	printf("%s\n", text != NULL ? text : "(nothing)");
	tally_sync_close(shop);
	return text != NULL ? 0 : 1;
}
