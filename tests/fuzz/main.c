/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - runs a fuzzer's function without libFuzzer: the corpus again in `make test`, and AFL++.
 *
 *   fuzz_NAME               every input of tests/fuzz/seeds/NAME, as one test in TAP
 *   fuzz_NAME FILE ...      those inputs, for a look at a finding
 *
 * Built by afl-clang-fast it is a persistent AFL++ target instead: inputs come by shared memory.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* read(), in the macros of AFL++ */

#include "start/base/types.h"

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

#ifdef __AFL_COMPILER

__AFL_FUZZ_INIT();

int main(void)
{
    const u8 *input;

    __AFL_INIT();
    input = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(1000)) {
        LLVMFuzzerTestOneInput(input, (usize)__AFL_FUZZ_TESTCASE_LEN);
    }
    return 0;
}

#else

/** One input from a file. A copy of its exact length: the address sanitizer knows where it ends. */
static bool replay(const char *path)
{
    static u8 buffer[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    usize bytes;
    u8 *copy;

    if (!file) {
        printf("# %s cannot be read\n", path);
        return false;
    }
    bytes = fread(buffer, 1, sizeof(buffer), file);
    fclose(file);
    copy = malloc(bytes + 1);
    if (!copy) {
        printf("# no memory for %s\n", path);
        return false;
    }
    memcpy(copy, buffer, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
    return true;
}

/** Every input of a folder, in no order. Returns how many; -1 when one cannot be read. */
static int replay_all(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    while (dir && (entry = readdir(dir)) != NULL) {
        char path[1024];

        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (!replay(path)) {
            count = -1;
            break;
        }
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *program = slash ? slash + 1 : argv[0];
    char folder[256];
    int count;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (!replay(argv[i])) {
            return 1;
        }
    }
    if (argc > 1) {
        return 0;
    }
    snprintf(folder, sizeof(folder), "tests/fuzz/seeds/%s", strchr(program, '_') + 1);
    printf("1..1\n");
    count = replay_all(folder);
    printf("%sok 1 - every input of %s\n", count > 0 ? "" : "not ", folder);
    if (count > 0) {
        printf("# %d inputs\n", count);
    }
    return count > 0 ? 0 : 1;
}

#endif
