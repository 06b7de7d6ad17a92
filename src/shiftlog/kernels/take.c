/* Events as senders spell them most of the time, one JSON object a line, as columns of Arrow. Which fields there are, and what they may
   hold, is the caller's to say; this file knows none by its name.

   Whatever is spelled or said otherwise (an escape, an unknown field, a value out of its bounds), `take` gives up, and the caller takes
   another way, which can say what is wrong. It reads no byte outside of the text, whatever the text is. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef const uint8_t *place;

enum kind { WHOLE, TEXT, WHOLES };
enum { REQUIRED = 1, NAME = 2, NUMBER_TOO = 4 }; /* NAME: of A-Z a-z 0-9 . _ : -; NUMBER_TOO: a whole number is taken as a text */
enum { MOST_FIELDS = 60 };

/* A field, and what it may hold. */
typedef struct {
    place name;        /* with its quotes */
    int64_t size;      /* of the name */
    int64_t kind, flags;
    int64_t low, high; /* WHOLE, and each of WHOLES: the least and the greatest; TEXT: the fewest bytes and the most */
    int64_t among;     /* WHOLE: bit n is set where n - 16 is allowed beside these */
    int64_t most;      /* WHOLES: at most so many */
    int64_t otherwise; /* WHOLE: what is meant where it is null or missing; INT64_MIN: nothing */
} field;

/* https://arrow.apache.org/docs/format/CDataInterface.html */
struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

/* What is found of a field. */
typedef struct {
    uint8_t *valid;         /* bits */
    int64_t *numbers;       /* WHOLE: values; TEXT: start and size; WHOLES: where the list ends, from the second on */
    int64_t *items;         /* WHOLES */
    int64_t missing, bytes; /* rows without a value; bytes of all texts, or items of all lists */
    int64_t room;           /* for items */
} column;

static int spell(place *at, place end, const char *literal, int64_t size) {
    if (end - *at < size || memcmp(*at, literal, (size_t)size))
        return 0;
    *at += size;
    return 1;
}

static void blank(place *at, place end) {
    while (*at < end && **at == ' ')
        ++*at;
}

/* A whole number of 64 bits, in the one spelling that it has. */
static int whole_number(place *at, place end, int64_t *number) {
    place here = *at;
    int negative = here < end && *here == '-';
    here += negative;
    place digits = here;
    uint64_t sum = 0;
    for (; here < end && (uint8_t)(*here - '0') < 10 && here - digits < 19; here++)
        sum = sum * 10 + (uint64_t)(*here - '0');
    if (here == digits || (*digits == '0' && (here - digits > 1 || negative)))
        return 0;
    if (sum > (uint64_t)INT64_MAX + (uint64_t)negative)
        return 0;
    *number = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    *at = here; /* a twentieth digit, a point or an exponent is not what follows a value */
    return 1;
}

static int is_name(uint8_t byte) {
    return (uint8_t)(byte - '0') < 10 || (uint8_t)((byte | 0x20) - 'a') < 26 || byte == '.' || byte == '_' || byte == ':' || byte == '-';
}

static int take_whole(const field *f, column *c, place *at, place end, int64_t row) {
    int64_t n;
    if (!whole_number(at, end, &n))
        return 0;
    c->numbers[row] = n;
    return (f->low <= n && n <= f->high) || (-16 <= n && n < 47 && (f->among >> (n + 16) & 1));
}

static int take_text(const field *f, column *c, place *at, place end, place begin, int64_t row, uint8_t *seen) {
    place start = *at + 1, here = start;
    if (*at < end && **at != '"') {
        int64_t ignored;
        start = here = *at;
        if (!(f->flags & NUMBER_TOO) || !whole_number(&here, end, &ignored))
            return 0;
        *at = here;
    } else {
        uint8_t all = 0;
        for (; here < end && *here != '"'; here++) {
            if (*here < 0x20 || *here == '\\')
                return 0;
            if (f->flags & NAME && !is_name(*here))
                return 0;
            all |= *here;
        }
        if (here >= end)
            return 0;
        *seen |= all;
        *at = here + 1;
    }
    int64_t size = here - start;
    c->numbers[2 * row] = start - begin, c->numbers[2 * row + 1] = size;
    c->bytes += size;
    if (f->flags & NAME && size == 16 && *start == '9') { /* sixteen digits that begin with 9 are not the sender's to give */
        place digit = start;
        while (digit < here && (uint8_t)(*digit - '0') < 10)
            digit++;
        if (digit == here)
            return 0;
    }
    return f->low <= size && size <= f->high;
}

static int take_wholes(const field *f, column *c, place *at, place end) {
    int64_t first = c->bytes;
    if (!spell(at, end, "[", 1))
        return 0;
    blank(at, end);
    if (spell(at, end, "]", 1))
        return 1;
    for (;;) {
        if (c->bytes == c->room) {
            int64_t room = c->room * 2 + 1024;
            int64_t *more = realloc(c->items, (size_t)room * sizeof *more);
            if (!more)
                return 0;
            c->items = more, c->room = room;
        }
        int64_t n;
        if (!whole_number(at, end, &n) || n < f->low || n > f->high || c->bytes - first == f->most)
            return 0;
        c->items[c->bytes++] = n;
        blank(at, end);
        if (spell(at, end, "]", 1))
            return 1;
        if (!spell(at, end, ",", 1))
            return 0;
        blank(at, end);
    }
}

static void set(uint8_t *bits, int64_t row) { bits[row >> 3] |= (uint8_t)(1 << (row & 7)); }

/* One object, up to and with its bracket. */
static int take_event(const field *fields, int64_t many, column *columns, place *at, place end, place begin, int64_t row, uint8_t *seen) {
    uint64_t given = 0, valid = 0;
    int64_t next = 0;
    if (!spell(at, end, "{", 1))
        return 0;
    do {
        blank(at, end);
        int64_t i = next, tried = 0;
        while (tried < many && !spell(at, end, (const char *)fields[i].name, fields[i].size))
            i = i + 1 == many ? 0 : i + 1, tried++;
        if (tried == many || given >> i & 1) /* a field that comes twice is the other way's to decide */
            return 0;
        given |= 1ULL << i;
        next = i + 1 == many ? 0 : i + 1;
        if (!spell(at, end, ":", 1))
            return 0;
        blank(at, end);
        const field *f = fields + i;
        column *c = columns + i;
        if (!spell(at, end, "null", 4)) {
            int good = f->kind == WHOLE  ? take_whole(f, c, at, end, row)
                       : f->kind == TEXT ? take_text(f, c, at, end, begin, row, seen)
                                         : take_wholes(f, c, at, end);
            if (!good)
                return 0;
            valid |= 1ULL << i;
        }
        blank(at, end);
    } while (spell(at, end, ",", 1));
    if (!spell(at, end, "}", 1))
        return 0;
    for (int64_t i = 0; i < many; i++) {
        column *c = columns + i;
        if (fields[i].kind == WHOLES)
            c->numbers[row + 1] = c->bytes;
        if (valid >> i & 1) {
            set(c->valid, row);
        } else if (fields[i].flags & REQUIRED) {
            return 0;
        } else if (fields[i].kind == WHOLE && fields[i].otherwise != INT64_MIN) {
            c->numbers[row] = fields[i].otherwise;
            set(c->valid, row);
        } else {
            c->missing++;
            if (fields[i].kind == WHOLE)
                c->numbers[row] = 0;
            if (fields[i].kind == TEXT)
                c->numbers[2 * row] = c->numbers[2 * row + 1] = 0;
        }
    }
    return 1;
}

/* ── Arrow ── */

/* An array owns its structure's buffers, which are freed one by one, and the structures of its children. */
static void release(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release)
            array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    free(array->children);
    for (int64_t i = 0; i < array->n_buffers; i++)
        free((void *)array->buffers[i]);
    free(array->buffers);
    array->release = NULL;
}

static int fresh(struct ArrowArray *array, int64_t length, int64_t missing, int64_t buffers, int64_t children) {
    memset(array, 0, sizeof *array);
    array->length = length, array->null_count = missing;
    array->buffers = calloc((size_t)buffers, sizeof *array->buffers);
    array->children = calloc((size_t)children + 1, sizeof *array->children);
    array->release = release;
    if (!array->buffers || !array->children)
        return 0;
    array->n_buffers = buffers;
    for (; array->n_children < children; array->n_children++) {
        array->children[array->n_children] = calloc(1, sizeof *array);
        if (!array->children[array->n_children])
            return 0;
    }
    return 1;
}

/* A column's memory becomes an array's. */
static int give(struct ArrowArray *array, const field *f, column *c, int64_t rows, place begin) {
    if (!fresh(array, rows, c->missing, f->kind == TEXT ? 3 : 2, f->kind == WHOLES))
        return 0;
    array->buffers[0] = c->valid, c->valid = NULL;
    if (f->kind == TEXT) {
        int64_t *offsets = malloc((size_t)(rows + 1) * sizeof *offsets), sum = 0;
        uint8_t *bytes = malloc((size_t)c->bytes + 1);
        array->buffers[1] = offsets, array->buffers[2] = bytes;
        if (!offsets || !bytes)
            return 0;
        for (int64_t row = 0; row < rows; row++) {
            offsets[row] = sum;
            memcpy(bytes + sum, begin + c->numbers[2 * row], (size_t)c->numbers[2 * row + 1]);
            sum += c->numbers[2 * row + 1];
        }
        offsets[rows] = sum;
        return 1;
    }
    array->buffers[1] = c->numbers, c->numbers = NULL;
    if (f->kind == WHOLES) {
        if (!fresh(array->children[0], c->bytes, 0, 2, 0))
            return 0;
        array->children[0]->buffers[1] = c->items ? c->items : malloc(sizeof(int64_t));
        c->items = NULL;
    }
    return 1;
}

static int64_t lines(place at, place end) {
    int64_t found = 1;
    for (; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        found++;
    return found;
}

/* The events of a text as an array of structures, with a child for each field: how many they are, or -1 (and no array) where one is
   spelled otherwise. `seen` gets the bits of all bytes of texts: with the highest, somebody has to look whether they are UTF-8. */
int64_t take(place begin, int64_t length, const field *fields, int64_t many, struct ArrowArray *made, uint8_t *seen) {
    place at = begin, end = begin + length;
    int64_t room = lines(begin, end), row = 0, result = -1;
    column *columns = calloc((size_t)many, sizeof *columns);
    made->release = NULL;
    if (!columns || many > MOST_FIELDS)
        goto done;
    for (int64_t i = 0; i < many; i++) {
        size_t each = fields[i].kind == TEXT ? 2 : 1;
        columns[i].valid = calloc((size_t)room / 8 + 1, 1);
        columns[i].numbers = malloc(((size_t)room * each + 1) * sizeof(int64_t));
        if (!columns[i].valid || !columns[i].numbers)
            goto done;
        columns[i].numbers[0] = 0;
    }
    while (at < end) {
        if (spell(&at, end, "\n", 1))
            continue;
        if (!take_event(fields, many, columns, &at, end, begin, row, seen))
            goto done;
        row++;
        spell(&at, end, "\r", 1);
        if (at < end && *at != '\n')
            goto done;
    }
    if (!fresh(made, row, 0, 1, many))
        goto undo;
    for (int64_t i = 0; i < many; i++)
        if (!give(made->children[i], fields + i, columns + i, row, begin))
            goto undo;
    result = row;
    goto done;
undo:
    release(made);
done:
    for (int64_t i = 0; columns && i < many; i++)
        free(columns[i].valid), free(columns[i].numbers), free(columns[i].items);
    free(columns);
    return result;
}
