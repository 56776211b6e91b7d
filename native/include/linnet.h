/* linnet's native core, seen from C.
 *
 * Learns and applies byte-pair merges exactly as linnet/tokenizer/bpe.py does: same ids, same order of ties.
 * Written by hand and in the plain subset of C that cffi reads. native/src/lib.rs implements it.
 *
 * Memory   Every array belongs to the caller, before and after the call; nothing is kept of it. A trainer or a merger
 *          is made by *_new and freed once by the *_free beside it.
 * Threads  A merger may be used by several threads at once, a trainer by one at a time.
 * Errors   Functions that return int64_t return a negative LINNET_* code; functions that return a handle return
 *          NULL. No panic crosses this border.
 */

/* -1: a NULL or an argument out of range; -2: a bug inside, caught at the border. */

/* Changes whenever anything in this file changes its meaning. */
uint32_t linnet_interface(void);

/* The version of the build, NUL-terminated, valid for ever. */
const char *linnet_version(void);

/* ── Learning ── */

typedef struct linnet_trainer linnet_trainer;

/* A trainer over n_chunks chunks. bytes: all chunks, one after the other; ends[i]: where chunk i ends in them (it
 * begins where the one before it ends); weights[i]: how often it occurs. At most 2^31 bytes. */
linnet_trainer *linnet_trainer_new(const uint8_t *bytes, const uint64_t *ends, const uint64_t *weights, uint64_t n_chunks);

/* Learn up to n_merges more merges. pairs: room for 2 * n_merges ids, filled as a, b, a, b, … Merge number r, counted
 * from 0 over all calls, makes id 256 + r. Returns how many were learned; fewer than asked: no pair occurs twice. */
int64_t linnet_trainer_learn(linnet_trainer *trainer, uint32_t *pairs, uint64_t n_merges);

void linnet_trainer_free(linnet_trainer *trainer);

/* ── Applying ── */

typedef struct linnet_merger linnet_merger;

/* A merger. byte_ids: the ids of the 256 single bytes; merges: n_merges times a, b, and the id that they make, in the
 * order of their rank. */
linnet_merger *linnet_merger_new(const uint32_t *byte_ids, const uint32_t *merges, uint64_t n_merges);

/* The ids of one chunk. ids: room for n_bytes. Returns how many ids there are. */
int64_t linnet_merger_merge(const linnet_merger *merger, const uint8_t *bytes, uint64_t n_bytes, uint32_t *ids);

void linnet_merger_free(linnet_merger *merger);
