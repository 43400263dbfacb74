/* The files of a Hugging Face folder: paths, JSON documents, texts, and messages that name the file. Used by
 * all of runtime/convert. */
#ifndef LEAT_RUNTIME_CONVERT_FOLDER_H
#define LEAT_RUNTIME_CONVERT_FOLDER_H

#include "runtime/text/json.h"

/* FOLDER/NAME, to be freed with mem_free; where `folder` names a .safetensors file, its folder counts. */
leat_status folder_path(const char *folder, const char *name, char **out, leat_error *e);
/* The name of the .safetensors file that `folder` is the path of; empty if it is none. */
str folder_single(const char *folder);

/* The whole of a file in `a`, with a NUL behind. Where there is none, that is an error if it is `needed`,
 * else *out is {NULL, 0}. */
leat_status folder_text(const char *folder, const char *name, bool needed, arena *a, str *out, leat_error *e);
/* The same as JSON; NULL where there is no such file. */
leat_status folder_json(const char *folder, const char *name, bool needed, arena *a, const json_value **out,
                        leat_error *e);

/* "NAME: " in front of what e says. */
leat_status about_file(const char *name, leat_status status, leat_error *e);

#endif
