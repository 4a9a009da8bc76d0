/* child.c - starts a program with pipes, and waits for its end (see child.h). */
#define _POSIX_C_SOURCE 200809L
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"

extern char **environ;

static void close_both(const int ends[2])
{
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
}

static int spawn(child *self, char *const arguments[], const int in[2], const int out[2], int target,
                 int quiet)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    bench_unbind(); /* the child inherits what we may use */
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, target >= 0 ? target : out[1], STDOUT_FILENO);
    if (quiet) posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* we ignore these, the child should not */
#ifdef SIGXFSZ
    sigaddset(&defaults, SIGXFSZ);
#endif
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const int error = posix_spawnp(&self->pid, arguments[0], &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return error;
}

int child_start(child *self, char *const arguments[], int out, int quiet)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    *self = (child){.pid = -1};
    int error = pipe(to) != 0 || (out < 0 && pipe(from) != 0) ? errno : 0;
    for (int i = 0; i < 2 && error == 0; i++) {
        fcntl(to[i], F_SETFD, FD_CLOEXEC);
        if (from[i] >= 0) fcntl(from[i], F_SETFD, FD_CLOEXEC);
    }
    if (error == 0) error = spawn(self, arguments, to, from, out, quiet);
    if (error != 0) {
        close_both(to);
        close_both(from);
        return error;
    }
    close(to[0]);
    if (from[1] >= 0) close(from[1]);
    self->to = fdopen(to[1], "w");
    self->from = from[0] >= 0 ? fdopen(from[0], "r") : NULL;
    if (self->to != NULL && (self->from != NULL || from[0] < 0)) return 0;
    error = errno;
    kill(self->pid, SIGKILL);
    if (self->to == NULL) close(to[1]);
    if (self->from == NULL && from[0] >= 0) close(from[0]);
    child_finish(self);
    return error;
}

int child_finish(child *self)
{
    int status = 0;
    if (self->to != NULL) fclose(self->to);
    if (self->from != NULL) fclose(self->from);
    self->to = self->from = NULL;
    if (self->pid < 0) return -1;
    while (waitpid(self->pid, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    self->pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
