/* The main of a fuzz target that libFuzzer does not drive: runs LLVMFuzzerTestOneInput on files, and on all
 * files of folders. Included once, at the end of a target. */
#ifndef LEAT_TESTS_FUZZ_REPLAY_H
#define LEAT_TESTS_FUZZ_REPLAY_H

#ifndef LEAT_LIBFUZZER
#    include <dirent.h>
#    include <stdbool.h>
#    include <stdint.h>
#    include <stdio.h>
#    include <stdlib.h>

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 0;
    }
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *bytes =
        malloc(size > 0 ? (size_t)size : 1); /* exactly as long, so that a sanitizer sees a read beyond */
    bool whole = bytes && size >= 0 && fread(bytes, 1, (size_t)size, f) == (size_t)size;
    fclose(f);
    if (whole) LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
    return whole;
}

int main(int argc, char **argv) {
    int replayed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            if (!replay_file(argv[i])) return 1;
            replayed++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            replayed += replay_file(path);
        }
        closedir(folder);
    }
    printf("%d files replayed\n", replayed);
    return 0;
}
#endif

#endif
