/*
 * Windows over a sentence that is too long for the model: runs of whole words that overlap, so that
 * every word stands in one where it has words around it.
 *
 * Every word is decided by exactly one window that it stands in: the one where it has most context,
 * which is the smaller of the pieces on its two sides.  At the start and end of the sentence there
 * is no more context to be had, so nothing is missing there.  Of equals the earlier window decides.
 * The words that a window decides are neighbours, and go from left to right as the windows do.
 */
#ifndef SB_WINDOWS_H
#define SB_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

struct sb_window {
    uint32_t first, end;         /* words */
    uint32_t own_first, own_end; /* those that it decides */
};

/* Reused; grows to the longest. */
struct sb_windows {
    struct sb_window *items;
    size_t count, capacity;
};

void sb_windows_release(struct sb_windows *windows);

/*
 *   out  windows  replaced; none for no words
 *   in   pieces   [count] of each word, 1 to room
 *        room     most pieces of a window
 *        stride   pieces that a window shares with the one before, if its words allow; never more
 *                 than half a window
 */
void sb_windows_cut(struct sb_windows *windows, const uint32_t *pieces, size_t count, size_t room,
                    size_t stride);

#endif
