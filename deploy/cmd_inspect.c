/* shardbert inspect: what a model folder or a checkpoint holds. */
#include "commands.h"
#include "inspect.h"

#include <argp.h>
#include <stdio.h>

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
    int rc = sb_inspect_model(&out, folder, &err);
    if (rc == 0 && out.count)
        fwrite(out.data, 1, out.count, stdout);
    if (rc == 0)
        rc = sb_cmd_finish_output(&err);
    sb_bytes_release(&out);
    return rc < 0 ? sb_cmd_fail(&err) : 0;
}
