#include "account_file.h"

#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char NAME[] = ".account.json";

/* No sync: losing it with the power costs a line of words, and a sync would cost each checkpoint.
 */
int sb_account_keep(const struct sb_account *account, const char *output_dir)
{
    char path[SB_PATH_BYTES], fresh[SB_PATH_BYTES + 8];
    json_t *object = sb_account_to_json(account);
    snprintf(fresh, sizeof(fresh), "%s.tmp", sb_path_join(path, output_dir, NAME));
    int rc = json_dump_file(object, fresh, JSON_INDENT(2));
    json_decref(object);
    if (rc == 0)
        rc = rename(fresh, path);
    if (rc != 0)
        remove(fresh);
    return rc;
}

bool sb_account_read(struct sb_account *account, const char *output_dir)
{
    char path[SB_PATH_BYTES];
    json_t *object =
        json_load_file(sb_path_join(path, output_dir, NAME), JSON_REJECT_DUPLICATES, NULL);
    bool found = json_is_object(object);
    sb_account_from_json(account, object);
    json_decref(object);
    return found;
}

void sb_account_forget(const char *output_dir)
{
    char path[SB_PATH_BYTES];
    remove(sb_path_join(path, output_dir, NAME));
}
