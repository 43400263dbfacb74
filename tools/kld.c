/* See kld.h. Files to read are a stranger's: sizes are checked against the file before memory is taken. */
#include "kld.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "term.h"

enum { HEADER_BYTES = 20, RANGE = 16, CODE_MAX = 65535 };
static const char magic[] = "_logits_", target_magic[] = "_target_", vocab_magic[] = "_vocab__";

#define TARGET_ERROR 0.01 /* of a log probability of a row */
#define SUM_ERROR    0.01 /* of the probabilities of a row; codes are exact to 1.2e-4 */

static size_t row_words(size_t n_vocab) { /* of 16 bits */
    return 4 + (n_vocab + 1) / 2 * 2;
}

int kld_writer_open(kld_writer *k, const char *path, const eval_windows *w, const eval_model *m,
                    const leat_token *tokens) {
    size_t n_vocab = m->info.n_vocab;
    int32_t sizes[3] = {(int32_t)w->length, (int32_t)n_vocab, (int32_t)w->n};
    *k = (kld_writer){
        .n_vocab = n_vocab, .n_rows = w->n * eval_counted(w), .vocabulary = eval_vocabulary(m->model)};
    k->row = calloc(row_words(n_vocab), sizeof *k->row);
    k->targets = calloc(k->n_rows + 1, sizeof *k->targets);
    int status = k->row && k->targets ? whole_file_open(&k->file, path)
                                      : fail("no memory for the log probabilities of %zu tokens", k->n_rows);
    if (status) {
        free(k->row);
        free(k->targets);
        *k = (kld_writer){.row = NULL};
        return status;
    }
    whole_file_write(&k->file, magic, 8);
    whole_file_write(&k->file, sizes, sizeof sizes);
    whole_file_write(&k->file, tokens, w->n * w->length * sizeof *tokens);
    return EXIT_DONE;
}

void kld_writer_add(kld_writer *k, const float *logits, leat_token next) {
    float max = logits[0], min = logits[0];
    for (size_t i = 1; i < k->n_vocab; i++) {
        max = logits[i] > max ? logits[i] : max;
        min = logits[i] < min ? logits[i] : min;
    }
    if (min < max - RANGE) min = max - RANGE;
    double sum = (double)logits[0] - leat_log_prob(logits, k->n_vocab, 0);
    float head[2] = {(max - min) / CODE_MAX, (float)((double)min - sum)};
    float inverse = head[0] > 0 ? 1 / head[0] : 0;
    memcpy(k->row, head, sizeof head);
    for (size_t i = 0; i < k->n_vocab; i++) {
        float code = logits[i] > min ? rintf(inverse * (logits[i] - min)) : 0;
        k->row[4 + i] = (uint16_t)(code < CODE_MAX ? code : CODE_MAX);
    }
    whole_file_write(&k->file, k->row, row_words(k->n_vocab) * sizeof *k->row);
    k->targets[k->n_written++] = (float)((double)logits[next] - sum);
}

int kld_writer_close(kld_writer *k, int status) {
    if (!k->row) return status;
    whole_file_write(&k->file, target_magic, 8);
    whole_file_write(&k->file, k->targets, k->n_written * sizeof *k->targets);
    whole_file_write(&k->file, vocab_magic, 8);
    whole_file_write(&k->file, &k->vocabulary, sizeof k->vocabulary);
    free(k->row);
    free(k->targets);
    k->row = NULL;
    k->targets = NULL;
    return whole_file_close(&k->file, status);
}

static int cut_short(const kld_reader *k) {
    if (ferror(k->f)) return fail("%s: %s", k->path, strerror(errno ? errno : EIO));
    return fail("%s ends too early, at byte %lld", k->path, (long long)ftello(k->f));
}

/* Behind the log probabilities: whose tokens they are of. What else may be there is none of our business. */
static int check_vocabulary(kld_reader *k, const eval_model *m) {
    char start[8];
    uint64_t vocabulary;
    size_t n = fread(start, 1, sizeof start, k->f);
    if (n < sizeof start) return n ? cut_short(k) : EXIT_DONE;
    if (memcmp(start, vocab_magic, sizeof start) != 0) return EXIT_DONE;
    if (fread(&vocabulary, sizeof vocabulary, 1, k->f) != 1) return cut_short(k);
    if (vocabulary == eval_vocabulary(m->model)) return EXIT_DONE;
    return fail("%s and %s are not comparable: other tokens, though as many", k->path, m->path);
}

/* What we write behind the rows, where it is. `end` is where the rows do. */
static int read_targets(kld_reader *k, uint64_t end, const eval_model *m) {
    size_t n = k->windows.n * eval_counted(&k->windows);
    int status = EXIT_DONE;
    char start[8];
    off_t back = ftello(k->f);
    if (fseeko(k->f, (off_t)end, SEEK_SET)) return fail("%s: %s", k->path, strerror(errno));
    if (fread(start, 1, sizeof start, k->f) == sizeof start && !memcmp(start, target_magic, sizeof start)) {
        k->targets = malloc(n * sizeof *k->targets);
        if (!k->targets) return fail("no memory for the log probabilities of %zu tokens", n);
        if (fread(k->targets, sizeof *k->targets, n, k->f) != n) return cut_short(k);
        for (size_t i = 0; i < n; i++)
            if (!(k->targets[i] <= 0.001f))
                return fail("%s: %g is no log probability (of token %zu)", k->path, (double)k->targets[i], i);
        status = check_vocabulary(k, m);
    }
    clearerr(k->f);
    if (!status && fseeko(k->f, back, SEEK_SET)) status = fail("%s: %s", k->path, strerror(errno));
    return status;
}

int kld_reader_open(kld_reader *k, const char *path, const eval_model *m) {
    char start[8];
    uint32_t sizes[3];
    size_t n_vocab = m->info.n_vocab;
    struct stat s;
    errno = 0;
    *k = (kld_reader){.path = path, .n_vocab = n_vocab, .f = fopen(path, "rb")};
    if (!k->f) return fail("%s: %s", path, strerror(errno));
    if (fread(start, 1, sizeof start, k->f) != sizeof start || memcmp(start, magic, sizeof start) != 0)
        return fail("%s is no file of log probabilities: it does not begin with %s", path, magic);
    if (fread(sizes, 1, sizeof sizes, k->f) != sizeof sizes) return cut_short(k);
    if (sizes[0] < 3 || sizes[0] > 1 << 24) return fail("%s: windows of %u tokens", path, (unsigned)sizes[0]);
    if (sizes[2] < 1 || sizes[2] > INT32_MAX)
        return fail("%s: holds %u windows, not 1 to %d", path, (unsigned)sizes[2], (int)INT32_MAX);
    if (sizes[1] != n_vocab)
        return fail("%s is of a vocabulary of %u tokens, the model has %zu: they can't be compared", path,
                    (unsigned)sizes[1], n_vocab);
    k->windows = (eval_windows){.n = (size_t)sizes[2],
                                .length = (size_t)sizes[0],
                                .step = (size_t)sizes[0],
                                .first = (size_t)sizes[0] / 2};
    /* nothing overflows: 2^31 windows of 2^24 tokens are 2^57 bytes, and rows are compared window by window
     */
    uint64_t per_window = (uint64_t)k->windows.length * sizeof(leat_token) +
                          (uint64_t)eval_counted(&k->windows) * row_words(n_vocab) * sizeof *k->row;
    if (fstat(fileno(k->f), &s) || !S_ISREG(s.st_mode)) return fail("%s is no regular file", path);
    if (((uint64_t)s.st_size - HEADER_BYTES) / per_window < k->windows.n)
        return fail("%s should hold %zu windows of %llu bytes each, but the file has only %lld bytes", path,
                    k->windows.n, (unsigned long long)per_window, (long long)s.st_size);
    size_t n_tokens = k->windows.n * k->windows.length;
    k->tokens = malloc(n_tokens * sizeof *k->tokens);
    k->row = malloc(row_words(n_vocab) * sizeof *k->row);
    k->log_probs = malloc(n_vocab * sizeof *k->log_probs);
    if (!k->tokens || !k->row || !k->log_probs) return fail("%s: no memory for %zu tokens", path, n_tokens);
    if (fread(k->tokens, sizeof *k->tokens, n_tokens, k->f) != n_tokens) return cut_short(k);
    for (size_t i = 0; i < n_tokens; i++)
        if (k->tokens[i] < 0 || (size_t)k->tokens[i] >= n_vocab)
            return fail("%s: token %zu is %d, not 0 .. %zu", path, i, k->tokens[i], n_vocab - 1);
    return read_targets(k, HEADER_BYTES + per_window * k->windows.n, m);
}

/* The probabilities of a row add up to 1, but for those of which only the most that they can be is known. */
static int check_row(const kld_reader *k, double least) {
    size_t known = 0, n_unknown = 0;
    for (size_t i = 0; i < k->n_vocab; i++) {
        if (k->log_probs[i] > -INFINITY)
            known = i;
        else
            n_unknown++;
    }
    double sum =
        exp((double)k->log_probs[known] - leat_log_prob(k->log_probs, k->n_vocab, (leat_token)known));
    if (sum <= 1 + SUM_ERROR && sum + (double)n_unknown * exp(least) >= 1 - SUM_ERROR) return EXIT_DONE;
    return fail("%s is damaged: the probabilities of row %zu add up to %g, not 1", k->path, k->rows_read,
                sum);
}

int kld_reader_next(kld_reader *k, leat_token next) {
    float head[2];
    size_t words = row_words(k->n_vocab);
    errno = 0;
    if (fread(k->row, sizeof *k->row, words, k->f) != words) return cut_short(k);
    memcpy(head, k->row, sizeof head);
    if (!isfinite(head[0]) || !isfinite(head[1]) || head[0] < 0)
        return fail("%s: row %zu has the scale %g and the offset %g", k->path, k->rows_read, (double)head[0],
                    (double)head[1]);
    bool clipped = head[0] * CODE_MAX > RANGE - 0.01f;
    for (size_t i = 0; i < k->n_vocab; i++) {
        uint16_t code = k->row[4 + i];
        k->log_probs[i] = code || !clipped ? head[0] * (float)code + head[1] : -INFINITY;
    }
    int status = check_row(k, (double)head[1]);
    if (status) return status;
    if (k->log_probs[next] == -INFINITY) {
        k->log_probs[next] = head[1];
        k->n_vague += !k->targets;
    }
    k->target = (double)(k->targets ? k->targets[k->rows_read] : k->log_probs[next]);
    double above = k->target - (double)k->log_probs[next];
    if (above > TARGET_ERROR || (above < -TARGET_ERROR && k->log_probs[next] > head[1]))
        return fail(
            "%s is damaged: row %zu gives the next token the log probability %g, and behind the rows it "
            "has %g",
            k->path, k->rows_read, (double)k->log_probs[next], k->target);
    k->rows_read++;
    return EXIT_DONE;
}

void kld_reader_close(kld_reader *k) {
    if (k->f) fclose(k->f);
    free(k->tokens);
    free(k->row);
    free(k->log_probs);
    free(k->targets);
    *k = (kld_reader){.f = NULL};
}
