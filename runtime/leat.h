/* leat.h - run quantized language models on CPUs.
 *
 * A model is the loaded weights and vocabulary: immutable, shared by any number of sessions in any threads. A
 * session is one timeline of tokens with its key/value cache and its worker threads: used by one thread at a
 * time. A sampler picks the next token from a session's logits.
 *
 *     leat_model *model;  leat_session *session;  leat_sampler *sampler;
 *     leat_token token;  leat_error error;
 *     if (leat_model_open("model.gguf", NULL, &model, &error)) { puts(error.message); return 1; }
 *     leat_session_open(model, NULL, &session, &error);
 *     leat_sampler_open(model, NULL, &sampler, &error);
 *     leat_session_eval(session, tokens, n, &error);
 *     leat_sampler_next(sampler, session, &token, &error);
 *
 * Rules that hold everywhere: a function that can fail returns leat_status and fills the leat_error it is
 * given (which may be NULL); out parameters are set only on LEAT_OK, else left or set to NULL. Strings are
 * UTF-8. The library never prints, aborts, exits, installs a signal handler (but for leat_guard_install, if
 * you call it) or keeps global state. Objects returned by an *_open function are owned by the caller and
 * released by the matching *_close, which accepts NULL. */
#ifndef LEAT_H
#define LEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && !defined(_WIN32)
#    define LEAT_API __attribute__((visibility("default")))
#else
#    define LEAT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors ---- */

#ifndef LEAT_ERROR_TYPES
#    define LEAT_ERROR_TYPES
typedef enum leat_status {
    LEAT_OK = 0,
    LEAT_E_ARG = 1,          /* an argument is invalid */
    LEAT_E_NOMEM = 2,        /* out of memory */
    LEAT_E_IO = 3,           /* a file could not be read or written */
    LEAT_E_MAGIC = 4,        /* not a GGUF file */
    LEAT_E_VERSION = 5,      /* a GGUF version or byte order we can't read */
    LEAT_E_TRUNCATED = 6,    /* the file ends too early */
    LEAT_E_COUNT = 7,        /* a count in the file is out of range */
    LEAT_E_STRING = 8,       /* a string in the file is bad */
    LEAT_E_KEY = 9,          /* a metadata key is bad */
    LEAT_E_DUPLICATE = 10,   /* a key or tensor appears twice */
    LEAT_E_TYPE = 11,        /* a value or tensor type is wrong, unknown or removed */
    LEAT_E_VALUE = 12,       /* a value is out of range */
    LEAT_E_ALIGN = 13,       /* general.alignment is bad */
    LEAT_E_NAME = 14,        /* a tensor name is bad */
    LEAT_E_DIMS = 15,        /* tensor dimensions are bad */
    LEAT_E_SIZE = 16,        /* a size is out of range */
    LEAT_E_OFFSET = 17,      /* tensor data lies outside the file */
    LEAT_E_OVERLAP = 18,     /* tensors overlap */
    LEAT_E_SHARD = 19,       /* the parts of a split model do not fit together */
    LEAT_E_ARCH = 20,        /* the model architecture is not known */
    LEAT_E_HPARAM = 21,      /* a model parameter is missing or bad */
    LEAT_E_TENSOR = 22,      /* a tensor is missing or has the wrong shape or type */
    LEAT_E_VOCAB = 23,       /* the vocabulary is missing or bad */
    LEAT_E_MISSING = 24,     /* what was asked for is not there */
    LEAT_E_UNSUPPORTED = 25, /* valid, but not supported */
    LEAT_E_CONTEXT = 26,     /* more tokens than the context holds; nothing was evaluated */
    LEAT_E_NUMERIC = 27,     /* logits are not finite: the weights are damaged */
    LEAT_E_STATE = 28,       /* not possible in the object's present state */
    LEAT_E_CANCELLED = 29,   /* leat_session_cancel was called */
    LEAT_E_BUSY = 30,        /* the session is in use by another thread */
    LEAT_E_THREAD = 31,      /* a thread could not be started */
    LEAT_E_LIMIT = 32,       /* a limit of this library is exceeded */
    LEAT_E_TEMPLATE = 33,    /* a chat template is wrong, or refuses what it was given */
    LEAT_E_FORK = 34         /* the session was opened before this process was forked off */
} leat_status;

typedef struct leat_error {
    leat_status code;
    char message[256]; /* UTF-8, one sentence, no newline; "" when code is LEAT_OK */
} leat_error;
#endif

LEAT_API const char *leat_version(void);           /* "0.1.0" */
LEAT_API const char *leat_status_text(int status); /* never NULL */

/* Opt-in for programs: survive a model file that shrinks while it is mapped. Installs a SIGBUS handler for
 * the process; evaluation then fails with LEAT_E_IO instead of killing it. Without it, the usual signal is
 * raised. */
LEAT_API leat_status leat_guard_install(leat_error *e);

/* ---- files: any well-formed GGUF, also one that is no runnable model ---- */

typedef struct leat_file leat_file;

typedef enum leat_meta_type { /* GGUF's value types */
                              LEAT_META_U8,
                              LEAT_META_I8,
                              LEAT_META_U16,
                              LEAT_META_I16,
                              LEAT_META_U32,
                              LEAT_META_I32,
                              LEAT_META_F32,
                              LEAT_META_BOOL,
                              LEAT_META_STRING,
                              LEAT_META_ARRAY,
                              LEAT_META_U64,
                              LEAT_META_I64,
                              LEAT_META_F64
} leat_meta_type;

typedef struct leat_str { /* not NUL-terminated; valid while its owner is open */
    const char *data;
    size_t size;
} leat_str;

typedef struct leat_meta {
    leat_str key;
    leat_meta_type type;      /* LEAT_META_ARRAY for arrays */
    leat_meta_type elem_type; /* of an array's elements; else equal to type */
    uint64_t count;           /* elements of an array; 1 for a scalar */
} leat_meta;

typedef struct leat_value { /* which member is valid follows from the element type */
    uint64_t u64;           /* unsigned integers, bool as 0 or 1 */
    int64_t i64;            /* signed integers */
    double f64;             /* floats */
    leat_str str;           /* strings */
} leat_value;

typedef struct leat_tensor_info {
    leat_str name;
    const char *type; /* "Q4_K" */
    uint32_t type_id; /* GGUF's number of the type */
    uint32_t n_dims;  /* 1..4 */
    uint64_t dims[4]; /* dims[0] is the row length; unused ones are 1 */
    uint64_t n_elements;
    uint64_t bytes;
    bool decodable; /* leat_tensor_decode works for this type */
} leat_tensor_info;

/* Maps the file (and the other parts of a split set) and checks all of it that is not weights. */
LEAT_API leat_status leat_file_open(const char *path, leat_file **out, leat_error *e);
LEAT_API void leat_file_close(leat_file *file);
LEAT_API uint32_t leat_file_version(const leat_file *file); /* of GGUF: 2 or 3 */
LEAT_API uint64_t leat_file_size(const leat_file *file);    /* bytes, all parts */
LEAT_API size_t leat_file_parts(const leat_file *file);
LEAT_API size_t leat_file_meta_count(const leat_file *file);
LEAT_API leat_status leat_file_meta(const leat_file *file, size_t index, leat_meta *out);
LEAT_API leat_status leat_file_meta_find(const leat_file *file, const char *key, size_t *index);
/* Element `element` of entry `index` (0 for a scalar). Walking an array of strings in order is linear as a
 * whole when `cursor` points to a size_t that starts at 0 and is kept between calls; with NULL each call
 * searches from the start. */
LEAT_API leat_status leat_file_meta_value(const leat_file *file, size_t index, uint64_t element,
                                          size_t *cursor, leat_value *out);
LEAT_API size_t leat_file_tensor_count(const leat_file *file);
LEAT_API leat_status leat_file_tensor(const leat_file *file, size_t index, leat_tensor_info *out);
LEAT_API leat_status leat_file_tensor_find(const leat_file *file, const char *name, size_t *index);
/* Decodes row `row` (of dims[1]*dims[2]*dims[3]) to dims[0] float32. */
LEAT_API leat_status leat_tensor_decode(const leat_file *file, size_t index, uint64_t row, float *out,
                                        leat_error *e);
/* Writes the whole tensor as raw little-endian float32, row-major; the file appears whole or not at all. */
LEAT_API leat_status leat_tensor_export(const leat_file *file, size_t index, const char *path, leat_error *e);

/* Name of the i-th architecture this library runs, NULL past the end. */
LEAT_API const char *leat_architecture(size_t i);

/* ---- models ---- */

typedef struct leat_model leat_model;

typedef struct leat_model_params {
    bool vocab_only; /* only the tokenizer; the file need not hold weights */
    const char *isa; /* go no higher than this instruction set ("c", "avx2", "avx512", ...); NULL: the best
                        there is */
} leat_model_params;
LEAT_API void leat_model_params_default(leat_model_params *p);

/* Maps, checks and binds a model. params may be NULL. Thread-safe. */
LEAT_API leat_status leat_model_open(const char *path, const leat_model_params *params, leat_model **out,
                                     leat_error *e);
/* Releases the caller's hold; the memory goes when the last session of the model is closed too. */
LEAT_API void leat_model_close(leat_model *model);

/* A text becomes the hidden states that a model ends with, one for each token. Pooling makes one vector of
 * them. */
typedef enum leat_pooling {
    LEAT_POOLING_MODEL, /* as the model's file says; where it says nothing, mean if its attention is not
                           causal, else last */
    LEAT_POOLING_NONE,  /* a vector for each token */
    LEAT_POOLING_MEAN,  /* the mean of all tokens */
    LEAT_POOLING_CLS,   /* the first token */
    LEAT_POOLING_LAST,  /* the last token */
    LEAT_POOLING_RANK   /* scores of relevance, by the classifier of a model that has one */
} leat_pooling;
/* "mean" of a leat_pooling; NULL past the last. */
LEAT_API const char *leat_pooling_name(size_t pooling);

typedef struct leat_model_info {
    const char *architecture; /* "llama" */
    const char *isa;          /* instruction set in use: "avx512vnni" */
    uint64_t n_params;        /* number of weights */
    uint64_t bytes;           /* of the file */
    uint32_t n_vocab;
    uint32_t n_ctx_train; /* context length it was trained for; 0 if vocab_only */
    uint32_t n_embd, n_layer, n_head, n_head_kv;
    bool has_weights;
    bool makes_text;      /* false: embeddings only */
    leat_pooling pooling; /* of embeddings, if leat_embed_params leaves it to the model */
} leat_model_info;
LEAT_API void leat_model_get_info(const leat_model *model, leat_model_info *out);
/* Tells models apart, wherever their files lie and whatever they are called: a hash of all metadata, of the
 * name, type and shape of every tensor, and of 4 KiB at the beginning, the middle and the end of its data.
 * Takes some milliseconds. 0 for NULL. */
LEAT_API uint64_t leat_model_hash(const leat_model *model);
/* What is odd about a model that works all the same, because something was guessed: the i-th warning, a
 * sentence that says what is at risk; NULL past the last. Valid while the model is open. A program should
 * show them to its user. */
LEAT_API const char *leat_model_warning(const leat_model *model, size_t i);

/* The i-th instruction set that this machine can run, ascending; NULL past the end. */
LEAT_API const char *leat_isa(size_t i);
/* The set whose kernels multiply with weights of a type (leat_tensor_info.type_id) in a model opened with
 * `isa`; NULL: such weights can't be computed with. */
LEAT_API const char *leat_type_isa(uint32_t type_id, const char *isa);

/* Runs rounds of nothing but the multiply-adds that prompts are multiplied with by weights of a type (its
 * number in the file format) on the model's instruction set, in registers, on the calling thread. Returns how
 * many operations that was (a multiplication and an addition are two), 0 for a type it can't compute with.
 * The time it takes says what is the most that this machine could do: for benchmarks. */
LEAT_API uint64_t leat_model_multiply(const leat_model *model, uint32_t type_id, uint64_t rounds);

/* ---- tokens ---- */

typedef int32_t leat_token;

enum {
    LEAT_TOKENIZE_BOS = 1, /* put the beginning-of-sequence token first (never twice) */
    LEAT_TOKENIZE_SPECIAL =
        2, /* text of a special token becomes its id; never pass this for text from strangers */
    LEAT_TOKENIZE_EOS = 4 /* put the end-of-sequence token last */
};

/* Tokenizes n bytes of text (any bytes). Writes at most `capacity` ids and always sets *count to the number
 * needed: with capacity too small the status is LEAT_E_LIMIT and nothing useful was written. `tokens` may be
 * NULL when capacity is 0. Linear in n. */
LEAT_API leat_status leat_tokenize(const leat_model *model, const char *text, size_t n, unsigned flags,
                                   leat_token *tokens, size_t capacity, size_t *count, leat_error *e);
/* Upper bound of the number of tokens that n bytes can become. */
LEAT_API size_t leat_tokenize_bound(const leat_model *model, size_t n);

/* The bytes that a token stands for, which may be part of a UTF-8 character; special tokens have none unless
 * `special`. {NULL, 0} for an id out of range. Valid while the model is open. */
LEAT_API leat_str leat_token_text(const leat_model *model, leat_token token, bool special);
LEAT_API leat_token leat_token_bos(const leat_model *model); /* -1: none */
LEAT_API leat_token leat_token_eos(const leat_model *model); /* -1: none */
LEAT_API bool leat_token_add_bos(const leat_model *model);   /* does the model want BOS before a text? */
LEAT_API bool leat_token_add_eos(const leat_model *model);   /* and EOS (BERT: [SEP]) after it? */
LEAT_API bool leat_token_is_end(const leat_model *model,
                                leat_token token); /* ends a generation: EOS, EOT, ... */

/* A stream of text from tokens: holds back bytes until they are whole UTF-8 characters. */
typedef struct leat_decoder leat_decoder;
LEAT_API leat_status leat_decoder_open(const leat_model *model, bool special, leat_decoder **out,
                                       leat_error *e);
LEAT_API void leat_decoder_close(leat_decoder *d);
/* Adds a token and returns the text that is now complete, valid until the next call; bytes that can't become
 * a character come out as U+FFFD. At the start of a text the space that some tokenizers put in front is
 * dropped. */
LEAT_API leat_str leat_decoder_push(leat_decoder *d, leat_token token);
/* What is left at the end, as U+FFFD; the decoder starts afresh. */
LEAT_API leat_str leat_decoder_finish(leat_decoder *d);

/* ---- sessions ---- */

typedef struct leat_session leat_session;

/* How keys or values are kept. The quantized ones need head sizes that are multiples of 32. */
typedef enum leat_kv_type {
    LEAT_KV_F16,   /* 16 bits a value */
    LEAT_KV_F32,   /* 32 */
    LEAT_KV_BF16,  /* 16, the exponents of F32 */
    LEAT_KV_Q8_0,  /* 8.5 */
    LEAT_KV_Q4_0,  /* 4.5 */
    LEAT_KV_Q5_0,  /* 5.5 */
    LEAT_KV_IQ4_NL /* 4.5, more exact than Q4_0 */
} leat_kv_type;
/* "f16", "q8_0", ... of a leat_kv_type; NULL past the last. */
LEAT_API const char *leat_kv_type_name(size_t type);

/* In which form activations are multiplied with quantized weights. */
typedef enum leat_activations {
    LEAT_ACTIVATIONS_INT8, /* quantized to 8 bits on the way, or to what is fastest here */
    LEAT_ACTIVATIONS_F32   /* as they are: slow, tells what quantizing them costs */
} leat_activations;

#define LEAT_THREADS_AUTO UINT32_MAX

typedef struct leat_session_params {
    uint32_t n_ctx;   /* tokens the cache can hold; 0: what the model was trained for */
    uint32_t n_batch; /* tokens of a prompt evaluated at once, 1 .. 2048, at most; 0: 512 */
    /* Threads that evaluate single tokens, and several at once (prompts). LEAT_THREADS_AUTO: as many as prove
     * fastest, which is measured on the tokens themselves, first and from time to time. 0: automatic, for
     * n_threads_batch as n_threads. The logits are the same, to the bit, for any number. */
    uint32_t n_threads, n_threads_batch;
    leat_kv_type k_type, v_type;
    bool logits_all;   /* keep the logits of every token of a batch, not only of the last */
    uint32_t n_logits; /* with logits_all: of so many last tokens of a batch only; 0: of all */
    leat_activations activations;
} leat_session_params;
LEAT_API void leat_session_params_default(leat_session_params *p);

/* Physical cores in this process's affinity mask, no more than its cgroup CPU quota; at least 1. */
LEAT_API uint32_t leat_threads_default(void);

/* Reserves the cache and starts the workers. params may be NULL. A session keeps its model alive. The cache
 * takes memory as tokens come, not for all of n_ctx at once; but if all of it could not fit what is available
 * now, LEAT_E_NOMEM says what would. After fork, a child may open sessions of its own on a model that it
 * inherited; the sessions that it inherited it can only close (LEAT_E_FORK). */
LEAT_API leat_status leat_session_open(leat_model *model, const leat_session_params *params,
                                       leat_session **out, leat_error *e);
LEAT_API void leat_session_close(leat_session *session);

/* Called between the steps of long work, from the thread that asked for it. False stops the work there: it
 * ends with LEAT_E_CANCELLED. */
typedef bool leat_progress_fn(void *user, size_t done, size_t total);

/* Appends n tokens. Any n; a prompt is cut into batches of n_batch. On an error (token out of range, context
 * full, cancelled, file lost) the session is as before the call, but that a cancelled or failed evaluation
 * may have evaluated whole batches: leat_session_length says what it holds. */
LEAT_API leat_status leat_session_eval(leat_session *session, const leat_token *tokens, size_t n,
                                       leat_error *e);
LEAT_API leat_status leat_session_eval_progress(leat_session *session, const leat_token *tokens, size_t n,
                                                leat_progress_fn *progress, void *user, leat_error *e);
/* Forgets all tokens from position `length` on; cheap. LEAT_E_ARG if it holds fewer. A model with windowed
 * attention keeps only the last tokens of these layers: LEAT_E_STATE, and nothing changed, if `length` is not
 * 0 and below leat_session_rewind_floor. Recurrent layers can go to any length: the session keeps copies of
 * their state, and the next eval first runs again what lies between the last copy and `length`, if anything.
 */
LEAT_API leat_status leat_session_rewind(leat_session *session, size_t length);
/* Forgets the tokens at positions from .. to - 1, and moves those behind down into their places, with keys
 * turned to their new positions: room in a full context without evaluating anything again. What the later
 * tokens took from the forgotten ones stays in them. Logits stay. LEAT_E_UNSUPPORTED for models with
 * recurrent layers or learned positions, LEAT_E_STATE when a windowed layer has given up what would be seen
 * then, and nothing changed: go back and evaluate what shall stay. */
LEAT_API leat_status leat_session_drop(leat_session *session, size_t from, size_t to, leat_error *e);
/* The smallest length other than 0 to which the session can go back now; 0 if it can to any. */
LEAT_API size_t leat_session_rewind_floor(const leat_session *session);
LEAT_API size_t leat_session_length(const leat_session *session);
/* The *n = leat_session_length tokens that it holds; valid until they change. */
LEAT_API const leat_token *leat_session_tokens(const leat_session *session, size_t *n);
LEAT_API uint32_t leat_session_n_ctx(const leat_session *session);
/* Threads in use for single tokens and for several at once. While it measures, and where the system refuses
 * threads, that is another number from time to time. */
LEAT_API uint32_t leat_session_threads(const leat_session *session);
LEAT_API uint32_t leat_session_threads_batch(const leat_session *session);
LEAT_API leat_model *leat_session_model(const leat_session *session);

/* n_vocab float32 logits of the last token evaluated; NULL before the first. With logits_all, `back` 1 is the
 * token before it and so on within the last batch, as far as n_logits goes. Valid until the next eval. */
LEAT_API const float *leat_session_logits(const leat_session *session, size_t back);

/* Makes a running or the next leat_session_eval return LEAT_E_CANCELLED within milliseconds. The one function
 * that may be called from any thread and from a signal handler. */
LEAT_API void leat_session_cancel(leat_session *session);

/* Bytes this session may take in all: the whole cache, activations, logits. */
LEAT_API uint64_t leat_session_bytes(const leat_session *session);

typedef struct leat_session_memory { /* bytes */
    uint64_t cache;                  /* address space for keys and values, up to n_ctx tokens */
    uint64_t cache_used;             /* of it, by the tokens that are there: memory is taken as they come */
    uint64_t state, state_used;      /* of recurrent layers: for copies of it, and in use */
    uint64_t activations;            /* and logits; follows n_batch and n_threads */
} leat_session_memory;
LEAT_API void leat_session_get_memory(const leat_session *session, leat_session_memory *out);
/* Bytes of keys, values and recurrent state that evaluating one token reads behind `length` others: in each
 * layer those of all tokens that it sees, itself included, or of its window. What generating costs beside the
 * weights: for benchmarks. */
LEAT_API uint64_t leat_session_read_bytes(const leat_session *session, size_t length);

/* What a session would take, without opening it. params may be NULL, and are as for leat_session_open; of a
 * model that makes embeddings only they are for that. */
typedef struct leat_memory {
    uint64_t weights;   /* bytes of the file, mapped and shared */
    uint64_t cache;     /* keys and values, all of the context */
    uint64_t state;     /* of recurrent layers */
    uint64_t buffers;   /* activations, logits, what workers need */
    uint64_t available; /* what this machine, or the process's cgroup, has left; UINT64_MAX: not known */
    uint32_t n_ctx;     /* the context it is for */
} leat_memory;
LEAT_API leat_status leat_session_measure(const leat_model *model, const leat_session_params *params,
                                          leat_memory *out, leat_error *e);

/* ---- sessions in files ---- */

/* Writes all that the session holds - tokens, cache, recurrent state, logits - to a file, whole or not at
 * all, and n_user bytes of the caller's with it (the messages of a chat, say; NULL for none). Costs about
 * what leat_session_get_memory has as cache_used and state. */
LEAT_API leat_status leat_session_save(leat_session *session, const char *path, const void *user,
                                       size_t n_user, leat_error *e);

/* A saved session: the file, mapped and checked to the last bit. Any file may be opened, also one from a
 * stranger. Several threads may load from it at once. */
typedef struct leat_saved leat_saved;
LEAT_API leat_status leat_saved_open(const char *path, leat_saved **out, leat_error *e);
LEAT_API void leat_saved_close(leat_saved *saved);

typedef struct leat_saved_info { /* strings are valid until it is closed */
    uint64_t bytes;              /* of the file */
    uint64_t model;              /* leat_model_hash of its model, and what that is called */
    leat_str model_name;
    const char *k_type, *v_type; /* "f16" */
    size_t length;               /* tokens */
    leat_str user;               /* what the caller of leat_session_save gave */
} leat_saved_info;
LEAT_API void leat_saved_get_info(const leat_saved *saved, leat_saved_info *out);

/* The session becomes the saved one: at once, without evaluating anything, and what it says from there on is
 * what the saved one would have said, to the bit. Its size of context may be another one, if the tokens fit:
 * else LEAT_E_CONTEXT. LEAT_E_STATE: saved with another model or other types of cache. LEAT_E_VALUE: the file
 * contradicts itself. The session is as before after an error (but empty after LEAT_E_IO). */
LEAT_API leat_status leat_session_load(leat_session *session, const leat_saved *saved, leat_error *e);

/* ---- embeddings: texts to vectors ---- */

typedef struct leat_embed_params {
    uint32_t n_ctx;     /* tokens of the longest text; 0: what the model was trained for; more is an error */
    uint32_t n_batch;   /* tokens evaluated at once, of as many texts as fit; 0: 512; never less than n_ctx
                           where   attention is not causal */
    uint32_t n_threads; /* 0: what this process may really use (leat_threads_default) */
    leat_pooling pooling;
    bool normalize; /* vectors get length 1, but for scores; the default */
    bool truncate; /* of a longer text the first n_ctx tokens are used, the last one being its end-of-sequence
                      token if it had that; else it is LEAT_E_CONTEXT */
} leat_embed_params;
LEAT_API void leat_embed_params_default(leat_embed_params *p);

/* Makes embeddings with any model: those for it, which may have no output for text, and others. Used by one
 * thread at a time; keeps its model alive. */
typedef struct leat_embedder leat_embedder;
LEAT_API leat_status leat_embedder_open(leat_model *model, const leat_embed_params *params,
                                        leat_embedder **out, leat_error *e);
LEAT_API void leat_embedder_close(leat_embedder *embedder);
LEAT_API size_t leat_embedder_dims(const leat_embedder *embedder);          /* values of a vector */
LEAT_API leat_pooling leat_embedder_pooling(const leat_embedder *embedder); /* the one in use */
LEAT_API uint32_t leat_embedder_n_ctx(const leat_embedder *embedder);
LEAT_API uint32_t leat_embedder_threads(const leat_embedder *embedder);
LEAT_API uint64_t leat_embedder_bytes(const leat_embedder *embedder); /* as leat_session_bytes */
LEAT_API leat_model *leat_embedder_model(const leat_embedder *embedder);

/* out (n_texts, dims) = a vector for each text. Its tokens are those of all texts, one after the other,
 * lengths[i] of text i, with the BOS and EOS that the model wants (leat_token_add_bos, leat_token_add_eos)
 * already there; a text without any is LEAT_E_ARG. Without pooling, out is (sum of lengths, dims), lengths
 * counted up to n_ctx. What a text becomes depends neither on its neighbours nor on the number of threads.
 * progress, which may be NULL, counts texts, and is called between passes. On an error, out holds nothing of
 * use. */
LEAT_API leat_status leat_embed(leat_embedder *embedder, const leat_token *tokens, const size_t *lengths,
                                size_t n_texts, float *out, leat_progress_fn *progress, void *user,
                                leat_error *e);
/* The same for texts that are yet to be tokenized, as the model wants it and no special tokens in the text;
 * not without pooling. */
LEAT_API leat_status leat_embed_texts(leat_embedder *embedder, const leat_str *texts, size_t n_texts,
                                      float *out, leat_error *e);
/* As leat_session_cancel. */
LEAT_API void leat_embedder_cancel(leat_embedder *embedder);

/* ---- sampling ---- */

typedef struct leat_sampler leat_sampler;
typedef struct leat_grammar leat_grammar;

/* The steps a chain is made of. Names in brackets: as in leat_sampler_order. */
typedef enum leat_sampler_step {
    LEAT_STEP_END,         /* ends an order that is shorter than the array */
    LEAT_STEP_PENALTIES,   /* [penalties, e] repeat, frequency and presence penalties */
    LEAT_STEP_DRY,         /* [dry, d] against repeating whole sequences */
    LEAT_STEP_TOP_N_SIGMA, /* [top_n_sigma, s] logits at most n standard deviations below the largest */
    LEAT_STEP_TOP_K,       /* [top_k, k] the k largest */
    LEAT_STEP_TYP_P,       /* [typ_p, y] locally typical: surprise near the expected one, up to a mass of p */
    LEAT_STEP_TOP_P,       /* [top_p, p] the fewest that make up a mass of p */
    LEAT_STEP_MIN_P,       /* [min_p, m] those at least p times as likely as the first */
    LEAT_STEP_XTC,         /* [xtc, x] now and then drops the likeliest but the last above a threshold */
    LEAT_STEP_TEMPERATURE, /* [temperature, t] divides by the temperature, fixed or by entropy */
    LEAT_STEP_ADAPTIVE_P,  /* [adaptive_p, a] draws near a target probability; wherever named, comes last */
    LEAT_STEP_COUNT
} leat_sampler_step;

typedef struct leat_logit_bias {
    leat_token token;
    float bias; /* added to the logit; -INFINITY: never */
} leat_logit_bias;

/* Names, order and defaults are llama.cpp's:
 * penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature and a draw. Logit biases and a grammar
 * come before all of them. Arrays need to live only until leat_sampler_open returns. */
typedef struct leat_sampler_params {
    uint32_t seed;         /* LEAT_SEED_RANDOM: from the system's entropy */
    float temp;            /* <= 0: always the most likely token that is left */
    int32_t top_k;         /* <= 0: off */
    float top_p;           /* >= 1: off */
    float min_p;           /* <= 0: off */
    float repeat_penalty;  /* 1: off */
    int32_t repeat_last_n; /* how many last tokens the penalties look at; 0: off, -1: the context */
    float frequency_penalty, presence_penalty; /* per occurrence, and once; 0: off */
    float dry_multiplier;                      /* 0: off */
    float dry_base; /* the penalty is multiplier * base^(length - allowed_length) */
    int32_t dry_allowed_length;
    int32_t dry_last_n;              /* 0: off, -1: the context */
    const char *const *dry_breakers; /* (n_dry_breakers) texts that end a sequence */
    size_t n_dry_breakers;           /* at most 64 */
    float top_n_sigma;               /* <= 0: off */
    float typ_p;                     /* >= 1: off */
    float xtc_probability;           /* <= 0: off */
    float xtc_threshold;             /* > 0.5: off */
    float dynatemp_range;            /* the temperature goes from temp - range to temp + range; <= 0: off */
    float dynatemp_exponent;
    int32_t mirostat;                  /* 1 or 2: instead of all steps but temperature; 0: off */
    float mirostat_tau, mirostat_eta;  /* target surprise in bits, learning rate */
    float adaptive_target;             /* of adaptive_p: a probability; < 0: off */
    float adaptive_decay;              /* of its memory, 0 .. 0.99 */
    const leat_logit_bias *logit_bias; /* (n_logit_bias) */
    size_t n_logit_bias;
    uint32_t min_keep; /* the fewest tokens that typ_p, top_p, min_p and xtc leave */
    uint32_t n_probs;  /* how many of the most likely tokens leat_sampler_probs tells of */
    bool ignore_eos;   /* never pick a token that ends a generation, unless the grammar leaves nothing else */
    uint8_t order[16]; /* leat_sampler_step values, LEAT_STEP_END after the last; each at most once */
} leat_sampler_params;
#define LEAT_SEED_RANDOM 0xFFFFFFFFu
LEAT_API void leat_sampler_params_default(leat_sampler_params *p);
/* The defaults, changed to what the model's file recommends (general.sampling.*). What is no value for its
 * parameter there is passed over. */
LEAT_API void leat_sampler_params_model(const leat_model *model, leat_sampler_params *p);
/* Fills p->order from names separated by ';' ("top_k;temperature"), also spelled with '-' and in llama.cpp's
 * short forms, or, with `letters`, from one letter each ("kt"). LEAT_E_ARG names what is unknown or twice
 * there. */
LEAT_API leat_status leat_sampler_order(leat_sampler_params *p, const char *text, bool letters,
                                        leat_error *e);
/* "top_k" of a leat_sampler_step; NULL for what is none. */
LEAT_API const char *leat_sampler_step_name(size_t step);

/* params may be NULL. The sampler keeps nothing of the model. */
LEAT_API leat_status leat_sampler_open(const leat_model *model, const leat_sampler_params *params,
                                       leat_sampler **out, leat_error *e);
LEAT_API void leat_sampler_close(leat_sampler *sampler);
LEAT_API uint32_t leat_sampler_seed(const leat_sampler *sampler); /* the one in use */
/* Tells the sampler of a token it did not pick itself (the prompt's), for the penalties. A grammar takes no
 * notice. */
LEAT_API void leat_sampler_accept(leat_sampler *sampler, leat_token token);
/* Picks the next token from the session's last logits and accepts it. LEAT_E_NUMERIC if no logit is a number;
 * LEAT_E_STATE if the grammar has ended or no token goes on with it; LEAT_E_LIMIT if it became too ambiguous.
 */
LEAT_API leat_status leat_sampler_next(leat_sampler *sampler, const leat_session *session, leat_token *out,
                                       leat_error *e);
/* Back to the start: forgets accepted tokens, begins the grammar and the random numbers anew. */
LEAT_API void leat_sampler_reset(leat_sampler *sampler);

typedef struct leat_token_prob {
    leat_token token;
    float prob;   /* what the model said: softmax of the logits as they came */
    float chance; /* in the draw, after all steps; 0: was ruled out */
} leat_token_prob;
/* About the last leat_sampler_next, with n_probs > 0: first the token picked, then the n_probs most likely
 * ones by prob, in descending order. Valid until the next call; *n is 0 before the first. */
LEAT_API const leat_token_prob *leat_sampler_probs(const leat_sampler *sampler, size_t *n);

/* ---- grammars: text that has to follow rules ---- */

/* Compiles a GBNF grammar (llama.cpp's notation: rules `name ::= ...`, the text is a `root`) for the model's
 * vocabulary. LEAT_E_ARG says what is wrong, with line and column. Immutable, may be shared by samplers in
 * any threads. */
LEAT_API leat_status leat_grammar_open(const leat_model *model, const char *text, size_t n,
                                       leat_grammar **out, leat_error *e);
/* The same from a JSON schema: the text will be JSON that the schema accepts, objects with the properties in
 * the schema's order, and with others only if additionalProperties asks for them. A keyword that can't be
 * kept is LEAT_E_UNSUPPORTED, never passed over; but oneOf is taken as anyOf, and formats other than date,
 * time, date-time, uuid, ipv4 and email are notes, as in the specification. "{}" means any JSON. */
LEAT_API leat_status leat_grammar_open_schema(const leat_model *model, const char *json, size_t n,
                                              leat_grammar **out, leat_error *e);
/* The same from a regular expression (ECMAScript's syntax without look-around and back-references) that the
 * whole text has to match. */
LEAT_API leat_status leat_grammar_open_regex(const leat_model *model, const char *pattern, size_t n,
                                             leat_grammar **out, leat_error *e);
/* Lets go of the caller's hold; samplers keep theirs. */
LEAT_API void leat_grammar_close(leat_grammar *grammar);

/* From now on the sampler picks only tokens with which the text, from its first byte on, can still become
 * what the grammar describes; a token that ends the generation exactly when the text is complete. NULL: no
 * grammar. A text that is cut off, by a limit of tokens say, is the beginning of a right one. */
LEAT_API leat_status leat_sampler_set_grammar(leat_sampler *sampler, leat_grammar *grammar, leat_error *e);
/* Is the text so far complete by the grammar; may it end here? True without one. */
LEAT_API bool leat_sampler_can_end(const leat_sampler *sampler);
/* Is it complete, and nothing may follow? Then there is nothing left to sample. */
LEAT_API bool leat_sampler_must_end(const leat_sampler *sampler);

/* ---- chat templates ---- */

/* A compiled chat template: the Jinja that models ship, as Hugging Face's transformers run it (trim_blocks,
 * lstrip_blocks, loop controls, tojson with its options, raise_exception, strftime_now, {% generation %};
 * lists and dicts can't be changed). Immutable: any threads may render it at the same time. */
typedef struct leat_template leat_template;

/* Compiles n bytes of source, at most 1 MiB. LEAT_E_TEMPLATE names line and column of what is wrong. */
LEAT_API leat_status leat_template_open(const char *source, size_t n, leat_template **out, leat_error *e);
/* The template of a model: its default one (name NULL), or one of its others, like "tool_use". Its bos_token,
 * eos_token and so on are there for contexts that don't bring them. LEAT_E_MISSING if the model has none, as
 * base models do. The template does not need the model afterwards. */
LEAT_API leat_status leat_template_open_model(const leat_model *model, const char *name, leat_template **out,
                                              leat_error *e);
LEAT_API void leat_template_close(leat_template *t);

/* How values that are no strings are printed. Python is what models are trained with; huggingface.js, a
 * second implementation, prints true, null and {"a": 1} where Python prints True, None and {'a': 1}, and lets
 * strings be added to numbers. AUTO: Python for a context with add_generation_prompt, which transformers
 * always set, else JavaScript. */
typedef enum leat_template_dialect {
    LEAT_TEMPLATE_AUTO,
    LEAT_TEMPLATE_PYTHON,
    LEAT_TEMPLATE_JAVASCRIPT
} leat_template_dialect;

typedef struct leat_template_params {
    leat_template_dialect dialect;
    int year, month, day, hour, minute, second; /* the time for strftime_now; year 0: the clock, in UTC */
} leat_template_params;
LEAT_API void leat_template_params_default(leat_template_params *p);

/* What a template made of a context: a text in stretches, each from the template itself ("control", where
 * special tokens may be) or from the context ("content", where a person may have typed what looks like one).
 */
typedef struct leat_rendering leat_rendering;
typedef struct leat_segment {
    leat_str text;
    bool content;
} leat_segment;

/* Renders with n bytes of JSON, an object: messages, tools, add_generation_prompt, ... Strings in it are
 * content, but for the roles of messages and variables whose names end in _token. params may be NULL.
 * LEAT_E_VALUE: bad JSON; LEAT_E_TEMPLATE: the template failed or raised an exception, whose message is in
 * the sentence; LEAT_E_LIMIT: too many steps (about a second), too deep, or more than 16 MiB of text. */
LEAT_API leat_status leat_template_render(const leat_template *t, const char *context, size_t n,
                                          const leat_template_params *params, leat_rendering **out,
                                          leat_error *e);
LEAT_API void leat_rendering_close(leat_rendering *r);
LEAT_API leat_str leat_rendering_text(const leat_rendering *r); /* valid until it is closed */
LEAT_API size_t leat_rendering_segments(const leat_rendering *r);
LEAT_API leat_segment leat_rendering_segment(const leat_rendering *r, size_t i);
/* As leat_tokenize, with special tokens in control segments only. BOS comes first if the model wants it, and
 * never twice. */
LEAT_API leat_status leat_rendering_tokenize(const leat_rendering *r, const leat_model *model,
                                             leat_token *tokens, size_t capacity, size_t *count,
                                             leat_error *e);

/* ---- conversations ---- */

/* A conversation over a session: messages in, replies out, with the model's chat template. Of each turn only
 * what the session does not hold already is evaluated. Uses its session and sampler alone while it is open;
 * one thread at a time. */
typedef struct leat_chat leat_chat;

typedef struct leat_chat_params {
    const leat_template *chat_template; /* NULL: the model's; must outlive the chat */
    const char *tools;                  /* a JSON array of tools, or NULL */
    const char *variables;              /* a JSON object of more variables for the template, like
                                           {"enable_thinking": false}, or NULL */
    const char *const *stop;            /* n_stop texts that end a reply and are not part of it */
    size_t n_stop;
    bool context_shift; /* when the context is full, also within a reply, leave out the oldest turns, but not
                           the system prompt; later ones are not evaluated again (leat_session_drop) */
    leat_template_params *params; /* the clock for the template, or NULL */
} leat_chat_params;
LEAT_API void leat_chat_params_default(leat_chat_params *p);

LEAT_API leat_status leat_chat_open(leat_session *session, leat_sampler *sampler,
                                    const leat_chat_params *params, leat_chat **out, leat_error *e);
LEAT_API void leat_chat_close(leat_chat *chat);
/* Without a template, as for base models, messages are put one after the other and the model goes on from
 * there. */
LEAT_API bool leat_chat_has_template(const leat_chat *chat);
/* Does the template know of reasoning, as with <think>? */
LEAT_API bool leat_chat_can_reason(const leat_chat *chat);

/* Appends a message: role "system", "user", "assistant" or "tool" with a text; or a whole message as JSON, an
 * object with role, content, tool_calls, reasoning_content, ... */
LEAT_API leat_status leat_chat_add(leat_chat *chat, const char *role, const char *text, size_t n,
                                   leat_error *e);
LEAT_API leat_status leat_chat_add_json(leat_chat *chat, const char *message, size_t n, leat_error *e);
LEAT_API size_t leat_chat_count(const leat_chat *chat);
/* The i-th message as JSON, valid until the chat changes; {NULL, 0} past the end. */
LEAT_API leat_str leat_chat_message(const leat_chat *chat, size_t i);
/* Forgets messages from the i-th on: to say something else, to have the last reply again. */
LEAT_API void leat_chat_truncate(leat_chat *chat, size_t i);
/* The conversation as a file: its messages, and its session (leat_session_save). */
LEAT_API leat_status leat_chat_save(const leat_chat *chat, const char *path, leat_error *e);
/* The chat's messages become those of the file, its session the saved one: the next reply goes on from there,
 * with only what is new being evaluated. The sampler begins anew and is told of all tokens. Refused as
 * leat_saved_open and leat_session_load do; LEAT_E_MISSING if there is a session in the file, but no
 * conversation. After an error the chat is as before. */
LEAT_API leat_status leat_chat_load(leat_chat *chat, const char *path, leat_error *e);
/* New variables for the template, as in the params; NULL: none. */
LEAT_API leat_status leat_chat_set_variables(leat_chat *chat, const char *variables, leat_error *e);
/* From the next reply on: another sampler, which is told of the tokens so far; may old turns be left out when
 * the context is full? */
LEAT_API void leat_chat_set_sampler(leat_chat *chat, leat_sampler *sampler);
LEAT_API void leat_chat_set_context_shift(leat_chat *chat, bool shift);

typedef enum leat_piece_kind {
    LEAT_PIECE_CONTENT,
    LEAT_PIECE_REASONING, /* what the model thinks, not what it says */
    LEAT_PIECE_TOOL_CALL  /* one whole call: {"name": "...", "arguments": {...}} */
} leat_piece_kind;
/* Gets a reply as it comes, in whole characters. False ends the reply there. */
typedef bool leat_piece_fn(void *user, leat_piece_kind kind, leat_str text);

typedef enum leat_chat_end {
    LEAT_CHAT_DONE,   /* the model ended its turn */
    LEAT_CHAT_STOP,   /* a stop text */
    LEAT_CHAT_LENGTH, /* max_tokens */
    LEAT_CHAT_FULL,   /* the context is full */
    LEAT_CHAT_ENDED   /* the caller: its function said so, or leat_session_cancel */
} leat_chat_end;

typedef struct leat_reply_params {
    int64_t max_tokens; /* < 0: no limit but the context */
    leat_piece_fn *piece;
    leat_progress_fn *progress; /* of evaluating the prompt, in tokens */
    void *user;                 /* of both */
} leat_reply_params;

typedef struct leat_reply_result {
    leat_chat_end end;
    size_t n_prompt; /* tokens of the prompt, and how many of them the session held already */
    size_t n_cached;
    size_t n_generated;
    size_t n_tool_calls;
    size_t n_dropped; /* messages left out to make room, in all */
} leat_reply_result;

/* Has the model answer, and appends its answer as a message: content, reasoning_content and tool_calls. What
 * was said before an interruption is kept. LEAT_E_CONTEXT: the conversation does not fit; nothing was
 * evaluated or forgotten. LEAT_E_TEMPLATE: the template refused the messages. */
LEAT_API leat_status leat_chat_reply(leat_chat *chat, const leat_reply_params *params,
                                     leat_reply_result *result, leat_error *e);

/* ---- judging ---- */

/* The natural logarithm of the probability that n logits (n_vocab) give a token. exp of minus its mean over
 * a text is the perplexity. NaN if an argument is invalid. */
LEAT_API double leat_log_prob(const float *logits, size_t n, leat_token token);

/* What logits say against those of another model, the base, at the same place in a text. */
typedef struct leat_difference {
    double log_prob, base_log_prob; /* of the token that comes next */
    double kl;     /* Kullback-Leibler divergence from the base's distribution, in nats; 0: the same */
    bool same_top; /* do both think the same token most likely? */
} leat_difference;
/* (n) logits each. With log_probs, base holds logarithms of probabilities instead, taken as they are: those
 * that were not kept are -INFINITY and left out of the divergence. */
LEAT_API leat_status leat_logits_compare(const float *base, bool log_probs, const float *logits, size_t n,
                                         leat_token token, leat_difference *out, leat_error *e);

/* ---- importance matrices ---- */

/* How much each column of each weight matrix matters: the mean square of what it is multiplied with on a
 * text. Quantizing spends its accuracy by it. Files are llama.cpp's (GGUF). One thread at a time. */
typedef struct leat_imatrix leat_imatrix;

LEAT_API leat_status leat_imatrix_open(leat_imatrix **out, leat_error *e); /* an empty one */
LEAT_API void leat_imatrix_close(leat_imatrix *m);
/* Adds what a file holds: sums and counts add up. On an error nothing has changed. */
LEAT_API leat_status leat_imatrix_merge(leat_imatrix *m, const char *path, leat_error *e);

typedef struct leat_imatrix_params {
    uint32_t n_ctx;             /* tokens of a chunk; each is a context of its own; 0: 512 */
    uint32_t n_batch;           /* evaluated at once; 0: 512 */
    uint32_t n_threads;         /* 0: leat_threads_default */
    size_t first_chunk;         /* leaves out that many chunks of the text */
    size_t max_chunks;          /* 0: all */
    const char *dataset;        /* what the text is called in the file; NULL: not named */
    leat_progress_fn *progress; /* after each chunk, in chunks; may save m, which holds whole ones */
    void *user;
} leat_imatrix_params;
LEAT_API void leat_imatrix_params_default(leat_imatrix_params *p);

/* Runs a model over a text, (n) tokens, and adds what its matrices are multiplied with. What is left over
 * after the last whole chunk is not used, unless it is all there is. The result is the same, bit for bit, for
 * any number of threads. On an error m holds the chunks before it. */
LEAT_API leat_status leat_imatrix_collect(leat_imatrix *m, leat_model *model, const leat_token *tokens,
                                          size_t n, const leat_imatrix_params *params, leat_error *e);
/* The file appears whole or not at all. */
LEAT_API leat_status leat_imatrix_save(const leat_imatrix *m, const char *path, leat_error *e);

typedef struct leat_imatrix_entry { /* statistics are over the mean squares of the columns */
    leat_str name;                  /* of the weight tensor */
    uint32_t layer;                 /* UINT32_MAX: of none */
    size_t n_values;                /* columns, of all experts */
    size_t n_experts, n_unused;     /* 1 for a tensor that all tokens use; experts that no token used */
    double count;                   /* tokens summed, of the expert that saw most */
    double sum, min, max, mean, deviation;
    double active;   /* part of the columns above 1e-5 */
    double entropy;  /* bits; log2(n_values) when all columns matter alike */
    double zd_score; /* part of the columns further than a deviation from the mean */
    double cosine;   /* similarity with the same tensor one layer before; NaN if there is none */
} leat_imatrix_entry;
LEAT_API size_t leat_imatrix_count(const leat_imatrix *m);
LEAT_API uint64_t leat_imatrix_chunks(const leat_imatrix *m);
/* The i-th entry, in the order of names. LEAT_E_ARG past the last. */
LEAT_API leat_status leat_imatrix_get(const leat_imatrix *m, size_t i, leat_imatrix_entry *out);

/* ---- quantizing ---- */

/* What was done. */
typedef struct leat_quantize_summary {
    uint64_t bytes_in, bytes_out; /* of tensors */
    uint64_t n_weights;
    size_t n_tensors;
    size_t n_quantized; /* tensors that changed their type */
    size_t n_fallback;  /* tensors whose rows fit no block of the type they should have had */
    double divergence;  /* of what a search found, measured on its calibration text; 0: not measured */
} leat_quantize_summary;

/* What a search chose for a tensor. */
typedef struct leat_quantize_choice {
    leat_str name;
    const char *from, *to; /* types */
    uint64_t bytes, n_weights;
    double error;      /* root mean square, weighted by importance, as part of that of the weights */
    double divergence; /* nats that it is thought to add; NaN without a calibration text */
} leat_quantize_choice;
typedef void leat_quantize_choice_fn(void *user, const leat_quantize_choice *choice);

typedef struct leat_quantize_params {
    const char *type;   /* a mix of types (leat_quantize_type): "q4_k_m"; "copy" changes none; any case */
    uint32_t n_threads; /* 0: leat_threads_default */
    leat_progress_fn *progress; /* in weights; may be NULL */
    void *user;
    const char *imatrix;             /* path of an importance matrix (llama.cpp's GGUF form); NULL: none */
    const char *const *tensor_types; /* (n_tensor_types) "REGEX=TYPE": tensors whose name the regular
                                        expression finds; the first that does decides. LEAT_E_ARG
                                        for one that finds no tensor */
    size_t n_tensor_types;
    const char *output_tensor_type;   /* type of output.weight; NULL: by the mix */
    const char *token_embedding_type; /* of token_embd.weight */
    bool allow_requantize;            /* tensors that are quantized already */
    bool pure;                        /* all weight matrices the same, without the mix's exceptions */
    bool leave_output_tensor;         /* output.weight stays as it is */
    bool keep_split;                  /* write as many parts as the input has */
    leat_quantize_summary *summary;   /* filled on success; may be NULL */

    /* Types chosen tensor by tensor (but for those that are named above), so that the file keeps to a size
     * and the model changes as little as it can; `type` does not matter then. They are listed in the metadata
     * as leat.quantize.types, an array of "TENSOR=TYPE". */
    double target_bpw;             /* bits per weight, of all tensors; 0: not by that */
    uint64_t target_bytes;         /* of the file; 0: not by that */
    const leat_token *calibration; /* (n_calibration) a text: what a type does to a tensor is measured by how
                                      far the model's predictions move on it, and importance is taken from it
                                      where there is no imatrix. NULL: guessed from errors and
                                      from what a tensor is for */
    size_t n_calibration;
    const char *calibration_name;
    size_t calibration_chunks; /* of 512 tokens, spread over the text; 0: 8 */
    /* "q4_k,q5_k,q6_k": no other ones; NULL: all. LEAT_E_ARG for a name that is no type. */
    const char *search_types;
    size_t search_measured;            /* types measured per tensor; the others follow from them; 0: 3 */
    size_t search_trials;              /* measured exchanges at the end */
    leat_progress_fn *search_progress; /* in steps, after those of reading the text; may be NULL */
    leat_quantize_choice_fn *chosen;   /* called for each tensor, once; may be NULL */
    /* or taken over, by the tensors' names, from this GGUF file */
    const char *recipe_from;
} leat_quantize_params;
LEAT_API void leat_quantize_params_default(leat_quantize_params *p);

/* The i-th mix that can be asked for, from the largest to the smallest: its name; NULL past the last. */
LEAT_API const char *leat_quantize_type(size_t i);

/* Writes a quantized copy of a GGUF file; metadata is kept. The output appears whole or not at all. Fails
 * with LEAT_E_NUMERIC, naming tensor and place, for a weight that is not finite; LEAT_E_UNSUPPORTED for a
 * tensor that is quantized already; LEAT_E_MISSING where a type is worthless without importance and there is
 * none; LEAT_E_LIMIT for a target that no types reach. */
LEAT_API leat_status leat_quantize(const char *in_path, const char *out_path,
                                   const leat_quantize_params *params, leat_error *e);

/* ---- converting ---- */

typedef struct leat_convert_params {
    const char
        *type; /* as in leat_quantize_params; NULL: the 16 or 32 bits that lose nothing of most weights */
    const char *name;                                  /* general.name of the file; NULL: the folder's */
    uint32_t n_threads;                                /* 0: leat_threads_default */
    leat_progress_fn *progress;                        /* in weights; may be NULL */
    void (*warning)(void *user, const char *sentence); /* what was guessed or left out; may be NULL */
    void *user;
    const char *imatrix; /* these as in leat_quantize_params */
    const char *const *tensor_types;
    size_t n_tensor_types;
    const char *output_tensor_type;
    const char *token_embedding_type;
    bool pure;
    leat_quantize_summary *summary; /* filled on success; may be NULL */
} leat_convert_params;
LEAT_API void leat_convert_params_default(leat_convert_params *p);

/* The i-th architecture that can be converted, by its name in GGUF files; NULL past the last. */
LEAT_API const char *leat_convert_architecture(size_t i);

/* Makes a GGUF file of a Hugging Face folder: config.json, model.safetensors or the parts that
 * model.safetensors.index.json names, a tokenizer (tokenizer.json, SentencePiece's tokenizer.model,
 * vocab.json with merges.txt, Mistral's tekken.json, tiktoken's files), and what there is of
 * tokenizer_config.json, generation_config.json, chat_template.jinja, modules.json. Weights of eight bits
 * with scales, and those that GPTQ, AWQ, compressed-tensors and bitsandbytes pack, are taken for the numbers
 * they stand for. `folder` may also be the path of the one .safetensors file in such a folder that counts.
 * Memory stays small whatever the model's size; the output appears whole or not at all. LEAT_E_ARCH for a
 * model of another architecture, LEAT_E_TENSOR for one with a tensor that its architecture has not,
 * LEAT_E_UNSUPPORTED, naming the method, for weights packed otherwise, LEAT_E_NUMERIC, naming tensor and
 * place, for a weight that is not finite. */
LEAT_API leat_status leat_convert(const char *folder, const char *out_path, const leat_convert_params *params,
                                  leat_error *e);

#ifdef __cplusplus
}
#endif

#endif
