/* The account of a run on the disk: output_dir/.account.json. */
#ifndef SB_ACCOUNT_FILE_H
#define SB_ACCOUNT_FILE_H

#include "account.h"

/* Trouble costs the account and not the run: 0, or not 0 and nobody is told. */
int sb_account_keep(const struct sb_account *account, const char *output_dir);
/* False, and an empty account: there is none that can be read. */
bool sb_account_read(struct sb_account *account, const char *output_dir);
void sb_account_forget(const char *output_dir);

#endif
