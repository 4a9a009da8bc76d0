/* outfile.c - files that appear whole or not at all (see outfile.h). */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE   700 /* realpath */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
enum { MOST_LINKS = 40 }; /* as Linux */

static bool tell(const char *program, const char *path, const char *reason)
{
    char shown[QUOTED_BYTES];
    fprintf(stderr, "%s: cannot write '%s': %s; name a file in a directory that you may write to\n", program,
            quoted(path, shown), reason);
    return false;
}

/* How many characters of path name its folder, the slash among them. */
static size_t folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* The first characters of path, then name; NULL with errno. */
static char *joined(const char *path, size_t first, const char *name, size_t length)
{
    char *text = malloc(first + length + 1);
    if (text == NULL) return NULL;
    memcpy(text, path, first);
    memcpy(text + first, name, length);
    text[first + length] = 0;
    return text;
}

/* path itself, or what it links to, though nothing may be there yet: then the last link of the chain says
 * where a file would be made, from its own folder. NULL with errno. */
static char *resolve(const char *path)
{
    char *at = realpath(path, NULL);
    if (at != NULL || errno != ENOENT) return at;
    at = strdup(path);
    char link[PATH_MAX];
    for (int links = 0; at != NULL; links++) {
        const ssize_t length = readlink(at, link, sizeof link);
        if (length < 0) return at; /* no link, or nothing */
        char *next = NULL;
        if ((size_t)length == sizeof link)
            errno = ENAMETOOLONG;
        else if (links == MOST_LINKS)
            errno = ELOOP;
        else
            next = joined(at, link[0] == '/' ? 0 : folder_of(at), link, (size_t)length);
        free(at);
        at = next;
    }
    return NULL;
}

bool outfile_open(outfile *file, const char *path, const char *program)
{
    *file = (outfile){NULL, NULL, NULL};
    struct stat there;
    if (stat(path, &there) == 0) {
        if (S_ISDIR(there.st_mode)) return tell(program, path, "it is a directory");
        if (!S_ISREG(there.st_mode)) return tell(program, path, "it is not a plain file");
        if (access(path, W_OK) != 0) return tell(program, path, strerror(errno));
    } else if (errno != ENOENT) {
        return tell(program, path, strerror(errno));
    }
    static const char name[] = ".minitorch-XXXXXX"; /* beside the target, for the rename */
    file->target = resolve(path);
    if (file->target != NULL)
        file->temporary = joined(file->target, folder_of(file->target), name, sizeof name - 1);
    if (file->temporary == NULL) {
        const int error = errno;
        outfile_abandon(file);
        return tell(program, path, strerror(error));
    }
    const int fd = mkstemp(file->temporary);
    if (fd < 0) {
        const int error = errno;
        file->temporary[0] = 0; /* nothing to unlink */
        outfile_abandon(file);
        return tell(program, path, strerror(error));
    }
    const mode_t mask = umask(0);
    umask(mask);
    const bool ready = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fchmod(fd, 0666 & ~mask) == 0;
    file->stream = ready ? fdopen(fd, "w") : NULL;
    if (file->stream == NULL) {
        const int error = errno;
        close(fd);
        outfile_abandon(file);
        return tell(program, path, strerror(error));
    }
    return true;
}

bool outfile_commit(outfile *file, const char *program)
{
    errno = 0;
    bool good = fflush(file->stream) == 0 && !ferror(file->stream);
    int error = errno;
    if (fclose(file->stream) != 0 && good) {
        good = false;
        error = errno;
    }
    file->stream = NULL;
    if (good && rename(file->temporary, file->target) != 0) {
        good = false;
        error = errno;
    }
    if (good) {
        file->temporary[0] = 0;
    } else {
        tell(program, file->target, error != 0 ? strerror(error) : "a write failed");
    }
    outfile_abandon(file);
    return good;
}

void outfile_abandon(outfile *file)
{
    if (file->stream != NULL) fclose(file->stream);
    if (file->temporary != NULL && file->temporary[0] != 0) unlink(file->temporary);
    free(file->temporary);
    free(file->target);
    *file = (outfile){NULL, NULL, NULL};
}

bool outfile_check(const char *path, const char *program)
{
    outfile probe;
    if (!outfile_open(&probe, path, program)) return false;
    outfile_abandon(&probe);
    return true;
}
