/*
 * What the arithmetic of this process answers to a canned question: peers whose fingerprints differ
 * would not compute the same bits.  Text: the OpenBLAS kernels, and a hash of a product, of exp,
 * tanh and erf, and of an update.
 */
#ifndef SB_FINGERPRINT_H
#define SB_FINGERPRINT_H

enum { SB_FINGERPRINT_BYTES = 128 };

void sb_fingerprint(char text[SB_FINGERPRINT_BYTES]);

#endif
