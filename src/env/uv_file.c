/* Files of the libuv body: plain blocking calls, for lanes' threads and for
 * start-up. Nothing here touches the env. */
#include "env/uv_body.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ZEROES_BYTES (256 * 1024)

struct uv_file {
	struct env_file file;
	int fd;
	bool resized; /* fdatasync need not carry a size that no read needs; fsync does */
};

struct uv_lock {
	struct env_lock lock;
	int fd;
};

static struct uv_file *file_of(struct env_file *file) { return (struct uv_file *)file; }

static int last_error(void) { return uv_env_error(errno); }

int uv_file_open(struct env *env, const char *path, unsigned flags, struct env_file **file)
{
	int access = (flags & ENV_FILE_WRITE) == 0 ? O_RDONLY : (flags & ENV_FILE_READ) == 0 ? O_WRONLY : O_RDWR;
	if ((flags & ENV_FILE_CREATE) != 0) {
		access |= O_CREAT;
	}
	if ((flags & ENV_FILE_EXCLUSIVE) != 0) {
		access |= O_EXCL;
	}
	int fd = open(path, access | O_CLOEXEC, 0600);
	if (fd < 0) {
		return last_error();
	}
	struct uv_file *opened = malloc(sizeof(*opened));
	if (opened == NULL) {
		fatal("out of memory opening %s", path);
	}
	*opened = (struct uv_file){{env}, fd, false};
	*file = &opened->file;
	return 0;
}

void uv_file_close(struct env_file *base)
{
	struct uv_file *file = file_of(base);
	close(file->fd);
	free(file);
}

int uv_file_read(struct env_file *base, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	struct uv_file *file = file_of(base);
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(file->fd, (uint8_t *)bytes + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return last_error();
		}
		if (n == 0) {
			break;
		}
		done += (size_t)n;
	}
	*got = done;
	return 0;
}

int uv_file_write(struct env_file *base, uint64_t offset, const void *bytes, size_t len)
{
	struct uv_file *file = file_of(base);
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(file->fd, (const uint8_t *)bytes + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return last_error();
		}
		done += (size_t)n;
	}
	return 0;
}

int uv_file_sync(struct env_file *base)
{
	struct uv_file *file = file_of(base);
	/* Never repeated after a failure: the kernel may have marked the lost pages clean. */
	int status = file->resized ? fsync(file->fd) : fdatasync(file->fd);
	if (status != 0) {
		return last_error();
	}
	file->resized = false;
	return 0;
}

int uv_file_truncate(struct env_file *base, uint64_t size)
{
	struct uv_file *file = file_of(base);
	file->resized = true;
	while (ftruncate(file->fd, (off_t)size) != 0) {
		if (errno != EINTR) {
			return last_error();
		}
	}
	return 0;
}

int uv_file_allocate(struct env_file *base, uint64_t size)
{
	static const uint8_t zeroes[ZEROES_BYTES];
	struct uv_file *file = file_of(base);
	uint64_t at = 0;
	int status = uv_file_size(base, &at);
	if (status != 0 || at >= size) {
		return status;
	}
	file->resized = true;
	/* One extent if the file system can, and "no space" before the first zero. Where it cannot, writing will tell. */
	if (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)(size - at)) != 0 && errno == ENOSPC) {
		return ERR_NO_SPACE;
	}
	while (at < size) {
		size_t len = size - at < ZEROES_BYTES ? (size_t)(size - at) : ZEROES_BYTES;
		status = uv_file_write(base, at, zeroes, len);
		if (status != 0) {
			return status;
		}
		at += len;
	}
	return 0;
}

int uv_file_size(struct env_file *base, uint64_t *size)
{
	struct stat stat;
	if (fstat(file_of(base)->fd, &stat) != 0) {
		return last_error();
	}
	*size = (uint64_t)stat.st_size;
	return 0;
}

int uv_file_mkdir(struct env *env, const char *path) { return mkdir(path, 0700) == 0 ? 0 : last_error(); }

int uv_file_rename(struct env *env, const char *from, const char *to)
{
	return rename(from, to) == 0 ? 0 : last_error();
}

int uv_file_unlink(struct env *env, const char *path) { return unlink(path) == 0 ? 0 : last_error(); }

int uv_file_dir_sync(struct env *env, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return last_error();
	}
	int status = fsync(fd) == 0 ? 0 : last_error();
	close(fd);
	return status;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names, sorted; the caller frees each and the array. */
static int read_names(const char *path, char ***names, size_t *count)
{
	DIR *dir = opendir(path);
	if (dir == NULL) {
		return last_error();
	}
	char **list = NULL;
	size_t used = 0;
	size_t cap = 0;
	struct dirent *entry;
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
			continue;
		}
		if (used == cap) {
			cap = cap == 0 ? 64 : cap * 2;
			list = realloc(list, cap * sizeof(*list));
		}
		char *name = list == NULL ? NULL : strdup(entry->d_name);
		if (name == NULL) {
			fatal("out of memory listing %s", path);
		}
		list[used++] = name;
	}
	int status = errno == 0 ? 0 : last_error();
	closedir(dir);
	if (used > 0) {
		qsort(list, used, sizeof(*list), compare_names);
	}
	*names = list;
	*count = used;
	return status;
}

int uv_file_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name), void *owner)
{
	char **names = NULL;
	size_t count = 0;
	int status = read_names(path, &names, &count);
	for (size_t i = 0; i < count; i++) {
		if (status == 0) {
			status = visit(owner, names[i]);
		}
		free(names[i]);
	}
	free(names);
	return status;
}

int uv_file_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct statvfs space;
	if (statvfs(path, &space) != 0) {
		return last_error();
	}
	*bytes = (uint64_t)space.f_bavail * space.f_frsize;
	return 0;
}

/* flock belongs to the open file, not to the process: a second open in this process is refused too. */
int uv_file_lock_take(struct env *env, const char *path, struct env_lock **lock)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		return last_error();
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int status = errno == EWOULDBLOCK ? ERR_LOCKED : last_error();
		close(fd);
		return status;
	}
	struct uv_lock *taken = malloc(sizeof(*taken));
	if (taken == NULL) {
		fatal("out of memory locking %s", path);
	}
	*taken = (struct uv_lock){{env}, fd};
	*lock = &taken->lock;
	return 0;
}

void uv_file_lock_release(struct env_lock *base)
{
	struct uv_lock *lock = (struct uv_lock *)base;
	close(lock->fd);
	free(lock);
}
