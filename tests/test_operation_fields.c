/* tests/test_operation_fields.c - what the build says of a descriptor in which a field is missing or wrong.
 *
 * Each operation of the list is copied, one field of the copy is taken away or made wrong, and the sentence
 * must name the operation and the field.
 */
#include <stdlib.h>
#include <string.h>

#include "autodiff/node.h"
#include "support.h"
#include "tensor/op_id.h"
#include "tools/check_operation.h"

enum { WORDS = 1000 };

/* ---- ways to break a copy: false where the operation has nothing of the kind ---- */

static int input_count(const mt_operation *o)
{
    int n = 0;
    while (n < MT_MAX_INPUTS && o->input[n].name) n++;
    return n;
}

static bool has_attribute(const mt_operation *o) { return o->attribute[0].name != NULL; }

static void gives_nothing(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    (void)tape, (void)node, (void)g;
}
static mt_status shape_of_nine(const mt_call *call, mt_shape *result)
{
    (void)call;
    *result = mt_shape(9, 9);
    return MT_OK;
}
static mt_status view_of_x(const mt_call *call, mt_layout *result)
{
    *result = call->in[0]->layout;
    return MT_OK;
}
static mt_tensor *express_x(mt_call *call) { return call->in[0]; }

static bool no_name(mt_operation *o) { return o->name = NULL, true; }
static bool odd_name(mt_operation *o) { return o->name = "two words", true; }
static bool no_formula(mt_operation *o) { return o->formula = NULL, true; }
static bool empty_formula(mt_operation *o) { return o->formula = "", true; }
static bool lines_of_formula(mt_operation *o) { return o->formula = "x\ny", true; }
static bool no_input(mt_operation *o) { return o->input[0].name = NULL, true; }
static bool two_alike(mt_operation *o)
{
    if (input_count(o) < 2) return false;
    return o->input[1].name = o->input[0].name, true;
}
static bool no_low(mt_operation *o) { return o->input[0].low = o->input[0].high, true; }
static bool no_high(mt_operation *o) { return o->input[0].high = o->input[0].low - 1, true; }
static bool odd_takes(mt_operation *o) { return o->input[0].takes = (mt_takes)7, true; }
static bool takes_any(mt_operation *o)
{
    if (o->input[0].takes != MT_TAKES_REAL) return false;
    if (strcmp(o->name, "scatter_add") == 0) return false; /* a copy of x, which would convert */
    if (strncmp(o->name, "avg_pool", strlen("avg_pool")) == 0) return false; /* means, of INDEX too */
    return o->input[0].takes = MT_TAKES_ANY, true;
}
static bool no_constant(mt_operation *o)
{
    int last = input_count(o) - 1;
    if (!o->input[last].constant || o->by_parts) return false; /* by parts a gradient flows */
    return o->input[last].constant = false, true;
}
static bool all_constant(mt_operation *o)
{
    for (int i = 0; i < input_count(o); i++) o->input[i].constant = true;
    for (int i = 0; i < MT_MAX_INPUTS; i++) o->reads[i] = 0;
    return o->vjp || o->by_parts;
}
static bool a_list(mt_operation *o)
{
    const int last = input_count(o) - 1;
    if (!o->vjp || o->row || o->list || o->input[last].constant || strcmp(o->name, "all") == 0) return false;
    return o->list = true, true;
}
static bool attribute_without_name(mt_operation *o)
{
    return o->attribute[0].name = NULL, o->attribute[0].type != MT_NO_ATTRIBUTE;
}
static bool attribute_without_type(mt_operation *o)
{
    return o->attribute[0].type = MT_NO_ATTRIBUTE, has_attribute(o);
}
static bool odd_type(mt_operation *o)
{
    return o->attribute[0].type = (mt_attribute_type)99, has_attribute(o);
}
static bool odd_gives(mt_operation *o) { return o->gives = (mt_gives)7, true; }
static bool gives_index(mt_operation *o)
{
    if (o->gives == MT_GIVES_INDEX) return false;
    return o->gives = MT_GIVES_INDEX, true;
}
static bool gives_real(mt_operation *o)
{
    static const char *const copies[] = {"copy", "cat", "stack", "flip",
                                         "pad"}; /* which convert on the way */
    for (size_t i = 0; i < TEST_LENGTH(copies); i++)
        if (strcmp(o->name, copies[i]) == 0) return false;
    if (o->gives == MT_GIVES_REAL) return false;
    return o->gives = MT_GIVES_REAL, true;
}
static bool no_shape(mt_operation *o)
{
    if (!o->shape) return false;
    return o->shape = NULL, true;
}
static bool other_shape(mt_operation *o)
{
    if (!o->shape || o->row) return false; /* a row's run trusts its own rule */
    return o->shape = shape_of_nine, true;
}
static bool no_way(mt_operation *o) { return o->run = NULL, o->view = NULL, o->expression = NULL, true; }
static bool also_view(mt_operation *o)
{
    if (o->view) return false;
    return o->view = view_of_x, true;
}
static bool also_expression(mt_operation *o)
{
    if (!o->view) return false;
    return o->expression = express_x, true;
}
static bool no_reason(mt_operation *o) { return o->vjp = NULL, o->no_vjp = NULL, o->by_parts = NULL, true; }
static bool no_vjp_beside(mt_operation *o)
{
    if (!o->vjp) return false;
    return o->no_vjp = "why", true;
}
static bool by_parts_beside(mt_operation *o)
{
    if (o->by_parts) return false;
    return o->by_parts = "why", true;
}
static bool empty_reason(mt_operation *o)
{
    if (o->vjp) return false;
    if (o->no_vjp) return o->no_vjp = "", true;
    return o->by_parts = "", true;
}
static bool sends_nothing(mt_operation *o)
{
    if (!o->no_vjp) return false;
    return o->no_vjp = NULL, o->vjp = gives_nothing, true;
}
static bool reads_what_is_not(mt_operation *o)
{
    if (!o->vjp) return false;
    return o->reads[0] |= 1u << input_count(o), true;
}
static bool reads_for_what_is_not(mt_operation *o)
{
    if (input_count(o) == MT_MAX_INPUTS) return false;
    return o->reads[input_count(o)] = 1, true;
}
static bool reads_no_attributes(mt_operation *o)
{
    if (has_attribute(o) || !o->vjp) return false;
    return o->reads[0] |= (unsigned)MT_READS_ATTRIBUTES, true;
}
static bool no_cost(mt_operation *o) { return o->cost = MT_COST_UNKNOWN, true; }
static bool odd_cost(mt_operation *o) { return o->cost = (mt_cost)9, true; }
static bool view_costs(mt_operation *o)
{
    if (!o->view) return false;
    return o->cost = MT_COST_ARITHMETIC, true;
}
static bool no_examples(mt_operation *o) { return o->examples = NULL, true; }
static bool examples_of_nothing(mt_operation *o)
{
    static const mt_example none[] = {{.shape = {{0}}}};
    return o->examples = none, true;
}
static bool examples_without_an_input(mt_operation *o)
{
    static const mt_example one[] = {{.shape = {{1, {3}}}}, {.shape = {{0}}}};
    if (input_count(o) == 1) return false;
    return o->examples = one, true;
}
static bool row_of_another(mt_operation *o) { return o->row = o->row == 1 ? 2 : 1, true; }
static bool no_row(mt_operation *o)
{
    if (!o->row) return false;
    return o->row = 0, true;
}
static bool odd_row(mt_operation *o) { return o->row = MT_OP_COUNT + 1, true; }
static bool another_formula(mt_operation *o)
{
    if (!o->row) return false;
    return o->formula = "another", true;
}

static const struct {
    const char *field; /* what the sentence names; of several, one with | between them */
    bool (*break_it)(mt_operation *);
    int times; /* of so many operations at least */
} faults[] = {
    {".name", no_name, 60},
    {".name", odd_name, 60},
    {".formula", no_formula, 60},
    {".formula", empty_formula, 60},
    {".formula", lines_of_formula, 60},
    {".formula", another_formula, 33},
    {".input[0].name", no_input, 60},
    {".input[1].name", two_alike, 20},
    {".low", no_low, 60},
    {".high", no_high, 60},
    {".takes", odd_takes, 60},
    {".examples", takes_any, 35},
    {".constant", no_constant, 2},
    {".constant|.by_parts", all_constant, 50},
    {".list|.examples|.vjp", a_list, 10},
    {".attribute[0].name", attribute_without_name, 15},
    {".attribute[0].type", attribute_without_type, 15},
    {".attribute[0].type", odd_type, 15},
    {".gives", odd_gives, 60},
    {".gives|GIVES_INDEX|.examples", gives_index, 50},
    {".gives|.examples", gives_real, 13},
    {".shape", no_shape, 50},
    {".shape|.examples", other_shape, 18},
    {"neither .run nor .view nor .expression", no_way, 60},
    {".view", also_view, 50},
    {".expression", also_expression, 7},
    {"neither .no_vjp nor .by_parts|.run is never called", no_reason, 60},
    {".no_vjp", no_vjp_beside, 50},
    {".by_parts|.constant", by_parts_beside, 50},
    {".no_vjp|.by_parts", empty_reason, 5},
    {".vjp|.constant", sends_nothing, 2},
    {".reads[0]", reads_what_is_not, 50},
    {".reads[", reads_for_what_is_not, 50},
    {".reads[0]", reads_no_attributes, 30},
    {".cost", no_cost, 60},
    {".cost", odd_cost, 60},
    {".cost", view_costs, 7},
    {".examples", no_examples, 60},
    {".examples", examples_of_nothing, 60},
    {".examples", examples_without_an_input, 20},
    {".row", row_of_another, 60},
    {".row", no_row, 33},
    {".row", odd_row, 60},
};

static bool names_one_of(const char *text, const char *fields)
{
    char copy[200];
    snprintf(copy, sizeof copy, "%s", fields);
    for (char *field = strtok(copy, "|"); field; field = strtok(NULL, "|"))
        if (strstr(text, field)) return true;
    return false;
}

static void sentence_names(const mt_operation *broken, const char *field)
{
    char text[WORDS] = "";
    TEST_CHECK(operation_has_fault(broken, text, sizeof text), "%s without %s has no fault",
               broken->name ? broken->name : "?", field);
    TEST_CHECK(names_one_of(text, field), "the sentence names no %s: %s", field, text);
    TEST_CHECK(!broken->name || strncmp(text, broken->name, strlen(broken->name)) == 0,
               "the sentence does not begin with %s: %s", broken->name, text);
    test_cases++;
}

/* ---- tests ---- */

static void test_list(void **data)
{
    (void)data;
    char text[WORDS];
    for (int i = 0; i < mt_operation_count(); i++) {
        TEST_CHECK(!operation_has_fault(mt_operation_at(i), text, sizeof text), "%s", text);
        test_cases++;
    }
}

static void test_broken(void **data)
{
    (void)data;
    for (size_t k = 0; k < TEST_LENGTH(faults); k++) {
        int times = 0;
        for (int i = 0; i < mt_operation_count(); i++) {
            mt_operation copy = *mt_operation_at(i);
            if (!faults[k].break_it(&copy)) continue;
            sentence_names(&copy, faults[k].field);
            times++;
        }
        TEST_CHECK(times >= faults[k].times, "fault %d, %s, was tried on %d operations", (int)k,
                   faults[k].field, times);
    }
}

/* What a row's derivative reads at edges alone, which its examples do not have; and what linear_act's run
 * adds itself, for some activations. */
static bool rarely_read(const mt_operation *o, int bit)
{
    return (strcmp(o->name, "pow") == 0 && bit == 1) || (strcmp(o->name, "is_close") == 0 && bit == 29) ||
           (strcmp(o->name, "linear_act") == 0 && bit == 30);
}

/* Each bit of .reads, taken away: the VJP reads what may have been written over meanwhile; and each that is
 * not there, added. Of rows an added bit is nobody's fault. */
static void test_reads(void **data)
{
    (void)data;
    int without = 0, beside = 0;
    for (int i = 0; i < mt_operation_count(); i++) {
        const mt_operation *o = mt_operation_at(i);
        const bool attribute = has_attribute(o);
        for (int bit = 0; o->vjp && bit <= 30; bit++) {
            const bool exists = bit < input_count(o) || (bit == 29 && attribute) || bit == 30;
            for (int input = 0; exists && input < input_count(o); input++) {
                const bool there = o->reads[input] >> bit & 1;
                if (o->input[input].constant || rarely_read(o, bit) || (o->row && !there)) continue;
                mt_operation copy = *o;
                copy.reads[input] ^= 1u << bit;
                sentence_names(&copy, ".reads[");
                there ? without++ : beside++;
            }
        }
    }
    TEST_CHECK(without >= 40 && beside >= 30, "only %d and %d", without, beside);
}

static void test_names(void **data)
{
    (void)data;
    char text[WORDS];
    const mt_operation *list[] = {mt_operation_at(0), mt_operation_at(1), mt_operation_by_name("sum")};
    TEST_TRUE(!operations_share_a_name(list, 3, text, sizeof text));
    mt_operation copy = *list[1];
    copy.name = "sum";
    list[1] = &copy;
    TEST_TRUE(operations_share_a_name(list, 3, text, sizeof text));
    TEST_CHECK(strncmp(text, "sum: .name", 10) == 0 && strstr(text, "two operations"), "%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_list), TEST(test_broken), TEST(test_reads),
                                       TEST(test_names)};
    return TEST_RUN("operation_fields", tests);
}
