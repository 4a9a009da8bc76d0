/* facts.h - what parallel_check tells of an operation: named sentences, each with where it was read. */
#ifndef BENCH_FACTS_H
#define BENCH_FACTS_H

#include "listen.h"
#include "tensor/tensor.h"

typedef struct question {
    enum { ASK_MATMUL, ASK_COPY, ASK_REDUCE, ASK_ELEMENTWISE } kind;
    const char *name;
    mt_op op;          /* of an elementwise operation, else MT_OP_COUNT */
    int reduction;     /* its place in parallel_check's table */
    mt_reduction asks; /* and what it asks of the backend */
    int dim;           /* -1: all */
    int operands;
    mt_shape shape[2];
    bool turned[2];
} question;

enum { MOST_FACTS = 28, FACT_BYTES = 512 };
typedef struct fact {
    const char *name, *source; /* "question", "plan", "table", "run" */
    bool number;               /* text is one: no quotes in JSON */
    char text[FACT_BYTES];
} fact;

typedef struct facts {
    int count;
    fact list[MOST_FACTS];
} facts;

/* Reads all facts of q, whose result is out, from the backend's plan for these operands and from what was
 * heard. */
void find_facts(facts *all, const question *q, const mt_tensor *out, const mt_tensor *a, const mt_tensor *b,
                const listen_report *heard);

void print_facts(const facts *all);
void print_facts_json(const facts *all);

#endif
