/* How many cells of a terminal text takes: Unicode's own classes, not the system's locale, so that it is the
 * same everywhere. Used by screen.c. */
#ifndef LEAT_TOOLS_WIDTH_H
#define LEAT_TOOLS_WIDTH_H

#include <stddef.h>
#include <stdint.h>

/* 0 for what is drawn into the character before it (combining marks, joiners) and for control characters, 2
 * for East Asian wide ones and emoji, else 1. */
int width_of(uint32_t code);

/* Cells of n bytes of UTF-8; a bad byte counts as U+FFFD. An emoji of several code points (joined by U+200D,
 * or with a skin tone) takes two cells, one made wide by U+FE0F likewise. */
size_t width_of_text(const char *text, size_t n);

#endif
