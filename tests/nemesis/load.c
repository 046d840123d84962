#include "tests/nemesis/load.h"

#include "tests/check/verdict.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t load_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void closed_cb(void *data)
{
	struct load_client *client = data;
	client->closed = true;
}

/* ---- asking again ---- */

/* Who was left in the dark is asked about again, mostly over another node; sometimes also what was answered.
 */
static void ask_again_later(struct load_client *client)
{
	struct load *load = client->load;
	bool dark = client->op.outcome == HISTORY_INFO;
	if (client->request_id[0] == '\0' || client->op.outcome == HISTORY_FAIL ||
	    load->again_count == LOAD_AGAIN_MAX || !prng_chance(&load->prng, dark ? 3 : 1, dark ? 4 : 30)) {
		return;
	}
	struct load_again *again = &load->again[load->again_count++];
	again->op = client->op;
	memcpy(again->parts, client->parts, sizeof(again->parts));
	memcpy(again->request_id, client->request_id, sizeof(again->request_id));
}

/* Only the question is left of it. */
static bool take_again(struct load_client *client)
{
	struct load *load = client->load;
	unsigned at = 0;
	while (at < load->again_count && load->again[at].op.client == client->id) {
		at++;
	}
	if (at == load->again_count || !prng_chance(&load->prng, 1, 2)) {
		return false;
	}
	const struct history_op *asked = &load->again[at].op;
	client->op = (struct history_op){.client = client->id,
					 .function = asked->function,
					 .key = asked->key,
					 .value = asked->value,
					 .expected = asked->expected,
					 .part_count = asked->part_count,
					 .parts = client->parts,
					 .code = ""};
	for (size_t i = 0; i < asked->part_count; i++) {
		const struct history_part *part = &load->again[at].parts[i];
		client->parts[i] =
			(struct history_part){.append = part->append, .key = part->key, .value = part->value};
	}
	memcpy(client->request_id, load->again[at].request_id, sizeof(client->request_id));
	load->again[at] = load->again[--load->again_count];
	load->repeated++;
	return true;
}

static bool only_looks(const struct history_op *op)
{
	return op->function == HISTORY_READ || op->function == HISTORY_BALANCES ||
	       op->function == HISTORY_LINKS;
}

/* ---- a client ---- */

static void draw(struct load_client *client)
{
	client->op = (struct history_op){.client = client->id, .code = ""};
	client->request_id[0] = '\0';
	client->load->workload->draw(client);
	if (client->request_id[0] == '\0' && !only_looks(&client->op)) {
		tally_id_make(client->tally, client->request_id);
	}
}

static void next(struct load_client *client)
{
	struct load *load = client->load;
	if (load_now_us() >= load->ends_us) {
		client->busy = false;
		uv_close((uv_handle_t *)&client->pause, NULL);
		tally_close(client->tally, closed_cb, client);
		return;
	}
	if (!take_again(client)) {
		draw(client);
	}
	client->op.invoked_us = load_now_us();
	load->workload->ask(client);
}

static void pause_cb(uv_timer_t *timer)
{
	next(timer->data);
}

static void record(struct load_client *client)
{
	struct tally_call *call = &client->call;
	struct history_op *op = &client->op;
	op->attempts = tally_call_attempts(call);
	op->returned_us = load_now_us();
	op->code = tally_call_code(call);
	op->id = client->request_id;
	op->replayed = tally_call_replayed(call);
	switch (tally_call_outcome(call)) {
	case TALLY_DONE:
		op->outcome = HISTORY_OK;
		break;
	case TALLY_UNKNOWN:
		op->outcome = HISTORY_INFO;
		op->returned_us = HISTORY_NEVER;
		break;
	default:
		op->outcome = HISTORY_FAIL;
	}
	if (op->outcome == HISTORY_OK && !client->load->workload->answer(client, tally_call_value(call))) {
		client->load->nonsense = true;
		snprintf(client->load->nonsense_text, sizeof(client->load->nonsense_text),
			 "client %u: an answer that makes no sense to function %d", client->id,
			 (int)op->function);
	}
	history_add(&client->load->history, op);
}

void load_done(struct tally_call *call)
{
	struct load_client *client = call->data;
	struct load *load = client->load;
	record(client);
	ask_again_later(client);
	uv_timer_start(&client->pause, pause_cb, pace_wait_ms(&load->pace, &load->prng, uv_now(&load->loop)),
		       0);
}

static int open_clients(struct load *load, struct err *err)
{
	load->clients = calloc(load->client_count, sizeof(*load->clients));
	for (unsigned i = 0; i < load->client_count; i++) {
		struct load_client *client = &load->clients[i];
		client->load = load;
		client->id = i;
		client->busy = true;
		client->call.data = client;
		client->tally = tally_open(&load->loop, &load->options, err->text, sizeof(err->text));
		if (client->tally == NULL) {
			return ERR_INVALID;
		}
		uv_timer_init(&load->loop, &client->pause);
		client->pause.data = client;
		uv_timer_start(&client->pause, pause_cb, i, 0);
	}
	return 0;
}

static void report(const struct load *load)
{
	size_t counts[3] = {0}, repeats = 0;
	for (size_t i = 0; i < load->history.count; i++) {
		const struct history_op *op = &load->history.ops[i];
		counts[op->outcome]++;
		repeats += op->attempts > 1;
	}
	printf("load workload=%s operations=%zu ok=%zu fail=%zu unknown=%zu repeated=%zu again=%u\n",
	       load->workload->name, load->history.count, counts[HISTORY_OK], counts[HISTORY_FAIL],
	       counts[HISTORY_INFO], repeats, load->repeated);
}

int load_verdict(const struct load *load, struct err *err)
{
	struct verdict verdict;
	int rc = verdict_of(&load->history, &verdict, err);
	printf("judge %s requests=%zu ok=%zu unknown=%zu\n", load->workload->name, verdict.operations,
	       verdict.ok, verdict.unknown);
	return rc;
}

static int run(struct load *load, const char *history_path, struct err *err)
{
	struct tally_sync *sync = tally_sync_open(&load->options, err->text, sizeof(err->text));
	int rc = sync == NULL ? ERR_INVALID : load->workload->prepare(load, sync, err);
	if (rc != 0) {
		tally_sync_close(sync);
		return rc;
	}
	printf("ready\n");
	fflush(stdout);
	load->ends_us = load_now_us() + load->seconds * 1000000;
	rc = open_clients(load, err);
	if (rc == 0) {
		uv_run(&load->loop, UV_RUN_DEFAULT);
		report(load);
		rc = load->workload->judge(load, sync, err);
	}
	FILE *out = history_path != NULL ? fopen(history_path, "w") : NULL;
	if (out != NULL) {
		history_write(&load->history, out);
		fclose(out);
	}
	if (rc == 0 && load->nonsense) {
		rc = err_set(err, ERR_INVALID, "%s", load->nonsense_text);
	}
	tally_sync_close(sync);
	return rc;
}

static const struct workload *find_workload(const char *name)
{
	const struct workload *all[] = {&workload_register, &workload_append, &workload_sale, &workload_bank,
					&workload_ring};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i]->name, name) == 0) {
			return all[i];
		}
	}
	return NULL;
}

#define RATE_MAX 100000 /* what ten clients ask for in waves of a tenth of a millisecond */

static int usage(void)
{
	fprintf(stderr,
		"usage: nemesis-load --servers a,b,c --workload register|append|sale|bank|ring [--clients N] "
		"[--seconds S]\n"
		"       [--timeout-ms T] [--rate OPERATIONS] [--think-ms MS] [--seed S] [--history FILE]\n"
		"--rate: a second, of all clients together, up to 100000; without it each thinks up to "
		"--think-ms\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"servers", 1, 0, 's'},    {"workload", 1, 0, 'w'},
		{"clients", 1, 0, 'c'},    {"seconds", 1, 0, 't'},
		{"timeout-ms", 1, 0, 'o'}, {"rate", 1, 0, 'p'},
		{"think-ms", 1, 0, 'i'},   {"seed", 1, 0, 'r'},
		{"history", 1, 0, 'h'},    {0},
	};
	struct load load = {
		.client_count = 10, .seconds = 10, .timeout_ms = 5000, .pace = {.think_ms = 10}, .seed = 1};
	const char *history_path = NULL;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 's':
			load.servers = optarg;
			break;
		case 'w':
			load.workload = find_workload(optarg);
			break;
		case 'c':
			load.client_count = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			load.seconds = strtoul(optarg, NULL, 10);
			break;
		case 'o':
			load.timeout_ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			load.pace.rate = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'i':
			load.pace.think_ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			load.seed = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			history_path = optarg;
			break;
		default:
			return usage();
		}
	}
	if (load.servers == NULL || load.workload == NULL || load.client_count == 0 || load.seconds == 0 ||
	    load.pace.rate > RATE_MAX) {
		return usage();
	}
	struct err err = {0};
	load.options.servers = load.servers;
	load.pace.clients = load.client_count;
	prng_init(&load.prng, load.seed);
	history_init(&load.history);
	uv_loop_init(&load.loop);
	int rc = run(&load, history_path, &err);
	printf("verdict %s%s%s\n", rc == 0 ? "holds" : "BROKEN", rc == 0 ? "" : ": ", err.text);
	uv_loop_close(&load.loop);
	history_fini(&load.history);
	free(load.clients);
	return rc == 0 ? 0 : 1;
}
