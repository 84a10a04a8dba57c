/* shardbert inspect: what a model folder or a checkpoint holds. */
#include "ckpt.h"
#include "commands.h"
#include "file.h"
#include "inspect.h"

#include <argp.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static error_t parse(int key, char *argument, struct argp_state *state)
{
    const char **folder = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (*folder)
            argp_error(state, "one folder at a time, not '%s' as well", argument);
        *folder = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name a model folder, a checkpoint or a .safetensors file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* By its name or by its manifest: one that was cut off has only the first. */
static bool is_checkpoint(const char *folder)
{
    char path[SB_PATH_BYTES];
    return sb_file_exists(sb_path_join(path, folder, "MANIFEST.json")) ||
           (sb_dir_exists(folder) && (!fnmatch("*checkpoint-[0-9]*", folder, 0)) &&
            !sb_file_exists(sb_path_join(path, folder, "config.json")));
}

static void print_plan(struct sb_bytes *out, json_t *plan)
{
    const char *key;
    json_t *value;
    json_object_foreach(plan, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        sb_bytes_printf(out, "  %s=%s\n", key, text ? text : "");
        free(text);
    }
}

static int inspect_checkpoint(struct sb_bytes *out, const char *folder, struct sb_err *err)
{
    struct sb_ckpt_manifest manifest = SB_CKPT_MANIFEST_INIT;
    int rc = sb_ckpt_verify(&manifest, folder, err);
    if (rc == 0) {
        sb_bytes_printf(out, "checkpoint: step %" PRIu64 ", term %" PRIu32 ", complete\n",
                        manifest.step, manifest.term);
        sb_bytes_printf(out, "%-40s %14s  %s\n", "file", "bytes", "checksum");
        for (size_t i = 0; i < manifest.file_count; i++)
            sb_bytes_printf(out, "%-40s %14" PRIu64 "  %s\n", manifest.files[i].name,
                            manifest.files[i].bytes, manifest.files[i].hash);
        sb_bytes_append_text(out, "plan:\n");
        print_plan(out, manifest.plan);
        sb_bytes_append_text(out, "settings:\n");
        for (const char *line = manifest.canonical; line && *line;) {
            size_t length = strcspn(line, "\n");
            sb_bytes_printf(out, "  %.*s\n", (int)length, line);
            line += length + (line[length] == '\n');
        }
    }
    sb_ckpt_manifest_release(&manifest);
    return rc;
}

int sb_cmd_inspect(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Say what a model folder, a checkpoint or a .safetensors file holds.",
    };
    const char *folder = NULL;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes out = SB_BYTES_INIT;
    argp_parse(&argp, argc, argv, 0, NULL, &folder);
    int rc = is_checkpoint(folder) ? inspect_checkpoint(&out, folder, &err)
                                   : sb_inspect_model(&out, folder, &err);
    if (rc == 0 && out.count)
        fwrite(out.data, 1, out.count, stdout);
    if (rc == 0)
        rc = sb_cmd_finish_output(&err);
    sb_bytes_release(&out);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
