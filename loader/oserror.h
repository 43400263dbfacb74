/* What errno means, in our own words: strerror depends on the locale and is not thread-safe. */
#ifndef LEAT_LOADER_OSERROR_H
#define LEAT_LOADER_OSERROR_H

/* Never NULL; "error of the system" for a number without a text here. Messages add the number. */
const char *os_error_text(int number);

#endif
