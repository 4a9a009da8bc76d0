/* fuzz/alone.c - a main without libFuzzer: runs a target once for each of the files given, and for each file
 * of the folders given.
 */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file's bytes as the target's input. */
static bool run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    static uint8_t room[1 << 20];
    const size_t size = file ? fread(room, 1, sizeof room, file) : 0;
    const bool read = file && !ferror(file);
    if (file) fclose(file);
    if (!read) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    printf("%s\n", path);
    fflush(stdout); /* the last line before a crash names its file */
    uint8_t *data = fuzz_memory(size);
    memcpy(data, room, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return true;
}

int main(int argc, char **argv)
{
    int ran = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            run_file(argv[i]) ? ran++ : failed++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            run_file(path) ? ran++ : failed++;
        }
        closedir(folder);
    }
    printf("%d files ran, %d could not be read\n", ran, failed);
    return ran == 0 || failed > 0;
}
