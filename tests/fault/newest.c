/*
 * Reads folders, one a line, and prints for each what a run would resume from: the name of the
 * newest checkpoint that verifies, or "none".
 */
#include "ckpt.h"
#include "file.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
    char output_dir[SB_PATH_BYTES], folder[SB_PATH_BYTES];
    while (fgets(output_dir, sizeof(output_dir), stdin)) {
        struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
        struct sb_err err = SB_ERR_INIT;
        output_dir[strcspn(output_dir, "\n")] = 0;
        int found = sb_disk_files.newest(NULL, output_dir, folder, &manifest, NULL, NULL, &err);
        const char *slash = strrchr(folder, '/');
        printf("%s\n", found > 0 ? slash + 1 : found == 0 ? "none" : err.text);
        fflush(stdout);
        sb_ckpt_manifest_release(&manifest);
    }
    return 0;
}
