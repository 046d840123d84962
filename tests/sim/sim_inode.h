/* Private to the simulated disk: what lies on it.
 *
 * A file has two images, what the kernel holds (now) and what the platter holds
 * (old); a directory has two lists of entries and the operations between them. */
#ifndef TESTS_SIM_SIM_INODE_H
#define TESTS_SIM_SIM_INODE_H

#include "tests/sim/sim_body.h"

#define SIM_SECTOR 512
#define SIM_NAME_BYTES 64

struct inode;

struct entry {
	char name[SIM_NAME_BYTES];
	struct inode *inode;
};
struct entries {
	struct entry *list; /* in byte order of name */
	size_t count, cap;
};

enum op_kind { OP_LINK, OP_UNLINK, OP_RENAME };
struct op {
	enum op_kind kind;
	char name[SIM_NAME_BYTES], to[SIM_NAME_BYTES];
	struct inode *inode;
};

struct image {
	uint8_t *bytes; /* cap of them, zeroes behind size */
	uint64_t size;
	size_t cap;
};

struct inode {
	struct list link; /* of the disk, in order of making */
	struct sim_disk *disk;
	unsigned refs; /* entries, operations, handles */
	bool is_dir;
	bool ghost; /* without a name now: its space is free, though a power cut may bring it back */
	/* a file */
	struct image now, old;
	uint64_t dirty_from, dirty_to; /* bytes that may differ; none when equal */
	uint64_t last_from, last_two_from; /* where the last write began, and the last two */
	uint64_t last_number;              /* of that write, among all of the disk; 0: none */
	/* a directory */
	struct entries entries, synced;
	struct op *ops;
	size_t op_count, op_cap;
	uint64_t ops_over; /* how many came before those */
};

struct sim_disk {
	struct inode *root;
	struct list inodes;
	uint64_t used;
	uint64_t writes;
};

/* ---- images ---- */

void sim_image_reserve(struct image *image, uint64_t size);
void sim_image_resize(struct image *image, uint64_t size);
/* Copies [from, to); beyond an image's end there are zeroes. */
void sim_image_copy(struct image *into, const struct image *source, uint64_t from, uint64_t to);

/* ---- inodes and entries ---- */

struct inode *sim_inode_new(struct sim_disk *disk, bool is_dir);
struct inode *sim_inode_ref(struct inode *inode);
void sim_inode_unref(struct inode *inode);
struct inode *sim_entries_find(const struct entries *entries, const char *name);
void sim_entries_set(struct entries *entries, const char *name, struct inode *inode);
void sim_entries_assign(struct entries *to, const struct entries *from);
void sim_entries_clear(struct entries *entries);
/* Does an operation on the directory as the kernel sees it, and remembers it. */
void sim_dir_do(struct inode *dir, enum op_kind kind, const char *name, const char *to, struct inode *inode);
void sim_op_apply(struct entries *entries, const struct op *op);
void sim_ops_clear(struct inode *dir);
/* The platter knows all operations before number until. */
void sim_dir_settle(struct inode *dir, uint64_t until);
/* The same, but of each of them only by chance. */
void sim_dir_forget(struct inode *dir, uint64_t until, struct prng *prng);
/* What loses its name gives its space back (hard links we have none). */
void sim_inode_release_space(struct inode *inode);

/* ---- paths ---- */

/* The directory that holds path's last name, which goes to name. NULL when it is not there. */
struct inode *sim_disk_walk(struct sim_disk *disk, const char *path, char name[SIM_NAME_BYTES]);
struct inode *sim_disk_find(struct sim_disk *disk, const char *path);

/* ---- what every call passes ---- */

/* 0, or ERR_IO when the power went before this call. */
int sim_disk_call(struct sim_env *e, size_t bytes);
bool sim_disk_chance(struct sim_host *host, uint32_t per_million);
/* Counts and traces a fault of the disk. ERR_IO. */
int sim_disk_error(struct sim_env *e, const char *kind);

/* The platter as it is when not all of what is dirty reached it after a failed sync. Nothing is dirty afterwards. */
void sim_crash_after_bad_sync(struct sim *sim, struct inode *file);

void sim_disk_forget_locks(struct sim_env *e); /* sim_dir.c */

#endif /* TESTS_SIM_SIM_INODE_H */
