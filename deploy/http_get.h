/* One page by HTTP, for those who ask a running process how it is. */
#ifndef SB_HTTP_GET_H
#define SB_HTTP_GET_H

#include "bytes.h"
#include "err.h"

/*
 * GET http://address/page into body.  address is host:port or [IPv6]:port, also behind http:// and
 * before a slash.  Nothing takes longer than timeout_s, and no page is taken that is longer than 16
 * MiB.  SB_ERR_USAGE: no address; SB_ERR_PEER: nobody answers, or not in time; SB_ERR_DATA: no
 * HTTP, or another status than 200 (the sentence of the server is in err).
 */
int sb_http_get(struct sb_bytes *body, const char *address, const char *page, double timeout_s,
                struct sb_err *err);

#endif
