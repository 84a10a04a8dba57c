/* Sums of looked-up rows, and their gradient. */
#ifndef SB_EMBED_H
#define SB_EMBED_H

#include <stddef.h>
#include <stdint.h>

/*
 * z [N, C] = word[id] + type[type] + position[position]
 */
void sb_embed_forward(float *z, const float *word, const float *type, const float *position,
                      const int32_t *ids, const uint8_t *types, const uint32_t *positions, size_t N,
                      size_t C);

/*
 * dtable[row[n]] += dz[n] for n = 0..N-1 in this order, columns first .. end-1 of C; rows equal to
 * skip are left out.  Columns do not know each other: ranges of them may run side by side.
 *
 *   in-out  dtable [*, C]
 *   in      dz     [N, C]
 */
void sb_embed_backward(float *dtable, const float *dz, const uint32_t *row, size_t N, size_t C,
                       size_t first, size_t end, uint32_t skip);

#endif
