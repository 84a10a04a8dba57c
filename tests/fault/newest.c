/*
 * Reads folders, one a line, and prints for each what a run would resume from: the name of the
 * newest checkpoint that verifies, or "none"; with --say also what is said of those that do not.
 */
#include "ckpt.h"
#include "file.h"

#include <stdio.h>
#include <string.h>

static char said[4096];

static void on_damaged(void *context, const char *sentence)
{
    (void)context;
    snprintf(said + strlen(said), sizeof(said) - strlen(said), "\t%s", sentence);
}

int main(int argc, char **argv)
{
    bool says = argc > 1 && !strcmp(argv[1], "--say");
    char output_dir[SB_PATH_BYTES], folder[SB_PATH_BYTES];
    while (fgets(output_dir, sizeof(output_dir), stdin)) {
        struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
        struct sb_err err = SB_ERR_INIT;
        output_dir[strcspn(output_dir, "\n")] = 0;
        said[0] = 0;
        int found = sb_disk_files.newest(NULL, output_dir, folder, &manifest,
                                         says ? on_damaged : NULL, NULL, &err);
        const char *slash = strrchr(folder, '/');
        printf("%s%s\n", found > 0 ? slash + 1 : found == 0 ? "none" : err.text, said);
        fflush(stdout);
        sb_ckpt_manifest_release(&manifest);
    }
    return 0;
}
