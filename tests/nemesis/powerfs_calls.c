/* The kernel's calls, answered from the volume. Each answers exactly once. */
#include "tests/nemesis/powerfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static struct powerfs *of(fuse_req_t request)
{
	return fuse_req_userdata(request);
}

/* NULL, and an answer was given, when what the kernel names was cut off. */
static struct inode *inode_of(fuse_req_t request, fuse_ino_t id)
{
	struct inode *inode = volume_inode(&of(request)->volume, id);
	if (inode == NULL) {
		fuse_reply_err(request, id == VOLUME_ROOT ? EIO : ESTALE);
	}
	return inode;
}

static struct inode *folder_of(fuse_req_t request, fuse_ino_t id)
{
	struct inode *folder = inode_of(request, id);
	if (folder != NULL && !S_ISDIR(folder->mode)) {
		fuse_reply_err(request, ENOTDIR);
		return NULL;
	}
	return folder;
}

static struct inode *file_of(fuse_req_t request, fuse_ino_t id)
{
	struct inode *file = inode_of(request, id);
	if (file != NULL && !S_ISREG(file->mode)) {
		fuse_reply_err(request, EISDIR);
		return NULL;
	}
	return file;
}

static void reply(fuse_req_t request, int status)
{
	fuse_reply_err(request, -status);
}

static void touch(struct inode *inode)
{
	clock_gettime(CLOCK_REALTIME, &inode->changed_at);
}

static struct stat stat_of(const struct inode *inode)
{
	return (struct stat){
		.st_ino = inode->id,
		.st_mode = inode->mode,
		.st_nlink = inode->links + (S_ISDIR(inode->mode) ? 2 : 0),
		.st_size = (off_t)inode->now_size,
		.st_blocks = (blkcnt_t)((inode->now_size + 511) / 512),
		.st_blksize = 4096,
		.st_mtim = inode->changed_at,
		.st_ctim = inode->changed_at,
		.st_atim = inode->changed_at,
	};
}

/* Nothing is remembered by the kernel but pages of a file that is open: after a cut all is asked anew. */
static struct fuse_entry_param entry_of(const struct inode *inode)
{
	return (struct fuse_entry_param){.ino = inode->id, .generation = 1, .attr = stat_of(inode)};
}

static void reply_entry(fuse_req_t request, const struct inode *inode)
{
	struct fuse_entry_param entry = entry_of(inode);
	fuse_reply_entry(request, &entry);
}

/* ---- names ---- */

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *text)
{
	struct inode *folder = folder_of(request, parent);
	if (folder == NULL) {
		return;
	}
	struct inode *inode = volume_lookup(folder, text);
	if (inode == NULL) {
		fuse_reply_err(request, ENOENT);
		return;
	}
	reply_entry(request, inode);
}

static struct inode *make(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode)
{
	struct inode *folder = folder_of(request, parent);
	struct inode *made = NULL;
	if (folder == NULL) {
		return NULL;
	}
	int status = volume_make(&of(request)->volume, folder, text, mode, &made);
	if (status != 0) {
		reply(request, status);
		return NULL;
	}
	touch(folder);
	return made;
}

static void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode)
{
	struct inode *made = make(request, parent, text, S_IFDIR | (mode & 07777));
	if (made != NULL) {
		reply_entry(request, made);
	}
}

static void on_mknod(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode, dev_t device)
{
	if (!S_ISREG(mode)) {
		fuse_reply_err(request, EPERM);
		return;
	}
	struct inode *made = make(request, parent, text, mode);
	if (made != NULL) {
		reply_entry(request, made);
	}
}

static bool is_table(const char *text)
{
	size_t len = strlen(text);
	return len > 4 && strcmp(text + len - 4, ".sst") == 0;
}

static void on_create(fuse_req_t request, fuse_ino_t parent, const char *text, mode_t mode,
		      struct fuse_file_info *info)
{
	if (of(request)->fail_table && is_table(text)) {
		fuse_reply_err(request, EIO);
		return;
	}
	struct inode *made = make(request, parent, text, S_IFREG | (mode & 07777));
	if (made != NULL) {
		struct fuse_entry_param entry = entry_of(made);
		made->opened++;
		fuse_reply_create(request, &entry, info);
	}
}

static void on_remove(fuse_req_t request, fuse_ino_t parent, const char *text)
{
	struct inode *folder = folder_of(request, parent);
	if (folder != NULL) {
		touch(folder);
		reply(request, volume_unlink(&of(request)->volume, folder, text));
	}
}

static void on_rename(fuse_req_t request, fuse_ino_t parent, const char *text, fuse_ino_t new_parent,
		      const char *new_text, unsigned flags)
{
	struct inode *from = folder_of(request, parent);
	struct inode *to = from == NULL ? NULL : folder_of(request, new_parent);
	if (to == NULL) {
		return;
	}
	if (flags != 0) {
		fuse_reply_err(request, EINVAL);
		return;
	}
	touch(from);
	touch(to);
	reply(request, volume_rename(&of(request)->volume, from, text, to, new_text));
}

static void on_link(fuse_req_t request, fuse_ino_t id, fuse_ino_t parent, const char *text)
{
	struct inode *inode = file_of(request, id);
	struct inode *folder = inode == NULL ? NULL : folder_of(request, parent);
	if (folder == NULL) {
		return;
	}
	int status = volume_link(&of(request)->volume, inode, folder, text);
	if (status != 0) {
		reply(request, status);
		return;
	}
	touch(folder);
	reply_entry(request, inode);
}

static void on_opendir(fuse_req_t request, fuse_ino_t id, struct fuse_file_info *info)
{
	if (folder_of(request, id) != NULL) {
		fuse_reply_open(request, info);
	}
}

/* The position of a name is its place in the list: who removes while he lists may miss one, as POSIX allows.
 */
static void on_readdir(fuse_req_t request, fuse_ino_t id, size_t size, off_t at, struct fuse_file_info *info)
{
	struct inode *folder = folder_of(request, id);
	char *bytes = folder == NULL ? NULL : malloc(size);
	size_t used = 0;
	if (bytes == NULL) {
		if (folder != NULL) {
			fuse_reply_err(request, ENOMEM);
		}
		return;
	}
	for (size_t i = (size_t)at; i < folder->now.count + 2; i++) {
		struct stat stat = stat_of(i < 2 ? folder : folder->now.list[i - 2].inode);
		const char *text = i == 0 ? "." : i == 1 ? ".." : folder->now.list[i - 2].text;
		size_t len =
			fuse_add_direntry(request, bytes + used, size - used, text, &stat, (off_t)(i + 1));
		if (len > size - used) {
			break;
		}
		used += len;
	}
	fuse_reply_buf(request, bytes, used);
	free(bytes);
}

static void on_fsyncdir(fuse_req_t request, fuse_ino_t id, int data_only, struct fuse_file_info *info)
{
	struct powerfs *fs = of(request);
	struct inode *folder = folder_of(request, id);
	if (folder == NULL) {
		return;
	}
	if (fs->fail_sync) {
		fuse_reply_err(request, EIO);
		return;
	}
	fs->folder_syncs++;
	int status = fs->lie ? 0 : volume_folder_sync(&fs->volume, folder);
	volume_sweep(&fs->volume);
	reply(request, status);
}

/* ---- attributes ---- */

static void on_getattr(fuse_req_t request, fuse_ino_t id, struct fuse_file_info *info)
{
	struct inode *inode = inode_of(request, id);
	if (inode != NULL) {
		struct stat stat = stat_of(inode);
		fuse_reply_attr(request, &stat, 0);
	}
}

static void on_setattr(fuse_req_t request, fuse_ino_t id, struct stat *wanted, int which,
		       struct fuse_file_info *info)
{
	struct inode *inode = inode_of(request, id);
	int status = 0;
	if (inode == NULL) {
		return;
	}
	if ((which & FUSE_SET_ATTR_SIZE) != 0) {
		status = !S_ISREG(inode->mode)     ? -EISDIR
			 : of(request)->fail_write ? -EIO
						   : volume_file_resize(inode, (uint64_t)wanted->st_size);
		touch(inode);
	}
	if ((which & FUSE_SET_ATTR_MODE) != 0) {
		inode->mode = (inode->mode & S_IFMT) | (wanted->st_mode & 07777);
	}
	if ((which & FUSE_SET_ATTR_MTIME) != 0) {
		inode->changed_at = wanted->st_mtim;
	}
	if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0) {
		touch(inode);
	}
	if (status != 0) {
		reply(request, status);
		return;
	}
	struct stat stat = stat_of(inode);
	fuse_reply_attr(request, &stat, 0);
}

static void on_statfs(fuse_req_t request, fuse_ino_t id)
{
	struct statvfs space;
	if (fstatvfs(of(request)->volume.store_fd, &space) != 0) {
		fuse_reply_err(request, errno);
		return;
	}
	fuse_reply_statfs(request, &space);
}

/* ---- bytes ---- */

static void on_open(fuse_req_t request, fuse_ino_t id, struct fuse_file_info *info)
{
	struct inode *file = file_of(request, id);
	if (file == NULL) {
		return;
	}
	int status = (info->flags & O_TRUNC) != 0 ? volume_file_resize(file, 0) : 0;
	if (status != 0) {
		reply(request, status);
		return;
	}
	file->opened++;
	fuse_reply_open(request, info);
}

static void on_release(fuse_req_t request, fuse_ino_t id, struct fuse_file_info *info)
{
	struct inode *file = volume_inode(&of(request)->volume, id);
	if (file != NULL && file->opened > 0) {
		file->opened--;
		volume_sweep(&of(request)->volume);
	}
	fuse_reply_err(request, 0);
}

static void on_read(fuse_req_t request, fuse_ino_t id, size_t size, off_t at, struct fuse_file_info *info)
{
	struct inode *file = file_of(request, id);
	size_t got = 0;
	if (file == NULL) {
		return;
	}
	char *bytes = malloc(size);
	int status = bytes == NULL            ? -ENOMEM
		     : of(request)->fail_read ? -EIO
					      : volume_file_read(file, (uint64_t)at, bytes, size, &got);
	if (status != 0) {
		reply(request, status);
	} else {
		fuse_reply_buf(request, bytes, got);
	}
	free(bytes);
}

static void on_write(fuse_req_t request, fuse_ino_t id, const char *bytes, size_t size, off_t at,
		     struct fuse_file_info *info)
{
	struct powerfs *fs = of(request);
	struct inode *file = file_of(request, id);
	if (file == NULL) {
		return;
	}
	int status = fs->fail_write ? -EIO : volume_file_write(file, (uint64_t)at, bytes, size);
	if (status != 0) {
		reply(request, status);
		return;
	}
	touch(file);
	fs->writes++;
	fs->bytes_written += size;
	fuse_reply_write(request, size);
}

static void on_fsync(fuse_req_t request, fuse_ino_t id, int data_only, struct fuse_file_info *info)
{
	struct powerfs *fs = of(request);
	struct inode *file = file_of(request, id);
	if (file == NULL) {
		return;
	}
	if (fs->delay_ms > 0) {
		poll(NULL, 0, (int)fs->delay_ms);
	}
	if (fs->fail_sync) {
		volume_file_sync_badly(file, &fs->prng);
		fuse_reply_err(request, EIO);
		return;
	}
	fs->syncs++;
	reply(request, fs->lie ? 0 : volume_file_sync(file, data_only != 0));
}

static void on_flush(fuse_req_t request, fuse_ino_t id, struct fuse_file_info *info)
{
	fuse_reply_err(request, 0); /* a close is no sync */
}

static void on_fallocate(fuse_req_t request, fuse_ino_t id, int mode, off_t at, off_t len,
			 struct fuse_file_info *info)
{
	struct inode *file = file_of(request, id);
	uint64_t end = (uint64_t)at + (uint64_t)len;
	int status = 0;
	if (file == NULL) {
		return;
	}
	if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
		fuse_reply_err(request, EOPNOTSUPP);
		return;
	}
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
		status = volume_file_zero(file, (uint64_t)at, (uint64_t)len);
	}
	if (status == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0 && end > file->now_size) {
		status = volume_file_resize(file, end);
	}
	reply(request, status);
}

const struct fuse_lowlevel_ops powerfs_calls = {
	.lookup = on_lookup,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.mkdir = on_mkdir,
	.mknod = on_mknod,
	.create = on_create,
	.unlink = on_remove,
	.rmdir = on_remove,
	.rename = on_rename,
	.link = on_link,
	.opendir = on_opendir,
	.readdir = on_readdir,
	.fsyncdir = on_fsyncdir,
	.statfs = on_statfs,
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.flush = on_flush,
	.fallocate = on_fallocate,
};
