/* outfile.c - files that appear whole or not at all (see outfile.h). */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE   700 /* realpath */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

static bool tell(const char *program, const char *path, const char *reason)
{
    char shown[QUOTED_BYTES];
    fprintf(stderr, "%s: cannot write '%s': %s; name a file in a directory that you may write to\n", program,
            quoted(path, shown), reason);
    return false;
}

/* path itself, or what it links to. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    return real != NULL ? real : strdup(path);
}

static char *beside(const char *path)
{
    static const char name[] = ".minitorch-XXXXXX";
    const char *slash = strrchr(path, '/');
    const size_t folder = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    char *text = malloc(folder + sizeof name);
    if (text == NULL) return NULL;
    memcpy(text, path, folder);
    memcpy(text + folder, name, sizeof name);
    return text;
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
    file->target = resolve(path);
    file->temporary = file->target != NULL ? beside(file->target) : NULL;
    if (file->temporary == NULL) {
        outfile_abandon(file);
        return tell(program, path, strerror(ENOMEM));
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
