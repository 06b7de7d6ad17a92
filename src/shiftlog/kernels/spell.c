/* Columns as documents: what `scan` reads, written. What a document is spelled like is the caller's to say: it is made of literals and
   values in one order, and this file knows no field by its name. Columns come as Arrow has them in C (its C data interface):
   numbers of 64 bits, texts as views, large lists of numbers of 64 bits.

   It writes only to the room that it is given: what does not fit there, it leaves for the next time. */

#include <stdint.h>
#include <string.h>

/* Arrow's struct ArrowArray. */
typedef struct array {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct array **children, *dictionary;
    void (*release)(struct array *);
    void *private_data;
} array;

/* How a value stands: {"long":9} or null · "a" · {"string":"a"} or null · {"array":[1,2]} or null. */
enum kind { LONG, BARE_TEXT, TEXT, LONGS };

/* One value of a document or of an event, and how it was written last. */
typedef struct {
    const uint8_t *literal; /* what stands before it, with the `{"long":` of a union */
    int64_t length;         /* of the literal */
    int64_t tag;            /* bytes of the literal that are the union's */
    int64_t kind;
    const array *column;
    const uint8_t *last;    /* with its literal */
    int64_t last_size;
} field;

typedef struct {
    field *fields;        /* those that stand once in a document, and then those that stand once in an event */
    int64_t heads, all;
    const uint8_t *opened, *ended, *closed; /* literals: before the events, after one, after all */
    int64_t opened_size, ended_size, closed_size;
    const array *index;   /* a row where it is null is a document without events, and without times */
    const int64_t *first; /* the first row of each document, and then the number of rows */
    int64_t documents;
    int64_t at, row;      /* the document and the row that come next */
} documents;

static int given(const array *a, int64_t row) {
    const uint8_t *bits = a->buffers[0];
    row += a->offset;
    return !bits || bits[row >> 3] >> (row & 7) & 1;
}

static int64_t number(const array *a, int64_t row) { return ((const int64_t *)a->buffers[1])[a->offset + row]; }

static const uint8_t *text(const array *a, int64_t row, int64_t *size) {
    const uint8_t *view = (const uint8_t *)a->buffers[1] + 16 * (a->offset + row);
    int32_t of[4];
    memcpy(of, view, sizeof of);
    *size = of[0];
    return of[0] <= 12 ? view + 4 : (const uint8_t *)a->buffers[2 + of[2]] + of[3];
}

/* Where the items of a list begin among those of all lists, and how many they are. */
static int64_t items(const array *a, int64_t row, int64_t *count) {
    const int64_t *offsets = (const int64_t *)a->buffers[1] + a->offset + row;
    *count = offsets[1] - offsets[0];
    return offsets[0];
}

/* Whether a value is what it was in the row before. */
static int same(const array *a, int64_t kind, int64_t row) {
    if (!given(a, row) || !given(a, row - 1))
        return given(a, row) == given(a, row - 1);
    if (kind == LONG)
        return number(a, row) == number(a, row - 1);
    int64_t size, before;
    if (kind != LONGS) {
        const uint8_t *one = text(a, row, &size), *other = text(a, row - 1, &before);
        return size == before && !memcmp(one, other, (size_t)size);
    }
    int64_t one = items(a, row, &size), other = items(a, row - 1, &before), i = 0;
    const array *values = a->children[0];
    if (size != before)
        return 0;
    while (i < size && given(values, one + i) && given(values, other + i) && number(values, one + i) == number(values, other + i))
        i++;
    return i == size;
}

/* All that follows gives where it has written up to, or NULL where there is no room. */

static uint8_t *put(uint8_t *at, const uint8_t *end, const void *bytes, int64_t size) {
    if (!at || end - at < size)
        return NULL;
    memcpy(at, bytes, (size_t)size);
    return at + size;
}

#define PUT(at, end, literal) put(at, end, literal, sizeof(literal) - 1)

static uint8_t *put_number(uint8_t *at, const uint8_t *end, int64_t value) {
    if (!at)
        return NULL;
    uint8_t digits[20], *first = digits + sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--first = (uint8_t)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--first = '-';
    return put(at, end, first, digits + sizeof digits - first);
}

static uint8_t *put_text(uint8_t *at, const uint8_t *end, const uint8_t *bytes, int64_t size) {
    static const char hex[] = "0123456789abcdef", shorter[] = "btn\0fr";
    const uint8_t *stop = bytes + size;
    while (at && bytes < stop) {
        const uint8_t *from = bytes;
        while (bytes < stop && *bytes >= ' ' && *bytes != '"' && *bytes != '\\')
            bytes++;
        at = put(at, end, from, bytes - from);
        if (bytes == stop)
            break;
        uint8_t escaped[6] = {'\\', 'u', '0', '0', (uint8_t)hex[*bytes >> 4], (uint8_t)hex[*bytes & 15]};
        int64_t length = 6;
        if (*bytes >= ' ')
            escaped[1] = *bytes, length = 2;
        else if (*bytes >= '\b' && *bytes <= '\r' && shorter[*bytes - '\b'])
            escaped[1] = (uint8_t)shorter[*bytes - '\b'], length = 2;
        at = put(at, end, escaped, length);
        bytes++;
    }
    return at;
}

static uint8_t *put_items(uint8_t *at, const uint8_t *end, const array *a, int64_t row) {
    int64_t count, first = items(a, row, &count);
    const array *values = a->children[0];
    for (int64_t i = first; i < first + count && at; i++) {
        if (i > first)
            at = PUT(at, end, ",");
        at = given(values, i) ? put_number(at, end, number(values, i)) : PUT(at, end, "null");
    }
    return at;
}

static uint8_t *put_value(field *f, int64_t row, int absent, uint8_t *at, const uint8_t *end) {
    uint8_t *start = at;
    int64_t size;
    if (absent || !given(f->column, row)) {
        at = PUT(put(at, end, f->literal, f->length - f->tag), end, "null");
    } else {
        at = put(at, end, f->literal, f->length);
        if (f->kind == LONG)
            at = put_number(at, end, number(f->column, row));
        else if (f->kind == LONGS)
            at = PUT(put_items(at, end, f->column, row), end, "]");
        else {
            const uint8_t *bytes = text(f->column, row, &size);
            at = PUT(put_text(at, end, bytes, size), end, "\"");
        }
        if (f->tag)
            at = PUT(at, end, "}");
    }
    f->last = start, f->last_size = at - start;
    return at;
}

/* The values of an event; those that follow each other and are what they were in the row before, are copied together. */
static uint8_t *put_event(documents *d, int64_t row, uint8_t *at, const uint8_t *end, int again) {
    const uint8_t *run = at;
    int64_t size = 0;
    for (field *f = d->fields + d->heads; f < d->fields + d->all; f++) {
        if (again && same(f->column, f->kind, row)) {
            if (!size)
                run = f->last;
            f->last = at + size;
            size += f->last_size;
            continue;
        }
        if (size)
            at = put(at, end, run, size), size = 0;
        at = put_value(f, row, 0, at, end);
        if (!at)
            return NULL;
    }
    return put(put(at, end, run, size), end, d->ended, d->ended_size);
}

/* A row, with what stands before it if it is its document's first, and what stands after it if it is the last. */
static uint8_t *put_row(documents *d, uint8_t *at, const uint8_t *end, int again) {
    int64_t row = d->row;
    int withdrawn = !given(d->index, row);
    if (row == d->first[d->at]) {
        for (field *f = d->fields; f < d->fields + d->heads; f++)
            if (!(at = put_value(f, row, withdrawn && f->kind == LONG, at, end)))
                return NULL;
        at = put(at, end, d->opened, d->opened_size);
    } else {
        at = PUT(at, end, ",");
    }
    if (at && !withdrawn)
        at = put_event(d, row, at, end, again);
    return at && row + 1 == d->first[d->at + 1] ? put(at, end, d->closed, d->closed_size) : at;
}

/* Writes rows as long as there is room for a whole one, and says how many bytes they are. When `at` is `documents`, all are written. */
int64_t spell(documents *d, uint8_t *out, int64_t room) {
    const uint8_t *end = out + room;
    uint8_t *at = out;
    for (int again = 0; d->at < d->documents; again = given(d->index, d->row - 1)) {
        uint8_t *next = put_row(d, at, end, again);
        if (!next)
            break;
        at = next;
        if (++d->row == d->first[d->at + 1])
            d->at++;
    }
    return at - out;
}
