/* Texts for the errno values that opening, mapping and writing files can give. Used for messages only: no
 * decision depends on them. */
#include "oserror.h"

#include <errno.h>
#include <stddef.h>

const char *os_error_text(int number) {
    static const struct {
        int number;
        const char *text;
    } list[] = {
        {ENOENT, "no such file"},
        {EACCES, "permission denied"},
        {EPERM, "operation not permitted"},
        {EISDIR, "is a directory"},
        {ENOTDIR, "a part of the path is no directory"},
        {ENAMETOOLONG, "name too long"},
        {ELOOP, "too many symbolic links"},
        {EEXIST, "exists already"},
        {ENOSPC, "no space left on the device"},
        {EDQUOT, "disk quota exceeded"},
        {EFBIG, "file too large"},
        {EROFS, "read-only file system"},
        {EXDEV, "on another file system"},
        {EIO, "input/output error"},
        {ENXIO, "no such device"},
        {ENODEV, "not supported by this file system"},
        {EMFILE, "too many open files in this process"},
        {ENFILE, "too many open files in the system"},
        {ENOMEM, "out of memory"},
        {EAGAIN, "resource temporarily not available"},
        {EBUSY, "in use"},
        {ETXTBSY, "in use as a program"},
        {EOVERFLOW, "too large for this system"},
        {EINVAL, "invalid argument"},
        {EINTR, "interrupted"},
        {EBADF, "file is not open"},
        {EPIPE, "closed by the reader"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].number == number) return list[i].text;
    return "error of the system";
}
