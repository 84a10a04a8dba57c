#include "export_json.h"

#include "file.h"

#include <stdlib.h>

json_t *sb_export_load(const char *path, struct sb_err *err)
{
    struct sb_bytes text = SB_BYTES_INIT;
    json_t *root = NULL;
    if (sb_file_read(&text, path, err) == 0) {
        json_error_t fault;
        root = json_loadb(text.data ? text.data : "", text.count, JSON_REJECT_DUPLICATES, &fault);
        if (!root)
            sb_err_set(err, SB_ERR_DATA, "'%s': line %d: %s", path, fault.line, fault.text);
    }
    sb_bytes_release(&text);
    return root;
}

int sb_export_save(const char *folder, const char *name, json_t *root, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes bytes = SB_BYTES_INIT;
    sb_assert(root);
    /* 15 digits give back what a person wrote: 0.1, where 17 would give 0.10000000000000001. */
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(root);
    sb_assert(text);
    sb_bytes_printf(&bytes, "%s\n", text);
    free(text);
    int rc = sb_file_write_atomic(sb_path_join(path, folder, name), bytes.data, bytes.count, err);
    sb_bytes_release(&bytes);
    return rc;
}
