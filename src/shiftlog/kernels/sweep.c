/* Intervals added up by agent and bucket (docs/metrics.md, section 2), in one pass over rows of which those of an agent are adjacent.
   All is in milliseconds, and whole numbers that wrap around where 64 bits do not hold them, as Polars' do. */

#include <stddef.h>
#include <stdint.h>

enum sum { /* the names and the order are those of sweeping.SUMS */
    LOGIN, ONLINE, BACK_SOON, AWAY, OFFLINE, IRRELEVANT, UNKNOWN, CHATTING, ONLINE_CHATTING, ONLINE_IDLE, ONLINE_AT_MAX,
    CHAT, ONLINE_CHAT, ONLINE_CAPACITY, ONLINE_CAPACITY_CHAT, OPEN, COUNTS, ALL = COUNTS + 5
};

static const int BY_STATE[] = {IRRELEVANT, OFFLINE, ONLINE, BACK_SOON, AWAY}; /* 0 to 4 */

typedef struct {
    int64_t rows;
    const int64_t *agent, *owner; /* owner: a group, say; NULL where nobody asks */
    const int64_t *start, *end, *state, *chats, *maximum; /* maximum: 0 where it is not known */
    const uint8_t *open;
    const int64_t *counts[5];
    const int64_t *edges; /* of the buckets, ascending, one more than there are */
    int64_t buckets, window_start, window_end;
    int64_t room;  /* rows that fit in what follows */
    int64_t *out;  /* columns of `room` rows: agent, owner, bucket, and the sums */
} sweeping;

/* The bucket of an instant, which lies in one; mostly that of the row before. */
static int64_t bucket_of(const sweeping *s, int64_t instant, int64_t guess) {
    if (s->edges[guess] <= instant && instant < s->edges[guess + 1])
        return guess;
    int64_t low = 0, high = s->buckets;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (s->edges[middle] <= instant)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void add(const sweeping *s, int64_t row, uint64_t ms, int begins, uint64_t *sums) {
    int64_t state = s->state[row];
    uint64_t c = (uint64_t)s->chats[row], most = (uint64_t)s->maximum[row];
    int known = s->maximum[row] > 0, chatting = s->chats[row] >= 1;
    sums[LOGIN] += ms;
    sums[state >= 0 && state <= 4 ? BY_STATE[state] : UNKNOWN] += ms;
    sums[CHAT] += ms * c;
    sums[CHATTING] += chatting ? ms : 0;
    sums[OPEN] += s->open[row] ? ms : 0;
    if (state == 2) {
        sums[chatting ? ONLINE_CHATTING : ONLINE_IDLE] += ms;
        sums[ONLINE_CHAT] += ms * c;
        if (known) {
            sums[ONLINE_AT_MAX] += s->chats[row] >= s->maximum[row] ? ms : 0;
            sums[ONLINE_CAPACITY] += ms * most;
            sums[ONLINE_CAPACITY_CHAT] += ms * c;
        }
    }
    if (begins)
        for (int i = 0; i < 5; i++)
            sums[COUNTS + i] += (uint64_t)s->counts[i][row];
}

static void put(const sweeping *s, int64_t at, const int64_t *key, uint64_t *sums) {
    if (at < s->room) {
        int64_t *to = s->out + at;
        for (int i = 0; i < 3; i++, to += s->room)
            *to = key[i];
        for (int i = 0; i < ALL; i++, to += s->room)
            *to = (int64_t)sums[i];
    }
    for (int i = 0; i < ALL; i++)
        sums[i] = 0;
}

/* How many rows come out, of which the first `room` are written: one for each run of pieces with one agent, owner and bucket. */
int64_t sweep(const sweeping *s) {
    uint64_t sums[ALL] = {0};
    int64_t key[3] = {0}, found = 0, bucket = 0;
    int any = 0;
    for (int64_t row = 0; row < s->rows; row++) {
        int64_t start = s->start[row], end = s->end[row], owner = s->owner ? s->owner[row] : 0;
        if (start >= s->window_end || (start < s->window_start && end <= s->window_start))
            continue;
        int begins = start >= s->window_start;
        start = begins ? start : s->window_start;
        end = end < s->window_end ? end : s->window_end;
        bucket = bucket_of(s, start, bucket);
        for (int64_t here = bucket;; here++) {
            if (!any || key[0] != s->agent[row] || key[1] != owner || key[2] != here) {
                if (any)
                    put(s, found++, key, sums);
                any = 1, key[0] = s->agent[row], key[1] = owner, key[2] = here;
            }
            int more = here + 1 < s->buckets && s->edges[here + 1] < end;
            int64_t until = more ? s->edges[here + 1] : end;
            add(s, row, (uint64_t)until - (uint64_t)start, begins, sums);
            if (!more)
                break;
            start = until, begins = 0;
        }
    }
    if (any)
        put(s, found++, key, sums);
    return found;
}
