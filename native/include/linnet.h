/* linnet's native core, seen from C.
 *
 * Learns and applies byte-pair merges exactly as linnet/tokenizer/bpe.py does: same ids, same order of ties.
 * Computes in float32, to within rounding, what linnet/ops and linnet/train/optimizers.py define.
 * Written by hand and in the plain subset of C that cffi reads. native/src/lib.rs implements it.
 *
 * Memory   Every array belongs to the caller, before and after the call; nothing is kept of it. Every handle that a function
 *          returns is freed once, by the *_free of its type.
 * Threads  An encoder may be used by several threads at once, a counter or a trainer by one at a time. The kernels run on
 *          the threads of an OpenMP library that the caller names.
 * Errors   Functions that return int64_t return a negative LINNET_* code; functions that return a handle return
 *          NULL. No panic crosses this border.
 */

/* What is returned in place of a result. */
enum {
    LINNET_BAD_ARGUMENT = -1, /* a NULL where none may be, or what is out of range */
    LINNET_BUG = -2           /* a bug inside, caught at the border */
};

/* Changes whenever anything in this file changes its meaning. */
uint32_t linnet_interface(void);

/* The version of the build, NUL-terminated, valid for ever. */
const char *linnet_version(void);

/* ── Splitting ── */

/* A splitting pattern (linnet/tokenizer/pretokenize.py) is 0 gpt2, 1 gpt4, 2 cl100k, 3 qwen, 4 o200k. Text is UTF-8; a byte that
 * belongs to no character is one without a class, and so is a surrogate of three bytes. Texts, chunks and tokens are given as
 * bytes, one after the other, and where each of them ends. */

/* Where each chunk of a text ends. ends: room for n_bytes. Returns how many there are. */
int64_t linnet_chunks(uint32_t pattern, const uint8_t *text, uint64_t n_bytes, uint64_t *ends);

/* ── Learning ── */

typedef struct linnet_counter linnet_counter;

/* Counts the chunks of texts, on n_threads threads of its own. */
linnet_counter *linnet_counter_new(uint32_t pattern);

/* Returns 0. */
int64_t linnet_counter_add(
    linnet_counter *counter, const uint8_t *bytes, const uint64_t *ends, uint64_t n_texts, uint64_t n_threads);

void linnet_counter_free(linnet_counter *counter);

typedef struct linnet_trainer linnet_trainer;

/* A trainer over what a counter has counted, which then begins anew. */
linnet_trainer *linnet_counter_trainer(linnet_counter *counter);

/* A trainer over n_chunks chunks, of at most 2^31 bytes. counts[i]: how often chunk i occurs. */
linnet_trainer *linnet_trainer_new(const uint8_t *bytes, const uint64_t *ends, const uint64_t *counts, uint64_t n_chunks);

/* Learn up to n_merges more merges. pairs: room for 2 * n_merges ids, filled as a, b, a, b, … Merge number r, counted
 * from 0 over all calls, makes id 256 + r. Returns how many were learned; fewer than asked: no pair occurs twice. */
int64_t linnet_trainer_learn(linnet_trainer *trainer, uint32_t *pairs, uint64_t n_merges);

void linnet_trainer_free(linnet_trainer *trainer);

/* ── Documents ── */

/* What has to be known of n texts, whose bytes lie one after the other up to the ends: 16 bytes of BLAKE2b of each, how many
 * characters it has (bytes that begin one), and what is odd about it, as bits: 1 it is not UTF-8, 2 it has a carriage return, 4 it has another control
 * character but tab and newline, 8 it has no character of ASCII that is seen. */
int64_t linnet_documents_look(
    const uint8_t *bytes, const uint64_t *ends, uint64_t n, uint8_t *fingerprints, uint64_t *characters, uint8_t *flags);

/* n bytes of whole lines, cut at those that are `mark`, of n_mark bytes, at least one, whatever carriage returns stand behind it. The parts go to
 * `texts`, which has room for n bytes, one after the other, all but the last without the line end before the mark. ends: where each ends, with room
 * for n_ends, at least n / (n_mark + 1) + 2. Returns how many parts there are. */
int64_t linnet_documents_cut(
    const uint8_t *lines, uint64_t n, const uint8_t *mark, uint64_t n_mark, uint8_t *texts, uint64_t *ends, uint64_t n_ends);

/* n texts' ids as they stand on disk: those of each text on its side, and end_id behind those that end a document. which: 1 training, 2 validation,
 * and 4 more for a text whose document does not end with it. vocabulary: the bytes that each id stands for, and the highest bit for special
 * tokens. width: bytes of an id on disk, 2 or 4, the lowest first. train, validation: room for the ids; counts: how many there are on either
 * side. bytes, special: of each text, what its ids stand for and how many are special. */
typedef struct {
    const uint8_t *which;
    const uint32_t *vocabulary;
    uint64_t vocab_size;
    uint32_t end_id;
    uint32_t width;
    uint8_t *train;
    uint8_t *validation;
    uint64_t *bytes;
    uint64_t *special;
    uint64_t *counts;
} linnet_closed;

/* Of ids that lie one text's after the other's up to the ends; either side has room for all ids and n more. A bad argument is an id that is
 * not in the vocabulary, end_id among them, and a vocabulary of more ids than the width can say. */
int64_t linnet_documents_close(const uint32_t *ids, const uint64_t *ends, uint64_t n, const linnet_closed *closed);

/* The words of n texts as hashes, one text's after the other's, and where those of each end. hashes: room for half the bytes of each
 * text, rounded up. linnet/data/grams.py says what a word is. Returns how many there are. */
int64_t linnet_documents_words(const uint8_t *bytes, const uint64_t *ends, uint64_t n, uint64_t *hashes, uint64_t *word_ends);

/* MinHash signatures of n texts, n_hashes numbers each: the smallest (a x + b) / 2^32, of 64 bits, over the hashes x of all `shingle`
 * words in a row, or of all words where they are fewer; the largest numbers for a text without words. linnet/data/near.py explains them. */
int64_t linnet_documents_minhash(
    const uint8_t *bytes, const uint64_t *ends, uint64_t n, uint64_t shingle, const uint64_t *a, const uint64_t *b, uint64_t n_hashes,
    uint32_t *signatures);

/* ── Encoding ── */

typedef struct linnet_encoder linnet_encoder;

/* An encoder for a vocabulary: the bytes of every id, none for an id that ordinary text never gets. merges: n_merges times a, b,
 * and the id that they make, in the order of their rank; NULL: any two tokens that spell a third make it, the lowest id first.
 * whole: not 0 where a chunk that is a token stays one, whatever the merges make of it. NULL is returned where a byte has
 * no token, a merge makes what its two tokens do not spell, or there are 2^21 ids or more, or 2^22 merges. */
linnet_encoder *linnet_encoder_new(
    uint32_t pattern, const uint8_t *bytes, const uint64_t *ends, uint64_t n_tokens, const uint32_t *merges, uint64_t n_merges, uint32_t whole);

/* The merges of a vocabulary in which any two tokens that spell a third make it, the lowest id first: those that ever happen, as a, b
 * and the id that they make, in the order of the ids. merges: room for 3 * n_tokens. Returns how many there are. */
int64_t linnet_merges_of_ids(const uint8_t *bytes, const uint64_t *ends, uint64_t n_tokens, uint32_t *merges);

void linnet_encoder_free(linnet_encoder *encoder);

/* The ids of texts. They belong to the library until they are freed. */
typedef struct linnet_ids linnet_ids;

linnet_ids *linnet_encode(const linnet_encoder *encoder, const uint8_t *text, uint64_t n_bytes);

/* On n_threads threads of its own. */
linnet_ids *linnet_encode_batch(
    const linnet_encoder *encoder, const uint8_t *bytes, const uint64_t *ends, uint64_t n_texts, uint64_t n_threads);

/* The same of texts that lie anywhere, each of as many bytes as its size says. */
linnet_ids *linnet_encode_texts(
    const linnet_encoder *encoder, const uint8_t *const *texts, const uint64_t *sizes, uint64_t n_texts, uint64_t n_threads);

/* The same on this thread, as they stand on disk, and how many each text has (lengths). Either side has room for as many ids as there are bytes
 * and n more. A bad argument is what linnet_documents_close calls one. */
int64_t linnet_documents_encode(
    const linnet_encoder *encoder, const uint8_t *bytes, const uint64_t *ends, uint64_t n, uint64_t *lengths, const linnet_closed *closed);

/* The n_ids ids of all texts, and after a batch where those of each of the n_ends texts end. */
const uint32_t *linnet_ids_look(const linnet_ids *ids, uint64_t *n_ids, uint64_t *n_ends, const uint64_t **ends);

void linnet_ids_free(linnet_ids *ids);

/* Functions of Python's stable interface: PyList_New, PyList_SetItem, Py_IncRef, Py_DecRef, PyList_GetItem, PyBytes_AsStringAndSize. */
typedef struct {
    void *(*list_new)(intptr_t n);
    int (*set_item)(void *list, intptr_t place, void *object);
    void (*inc_ref)(void *object);
    void (*dec_ref)(void *object);
    void *(*get_item)(void *list, intptr_t place);
    int (*bytes_at)(void *object, char **bytes, intptr_t *n);
} linnet_python;

/* A list of Python's: of n ids, the object that `numbers` holds for each. For a caller that holds Python's lock meanwhile, which calls through
 * cffi do not. NULL where an id is not below n_numbers, or there is no memory; Python has an error for either. */
void *linnet_python_list(const uint32_t *ids, uint64_t n, void *const *numbers, uint64_t n_numbers, const linnet_python *python);

/* Where the bytes of the first n items of a list of Python's lie, and how many they are: for as long as the caller keeps these items. For a caller
 * that holds Python's lock. A bad argument is an item that is no bytes object. */
int64_t linnet_python_texts(void *list, uint64_t n, const uint8_t **texts, uint64_t *sizes, const linnet_python *python);

/* ── Kernels ── */

/* The vectors that the kernels use: 0 those of any processor, 1 AVX2, 2 AVX-512; the widest that the processor has. */
uint32_t linnet_vectors(void);

/* 1 where the library's own products of large matrices were found to be faster than MKL's, else 0. */
uint32_t linnet_products_pay(void);

/* Allow none beyond `at_most`, in the whole process: for tests. */
void linnet_limit_vectors(uint32_t at_most);

/* Whose threads to use. team: GOMP_parallel of the OpenMP library that PyTorch runs on, number: its omp_get_thread_num;
 * NULL: the calling thread alone. count: how many. */
typedef struct {
    void (*team)(void (*work)(void *), void *data, unsigned int n_threads, unsigned int flags);
    int (*number)(void);
    uint64_t count;
} linnet_threads;

/* Fortran's SGEMM, of a BLAS. */
typedef void (*linnet_sgemm)(const char *, const char *, const int32_t *, const int32_t *, const int32_t *, const float *,
    const float *, const int32_t *, const float *, const int32_t *, const float *, float *, const int32_t *);

/* C (m, n) = base + A B + bias; base (m, n), which may be C itself, or bias (n) may be NULL. A lies as (m, k), or as (k, m) if
 * `a_turned`; B as (k, n), or as (n, k) if `b_turned`. */
typedef struct {
    int64_t m;
    int64_t n;
    int64_t k;
    int32_t a_turned;
    int32_t b_turned;
    const float *a;
    const float *b;
    const float *base;
    const float *bias;
    float *c;
} linnet_matmul;

/* Returns 0, or LINNET_BAD_ARGUMENT where the sizes make no sense. sgemm: NULL for the library's own products. */
int64_t linnet_matmul_run(const linnet_matmul *task, linnet_sgemm sgemm, const linnet_threads *threads);

/* Rows of `vocab` scores, and of each the place of the right one and a weight → losses, weight · -log softmax(scores)[target];
 * with `gradient`, that of their sum takes the place of the scores. */
typedef struct {
    int64_t rows;
    int64_t vocab;
    float *scores;
    const int64_t *targets;
    const float *weights;
    float *losses;
    int32_t gradient;
} linnet_cross_entropy_task;

/* Returns 0, or LINNET_BAD_ARGUMENT where a target is not in the vocabulary: then nothing is done. */
int64_t linnet_cross_entropy(const linnet_cross_entropy_task *task, const linnet_threads *threads);

/* x → y = GELU(x) in its tanh form, n numbers. Returns 0. */
int64_t linnet_gelu_forward(const float *x, float *y, uint64_t n, const linnet_threads *threads);

/* x and the gradient of y → the gradient of x, n numbers. Returns 0. */
int64_t linnet_gelu_backward(const float *x, const float *grad_y, float *grad_x, uint64_t n, const linnet_threads *threads);

/* Vectors of `width` numbers that lie one beside the other: how many numbers apart two rows of a batch, two heads and
 * two places are. */
typedef struct {
    float *start;
    int64_t batch;
    int64_t head;
    int64_t place;
} linnet_rows;

/* Query i of row b stands at place keys - queries + i and sees the keys from first[b * queries + i] (0 where first is
 * NULL) up to its place. heads is a multiple of groups. */
typedef struct {
    int64_t batch;
    int64_t heads;
    int64_t groups;
    int64_t queries;
    int64_t keys;
    int64_t width;
    float scale;
    const int64_t *first;
} linnet_attention_shape;

/* q and y: `heads` heads of `queries` places; k and v: `groups` heads of `keys` places. log_sums: (batch, heads, queries)
 * logarithms of the softmax's sums, for the backward pass; NULL: not wanted. */
typedef struct {
    linnet_attention_shape shape;
    linnet_rows q;
    linnet_rows k;
    linnet_rows v;
    linnet_rows y;
    float *log_sums;
} linnet_attention;

/* The gradient of y, and room for those of q, k and v. */
typedef struct {
    linnet_rows y;
    linnet_rows q;
    linnet_rows k;
    linnet_rows v;
} linnet_attention_gradients;

/* Fills y, and log_sums where it is not NULL. Returns 0. */
int64_t linnet_attention_forward(const linnet_attention *task, const linnet_threads *threads);

/* Fills the gradients of q, k and v from that of y and from what the forward pass made. Returns 0. */
int64_t linnet_attention_backward(
    const linnet_attention *task, const linnet_attention_gradients *gradients, const linnet_threads *threads);

/* x (rows, d), w (f, d), bias (f) or NULL, y (rows, f), each in one piece; at most 32 rows. */
typedef struct {
    int64_t rows;
    int64_t d;
    int64_t f;
    const float *x;
    const float *w;
    const float *bias;
    float *y;
} linnet_few_rows_task;

/* y = x wT + bias for n_tasks matrices and one x: its address, rows and d are the same in all. Returns 0. */
int64_t linnet_few_rows(const linnet_few_rows_task *tasks, uint64_t n_tasks, const linnet_threads *threads);

/* x: `count` vectors of d numbers, of which vector i begins at (i / inner) * outer + (i % inner) * d. y = (x - mean) * scale
 * * weight + bias with scale = 1 / sqrt(mean of (x - mean)^2 + eps); the mean counts as 0 unless `center`. y and all else
 * lies in one piece; weight and bias (d) may be NULL, and so may scale (count), which is for the backward pass. */
typedef struct {
    int64_t count;
    int64_t d;
    int64_t inner;
    int64_t outer;
    const float *x;
    const float *weight;
    const float *bias;
    float *y;
    float *scale;
    float eps;
    int32_t center;
} linnet_norm;

/* The gradient of y, and room for those of x and of weight, which may be NULL; each in one piece. */
typedef struct {
    const float *y;
    float *x;
    float *weight;
} linnet_norm_gradients;

/* Fills y, and scale where it is not NULL. Returns 0. */
int64_t linnet_norm_forward(const linnet_norm *task, const linnet_threads *threads);

/* Fills the gradients, without `center`, from that of y and from what the forward pass made. Returns 0. */
int64_t linnet_norm_backward(const linnet_norm *task, const linnet_norm_gradients *gradients, const linnet_threads *threads);

/* A selective scan (linnet/ops/scan.py): x, step, y (batch, tokens, channels); a (n, channels); b, c (batch, tokens, n); d (channels);
 * begins (batch, tokens), not 0 where a document begins, or NULL; state, last (batch, n, channels); kept (blocks, batch, n, channels),
 * the states before each `places` tokens, or NULL. The work is cut into rows and into groups of `group` channels. */
typedef struct {
    int64_t batch;
    int64_t tokens;
    int64_t channels;
    int64_t n;
    int64_t places;
    int64_t group;
    const float *x;
    const float *step;
    const float *a;
    const float *b;
    const float *c;
    const float *d;
    const uint8_t *begins;
    const float *state;
    float *y;
    float *last;
    float *kept;
} linnet_scan;

/* The gradients of y and last, and room for the others, laid out like what they are of, but for b and c (groups, batch, tokens, n),
 * a (batch, n, channels) and d (batch, channels), whose sums over the first dimension they are. */
typedef struct {
    const float *y;
    const float *last;
    float *x;
    float *step;
    float *a;
    float *b;
    float *c;
    float *d;
    float *state;
} linnet_scan_gradients;

/* Fills y and last, and kept where it is not NULL. Returns 0. */
int64_t linnet_scan_forward(const linnet_scan *task, const linnet_threads *threads);

/* Fills the gradients from those of y and last and from `kept` of the forward pass. Returns 0. */
int64_t linnet_scan_backward(const linnet_scan *task, const linnet_scan_gradients *gradients, const linnet_threads *threads);

/* `count` numbers, their gradients, and what AdamW remembers of these: means, means of squares, and one number, the steps
 * taken. */
typedef struct {
    uint64_t count;
    float *value;
    float *grad;
    float *mean;
    float *square;
    float *step;
} linnet_parameter;

/* What is common to some parameters. */
typedef struct {
    double learning_rate;
    double beta1;
    double beta2;
    double eps;
    double weight_decay;
} linnet_adamw_rates;

/* The norm of the gradients of n parameters together, which are then scaled so that it is `at_most`, if it is more; infinity
 * leaves them. Nothing else of the parameters is read. Returns 0. */
int64_t linnet_clip(const linnet_parameter *parameters, uint64_t n, double at_most, double *norm, const linnet_threads *threads);

/* One step of AdamW for n parameters. Returns 0. */
int64_t linnet_adamw(
    const linnet_parameter *parameters, uint64_t n, const linnet_adamw_rates *rates, const linnet_threads *threads);

/* ── Many small works in one call ── */

/* The token of each row, its position in its document, and the place in the stream (in training: in the sequence) where that
 * document began. sgemm: that of a BLAS, for matmul; NULL: the library's own. */
typedef struct {
    int64_t rows;
    const int64_t *tokens;
    const int64_t *positions;
    const int64_t *begins;
    linnet_sgemm sgemm;
} linnet_inputs;

/* Some places that a state holds, the last of them for what is read now. first: place of the first one in the stream. */
typedef struct {
    linnet_rows rows;
    int64_t places;
    int64_t first;
} linnet_memory;

/* A row of numbers for each token or position. */
typedef struct {
    const float *start;
    int64_t rows;
} linnet_table;

/* y (rows, d) = table[token or position] * scale, added to what is in y if `add`. */
typedef struct {
    const linnet_table *table;
    int32_t by_position;
    int32_t add;
    int64_t d;
    float scale;
    float *y;
} linnet_embed;

/* n numbers: 0 x + other, 1 x * other, 2 ReLU, 3 its square, 4 GELU in its tanh form, 5 SiLU, 6 sigmoid of x. */
typedef struct {
    uint32_t what;
    int64_t n;
    const float *x;
    const float *other;
    float *y;
} linnet_pointwise;

/* The first `turned` numbers of each head of x (rows, heads, d), in place, by the angles of the row's position: a row of
 * the table is `turned` cosines, then as many sines. back: by the angles' opposites. */
typedef struct {
    const linnet_table *table;
    int64_t heads;
    int64_t d;
    int64_t turned;
    int32_t back;
    float *x;
} linnet_rotate;

/* x (rows, heads, d) → the last place of a memory. */
typedef struct {
    const linnet_memory *memory;
    int64_t heads;
    int64_t d;
    const float *x;
} linnet_remember;

/* q (rows, heads, d) with memories of `groups` heads → y (rows, heads, d): attention from where the document began. */
typedef struct {
    const linnet_memory *keys;
    const linnet_memory *values;
    int64_t heads;
    int64_t groups;
    int64_t d;
    float scale;
    const float *q;
    float *y;
} linnet_attend;

/* y (rows, d) = bias + sum of taps[j] * the input j places back, of a memory with one head, from where the document began. bias (d)
 * may be NULL. */
typedef struct {
    const linnet_memory *memory;
    int64_t width;
    int64_t d;
    const float *taps;
    const float *bias;
    float *y;
} linnet_convolve;

/* y (d) = the sum of `rows` rows of x that are `down` numbers apart. */
typedef struct {
    int64_t rows;
    int64_t down;
    int64_t d;
    const float *x;
    float *y;
} linnet_column_sum;

/* The gradient of a norm's x from g, that of its y; added to what is there if `add`. sums: (linnet_norm_pieces, 2, d) parts of
 * the gradients of weight and bias, or NULL. */
typedef struct {
    linnet_norm norm;
    const float *g;
    float *x;
    float *sums;
    int32_t add;
} linnet_norm_back;

/* The gradient of x from g, that of y, for what `linnet_pointwise` computes but for the sum; for the product that of `other`, too.
 * grad_x may be g. */
typedef struct {
    uint32_t what;
    int64_t n;
    const float *x;
    const float *other;
    const float *g;
    float *grad_x;
    float *grad_other;
} linnet_pointwise_back;

/* The gradient of a table (vocab, d) from g, that of what was embedded, times `scale`. */
typedef struct {
    int32_t by_position;
    int64_t vocab;
    int64_t d;
    float scale;
    const float *g;
    float *table;
} linnet_embed_back;

/* Attention over whole sequences, and its gradients. */
typedef struct {
    linnet_attention task;
} linnet_sequences;

typedef struct {
    linnet_attention task;
    linnet_attention_gradients gradients;
} linnet_sequences_back;

/* y (rows, d) = sum of taps[j] * x j places back in sequences of `length`, from where the document began. */
typedef struct {
    int64_t length;
    int64_t width;
    int64_t d;
    const float *x;
    const float *taps;
    float *y;
} linnet_convolution;

/* The gradients of x, added to what is there if `add`, and of taps from g, that of y. */
typedef struct {
    linnet_convolution forward;
    const float *g;
    float *x;
    float *taps;
    int32_t add;
} linnet_convolution_back;

/* Who is asked of experts in n_groups groups: the top_k of the best top_groups groups by softmax (or sigmoid) of logits (rows,
 * n_experts), plus bias (n_experts) or NULL, which decides but does not count. weights (n_experts, rows): the scores of those asked,
 * times scale, after they were made to sum to one if `normalise`; 0 for all others. */
typedef struct {
    int64_t n_experts;
    int64_t top_k;
    int64_t n_groups;
    int64_t top_groups;
    int32_t sigmoid;
    int32_t normalise;
    float scale;
    const float *logits;
    const float *bias;
    float *weights;
} linnet_route;

/* y (rows, d) = the sum of said[e] (rows, d) * weights[e] (rows); what counts 0 is not read. */
typedef struct {
    int64_t n_experts;
    int64_t d;
    const float *weights;
    const float *const *said;
    float *y;
} linnet_mix;

/* What a state held and is to hold. */
typedef struct {
    const float *before;
    float *after;
} linnet_held;

/* One more token of a selective scan (linnet/ops/scan.py): x, delta, y (rows, channels), the steps being softplus(delta); a_log (channels,
 * n), a being -exp(a_log); b, c (rows, n); skip (channels); what is held (rows, channels, n). */
typedef struct {
    const linnet_held *held;
    int64_t channels;
    int64_t n;
    const float *x;
    const float *delta;
    const float *a_log;
    const float *b;
    const float *c;
    const float *skip;
    float *y;
} linnet_scan_step;

/* d columns of `count` rows, from rows that are from_n numbers apart to rows that are to_n apart. */
typedef struct {
    int64_t count;
    int64_t d;
    int64_t from_n;
    int64_t to_n;
    const float *from;
    float *to;
} linnet_columns;

/* y (rows, heads, f) of x (rows, heads, d) by a matrix for each head: w (heads, f, d), or (heads, d, f) if `turned`. */
typedef struct {
    int64_t heads;
    int64_t d;
    int64_t f;
    int32_t turned;
    const float *x;
    const float *w;
    float *y;
} linnet_by_head;

/* Pieces of the rows of a norm, whose parts of a sum `linnet_norm_back` writes. */
uint64_t linnet_norm_pieces(uint64_t count, uint64_t d);

/* kind: which of the works it is, counted from 0 in the order in which they stand here. only_if: a number for each row, which an earlier
 * instruction may write; where all are 0, this one is passed over; NULL: never. */
typedef struct {
    uint32_t kind;
    const float *only_if;
    union {
        linnet_embed embed;
        linnet_norm norm;
        linnet_few_rows_task product;
        linnet_pointwise pointwise;
        linnet_rotate rotate;
        linnet_remember remember;
        linnet_attend attend;
        linnet_convolve convolve;
        linnet_matmul matmul;
        linnet_column_sum column_sum;
        linnet_norm_back norm_back;
        linnet_pointwise_back pointwise_back;
        linnet_embed_back embed_back;
        linnet_sequences sequences;
        linnet_sequences_back sequences_back;
        linnet_convolution convolution;
        linnet_convolution_back convolution_back;
        linnet_route route;
        linnet_mix mix;
        linnet_scan_step scan_step;
        linnet_columns columns;
        linnet_by_head by_head;
    } work;
} linnet_instruction;

/* Do n instructions, each when the one before is done. Returns 0; LINNET_BAD_ARGUMENT, and nothing is done, where one makes no
 * sense or a table has no such row. */
int64_t linnet_run(const linnet_instruction *instructions, uint64_t n, const linnet_inputs *inputs, const linnet_threads *threads);
