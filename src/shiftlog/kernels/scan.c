/* Documents that are spelled exactly as shiftlog writes them, as columns. What they are spelled like is the caller's to say (a `document`
   is made of literals and values in one order); this file knows no field by its name.

   Where a text is spelled otherwise, `scan` gives up, and the caller takes another way. It reads no byte
   outside of the text, whatever the text is, and writes no row beyond those that the shortest spelling leaves room for. */

#include <stdint.h>
#include <string.h>

typedef const uint8_t *place;

/* How a value stands: 9 · {"long":9} or null · "a" · {"string":"a"} or null · {"array":[1,2]} or null. */
enum kind { LONG, BARE_TEXT, TEXT, LONGS };

/* One value of a document or of an event: what stands before it, and where its column is. */
typedef struct {
    place literal;       /* with the `{"long":` of a union */
    int64_t length;      /* of the literal */
    int64_t tag;         /* bytes of the literal that are the union's */
    int64_t kind;
    int64_t *numbers;    /* LONG: a value a row; LONGS: where its list ends; text: which of the texts, 0 for null */
    uint8_t *given;      /* LONG, LONGS: whether it is not null */
    int64_t *found;      /* text: start and length of each different one, from 1 on; LONGS: the items of all lists */
    int64_t count;       /* how many were found */
    int64_t start, size; /* of the last one, to see whether it comes again */
    int64_t first;       /* LONGS: where its items begin */
} value;

typedef struct {
    value *values;       /* those that stand once in a document, and then those that stand once in an event */
    int64_t heads, all;
    place opened, ended, closed; /* literals: before the events, after one, after all */
    int64_t opened_size, ended_size, closed_size;
    int64_t *index;      /* the event's place in its document, or -1 where that has none */
} document;

static int is(place *at, place end, place literal, int64_t length) {
    if (end - *at < length || memcmp(*at, literal, (size_t)length))
        return 0;
    *at += length;
    return 1;
}

#define IS(at, end, literal) is(at, end, (place)(literal), sizeof(literal) - 1)

/* A whole number of 64 bits, in the one spelling that it has. */
static int whole(place *at, place end, int64_t *number) {
    place here = *at;
    int negative = here < end && *here == '-';
    here += negative;
    place digits = here;
    uint64_t sum = 0;
    for (; here < end && (uint8_t)(*here - '0') < 10 && here - digits < 19; here++)
        sum = sum * 10 + (*here - '0');
    if (here == digits || (*digits == '0' && (here - digits > 1 || negative)))
        return 0;
    if (sum > (uint64_t)INT64_MAX + (uint64_t)negative)
        return 0;
    *number = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    *at = here; /* a twentieth digit is not what follows a number */
    return 1;
}

/* A text up to and with its closing quote; the same one as in the row before costs one comparison. */
static int text(place *at, place end, place begin, value *v, int64_t row) {
    place here = *at;
    if (v->count && end - here > v->size && here[v->size] == '"' && !memcmp(here, begin + v->start, (size_t)v->size)) {
        *at = here + v->size + 1;
    } else {
        for (; here < end && *here != '"'; here++) {
            if (*here < 0x20)
                return 0;
            if (*here == '\\' && ++here == end)
                return 0;
        }
        if (here == end)
            return 0;
        v->start = *at - begin, v->size = here - *at;
        v->count++;
        v->found[2 * v->count] = v->start, v->found[2 * v->count + 1] = v->size;
        *at = here + 1;
    }
    v->numbers[row] = v->count;
    return 1;
}

/* The items of a list up to and with its bracket; the same ones as in the row before are copied. */
static int items(place *at, place end, place begin, value *v) {
    if (v->size && end - *at >= v->size && !memcmp(*at, begin + v->start, (size_t)v->size)) {
        int64_t many = v->count - v->first;
        memcpy(v->found + v->count, v->found + v->first, (size_t)many * sizeof *v->found);
        v->first = v->count, v->count += many;
        *at += v->size;
        return 1;
    }
    place here = *at;
    int64_t count = v->count;
    if (!IS(&here, end, "]")) {
        do
            if (!whole(&here, end, &v->found[count++]))
                return 0;
        while (IS(&here, end, ","));
        if (!IS(&here, end, "]"))
            return 0;
    }
    v->start = *at - begin, v->size = here - *at, v->first = v->count, v->count = count;
    *at = here;
    return 1;
}

static void absent(value *v, int64_t row) {
    v->numbers[row] = v->kind == LONGS ? v->count : 0;
    if (v->given)
        v->given[row] = 0;
}

static int read(place *at, place end, place begin, value *v, int64_t row) {
    if (!is(at, end, v->literal, v->length)) {
        if (!v->tag || !is(at, end, v->literal, v->length - v->tag) || !IS(at, end, "null"))
            return 0;
        absent(v, row);
        return 1;
    }
    if (v->given)
        v->given[row] = 1;
    switch (v->kind) {
    case LONG:
        if (!whole(at, end, &v->numbers[row]))
            return 0;
        break;
    case LONGS:
        if (!items(at, end, begin, v))
            return 0;
        v->numbers[row] = v->count;
        break;
    default:
        if (!text(at, end, begin, v, row))
            return 0;
    }
    return !v->tag || IS(at, end, "}");
}

/* What stands once in a document, in another of its rows. */
static void again(document *d, int64_t from, int64_t row) {
    for (value *v = d->values; v < d->values + d->heads; v++) {
        v->numbers[row] = v->numbers[from];
        if (v->given)
            v->given[row] = v->given[from];
    }
}

/* The documents of a text, each with the line end after it or none: how many rows they are, or -1 if one is spelled otherwise. */
int64_t scan(place begin, int64_t length, document *d) {
    place at = begin, end = begin + length;
    value *first_of_event = d->values + d->heads, *last = d->values + d->all;
    int64_t row = 0;
    while (at < end) {
        int64_t first = row;
        for (value *v = d->values; v < first_of_event; v++)
            if (!read(&at, end, begin, v, row))
                return -1;
        if (!is(&at, end, d->opened, d->opened_size))
            return -1;
        if (end - at > 0 && *at == ']') {
            for (value *v = first_of_event; v < last; v++)
                absent(v, row);
            d->index[row++] = -1;
        } else {
            do {
                for (value *v = first_of_event; v < last; v++)
                    if (!read(&at, end, begin, v, row))
                        return -1;
                if (!is(&at, end, d->ended, d->ended_size))
                    return -1;
                if (row > first)
                    again(d, first, row);
                d->index[row] = row - first;
                row++;
            } while (IS(&at, end, ","));
        }
        if (!is(&at, end, d->closed, d->closed_size))
            return -1;
        IS(&at, end, "\n");
    }
    return row;
}
